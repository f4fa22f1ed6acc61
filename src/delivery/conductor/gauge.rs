//! How busy a lane is.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::runtime::Tick;

/// How busy a lane is: how long its turns took. As exact as the clock that it is told, which is
/// enough for a sum over many turns.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Gauge {
    /// When the present turn began, in nanoseconds; 0 between turns.
    began: AtomicU64,
    /// The length of all earlier turns, in nanoseconds.
    busy: AtomicU64,
}

impl Gauge {
    pub(super) fn begin(&self, now: Tick) {
        self.began.store(nanos(now).max(1), Relaxed);
    }

    pub(in crate::delivery) fn end(&self, now: Tick) {
        let began = self.began.swap(0, Relaxed);
        self.busy.fetch_add(nanos(now).saturating_sub(began), Relaxed);
    }

    pub(super) fn is_in_turn(&self) -> bool {
        self.began.load(Relaxed) > 0
    }

    /// The length of all turns, with what there is of the present one.
    pub(super) fn total(&self, now: Tick) -> Duration {
        let began = self.began.load(Relaxed);
        let present = if began > 0 { nanos(now).saturating_sub(began) } else { 0 };
        Duration::from_nanos(self.busy.load(Relaxed) + present)
    }
}

#[allow(clippy::cast_possible_truncation)] // 580 years
fn nanos(tick: Tick) -> u64 {
    tick.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_adds_up_its_turns_with_what_there_is_of_the_present_one() {
        let (gauge, at) = (Gauge::default(), Tick::from_millis);
        let millis = |now| gauge.total(at(now)).as_millis();
        assert_eq!((gauge.is_in_turn(), millis(5)), (false, 0));
        gauge.begin(at(10));
        assert_eq!((gauge.is_in_turn(), millis(13)), (true, 3));
        gauge.end(at(15));
        assert_eq!((gauge.is_in_turn(), millis(100)), (false, 5));
        gauge.begin(at(100));
        assert_eq!((gauge.is_in_turn(), millis(107)), (true, 12));
    }

    #[test]
    fn a_turn_that_begins_with_the_clock_is_one() {
        let gauge = Gauge::default();
        gauge.begin(Tick::ZERO);
        assert!(gauge.is_in_turn());
    }
}
