//! The past, as fast as it was or so many times as fast.

use std::{sync::OnceLock, time::Duration};

use crate::runtime::{Tick, Timestamp};

/// When events of the past have their turn: as far from each other as they were published, divided by a
/// number.
#[derive(Debug)]
pub(super) struct Pace {
    times: f64,
    /// When the first event had its turn, and when it was published.
    first: OnceLock<(Tick, Timestamp)>,
}

impl Pace {
    pub(super) fn new(times: f64) -> Self {
        Self { times: times.max(f64::MIN_POSITIVE), first: OnceLock::new() }
    }

    /// Lets an event through, or says when its turn is.
    pub(super) fn admit(&self, published_at: Timestamp, now: Tick) -> Result<(), Tick> {
        let (began, first) = self.first.get_or_init(|| (now, published_at));
        let later = published_at.since(*first).as_secs_f64() / self.times;
        let later = Duration::try_from_secs_f64(later).unwrap_or(Duration::MAX);
        let due = began.saturating_add(later);
        if due <= now { Ok(()) } else { Err(due) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_as_far_from_each_other_as_they_were_but_for_the_scale() {
        let (pace, at) = (Pace::new(10.0), |secs: u64| Timestamp::from_nanos(secs * 1_000_000_000));
        let now = Duration::from_secs(7);
        assert_eq!(pace.admit(at(100), now), Ok(()));
        assert_eq!(pace.admit(at(160), now), Err(Duration::from_secs(13)));
        assert_eq!(pace.admit(at(160), Duration::from_secs(13)), Ok(()));
        assert_eq!(pace.admit(at(90), now), Ok(()), "what is earlier is not held up");
    }

    #[test]
    fn no_scale_does_harm() {
        for times in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let pace = Pace::new(times);
            assert_eq!(pace.admit(Timestamp::UNIX_EPOCH, Tick::ZERO), Ok(()));
            let far = pace.admit(Timestamp::from_nanos(u64::MAX), Tick::ZERO);
            assert!(far.is_ok() || far > Err(Tick::ZERO));
        }
    }
}
