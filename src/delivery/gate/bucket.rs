//! The generic cell rate algorithm: a rate kept by one number, the time at which the next call would
//! come if all were evenly spread.
//!
//! See [its description](https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm), in the form of
//! virtual scheduling (ITU-T I.371), and [as a rate limiter](https://brandur.org/rate-limiting).

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{policy::Rate, runtime::Tick};

/// What a rate says of one call, in nanoseconds: the next theoretical arrival time if the call may be
/// made now, or else when it may be.
fn decide(rate: Rate, arrival: u64, now: u64) -> Result<u64, u64> {
    let earliest = arrival.saturating_sub(nanos(rate.tolerance()));
    if now < earliest {
        return Err(earliest);
    }
    Ok(arrival.max(now).saturating_add(nanos(rate.interval())))
}

/// One rate, shared by whoever is bound by it.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// The theoretical arrival time.
    arrival: AtomicU64,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, arrival: AtomicU64::new(0) }
    }

    /// Counts a call, or says when one may be made.
    pub(super) fn take(&self, now: Tick) -> Result<(), Tick> {
        let now = nanos(now);
        let next = |arrival| decide(self.rate, arrival, now).ok();
        let taken = self.arrival.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(drop).map_err(|arrival| later(decide(self.rate, arrival, now)))
    }

    /// When a call may be made, if not now.
    pub(super) fn opens_at(&self, now: Tick) -> Option<Tick> {
        let arrival = self.arrival.load(Ordering::Relaxed);
        decide(self.rate, arrival, nanos(now)).err().map(Tick::from_nanos)
    }
}

fn later(decision: Result<u64, u64>) -> Tick {
    Tick::from_nanos(decision.unwrap_or_else(|earliest| earliest))
}

/// One rate for each of many, told apart by a name of some kind.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    most: usize,
    /// Their theoretical arrival times. One that has passed says nothing that its absence does not.
    arrivals: BTreeMap<K, u64>,
    /// Idle ones are forgotten when there are so many.
    prune_at: usize,
}

/// The fewest that are worth the look.
const FEW: usize = 1024;

impl<K: Ord + Clone> Buckets<K> {
    /// For at most so many at one time, from 1.
    pub(super) fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most, arrivals: BTreeMap::new(), prune_at: FEW.min(most) }
    }

    /// Counts a call, or says when one may be made. Where too many are busy, another one waits for
    /// the time of one call.
    pub(super) fn take(&mut self, of: &K, now: Tick) -> Result<(), Tick> {
        let at = nanos(now);
        if let Some(arrival) = self.arrivals.get_mut(of) {
            *arrival = decide(self.rate, *arrival, at).map_err(Tick::from_nanos)?;
            return Ok(());
        }
        if self.arrivals.len() >= self.prune_at {
            self.prune(at);
        }
        if self.arrivals.len() >= self.most {
            return Err(now.saturating_add(self.rate.interval()));
        }
        let arrival = decide(self.rate, 0, at).map_err(Tick::from_nanos)?;
        self.arrivals.insert(of.clone(), arrival);
        Ok(())
    }

    fn prune(&mut self, now: u64) {
        self.arrivals.retain(|_, arrival| *arrival > now);
        self.prune_at = (self.arrivals.len() * 2).clamp(FEW.min(self.most), self.most);
    }
}

#[allow(clippy::cast_possible_truncation)] // 580 years
fn nanos(tick: Tick) -> u64 {
    tick.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Tick = Tick::from_secs(1);

    #[test]
    fn calls_are_spread_after_a_burst() {
        let bucket = Bucket::new(Rate::per_second(2).burst(3));
        for _ in 0..3 {
            assert_eq!(bucket.take(SECOND), Ok(()));
        }
        assert_eq!(bucket.opens_at(SECOND), Some(SECOND * 3 / 2));
        assert_eq!(bucket.take(SECOND), Err(SECOND * 3 / 2));
        assert_eq!(bucket.take(SECOND * 3 / 2), Ok(()));
        assert_eq!(bucket.take(SECOND * 3 / 2), Err(SECOND * 2));
        assert_eq!(bucket.opens_at(SECOND * 9), None, "it fills up again");
        let burst = (0..9).filter(|_| bucket.take(SECOND * 9).is_ok()).count();
        assert_eq!(burst, 3, "and no further");
    }

    #[test]
    fn each_key_has_its_own_and_idle_ones_are_forgotten() {
        let mut buckets = Buckets::new(Rate::per_second(1), 100_000);
        for key in 0..50_000_u32 {
            let now = Tick::from_millis(u64::from(key));
            assert_eq!(buckets.take(&key, now), Ok(()));
            assert_eq!(buckets.take(&key, now), Err(now + SECOND));
        }
        assert!(buckets.arrivals.len() <= 2048, "{} are kept", buckets.arrivals.len());
    }

    #[test]
    fn more_keys_than_there_is_room_for_wait_and_keep_the_rate() {
        let mut buckets = Buckets::new(Rate::per_second(1), 2);
        assert_eq!((1..=2).map(|key| buckets.take(&key, SECOND)).max(), Some(Ok(())));
        assert_eq!(buckets.take(&3, SECOND), Err(SECOND * 2));
        assert_eq!(buckets.take(&3, SECOND * 2), Ok(()), "the others are idle by now");
    }

    proptest! {
        #[test]
        fn no_span_of_time_has_more_calls_than_the_rate_and_a_burst(
            times in 1_u32..1000,
            burst in 1_u32..20,
            steps in prop::collection::vec(0_u64..5_000_000, 1..400),
        ) {
            let rate = Rate::per_second(times).burst(burst);
            let bucket = Bucket::new(rate);
            let mut now = SECOND;
            let mut calls: Vec<Tick> = Vec::new();
            for step in steps {
                now += Duration::from_nanos(step);
                match bucket.take(now) {
                    Ok(()) => calls.push(now),
                    Err(at) => prop_assert!(at > now && bucket.opens_at(now) == Some(at)),
                }
            }
            for (first, from) in calls.iter().enumerate() {
                for (last, to) in calls.iter().enumerate().skip(first + burst as usize) {
                    let beyond = u32::try_from(last - first + 1).unwrap_or(u32::MAX) - burst;
                    prop_assert!(*to >= *from + rate.interval() * beyond);
                }
            }
        }
    }
}
