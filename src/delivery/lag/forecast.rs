//! What comes of the difference between two looks at how far a subscription is behind.

use std::time::Duration;

use crate::{policy::Forecast, runtime::Tick};

/// How far a subscription is, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Look {
    pub(super) at: Tick,
    /// The end of the journal.
    pub(super) end: u64,
    pub(super) lag: u64,
    /// When it was last seen to settle anything, or to have nothing to settle.
    pub(super) settled_at: Tick,
    pub(super) room: Room,
}

/// How much is left until events are dropped unhandled, in each way that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Room {
    /// In the ring.
    pub(super) positions: Option<u64>,
    /// In the log.
    pub(super) bytes: Option<u64>,
    /// Until they are too old, in nanoseconds.
    pub(super) nanos: Option<u64>,
}

impl Look {
    fn settled_before(&self) -> u64 {
        self.end.saturating_sub(self.lag)
    }

    /// What can be said without an earlier look.
    pub(super) fn first_forecast(&self) -> Forecast {
        let time_to_catch_up = (self.lag == 0).then_some(Duration::ZERO);
        Forecast { lag: self.lag, time_to_catch_up, ..Forecast::default() }
    }

    /// Takes over from an earlier look when anything was last settled.
    pub(super) fn after(self, before: &Self) -> Self {
        let has_settled = self.lag == 0 || self.settled_before() > before.settled_before();
        Self { settled_at: if has_settled { self.at } else { before.settled_at }, ..self }
    }

    /// What comes of it, given an earlier look.
    pub(super) fn forecast(&self, before: &Self) -> Forecast {
        let passed = self.at.saturating_sub(before.at);
        Forecast {
            lag: self.lag,
            wait: self.wait(before, passed),
            time_to_catch_up: time_to_nothing(before.lag, self.lag, passed),
            time_to_loss: self.room.time_to_nothing(&before.room, passed),
        }
    }

    /// By Little's law: what is there, over the pace at which it goes.
    fn wait(&self, before: &Self, passed: Duration) -> Duration {
        let settled = self.settled_before().saturating_sub(before.settled_before());
        match (self.lag, settled) {
            (0, _) => Duration::ZERO,
            (_, 0) => self.at.saturating_sub(self.settled_at),
            (lag, settled) => scale(passed, lag, settled),
        }
    }
}

impl Room {
    fn time_to_nothing(&self, before: &Self, passed: Duration) -> Option<Duration> {
        let each = [
            (before.positions, self.positions),
            (before.bytes, self.bytes),
            (before.nanos, self.nanos),
        ];
        let left =
            |(before, now): (Option<u64>, Option<u64>)| time_to_nothing(before?, now?, passed);
        each.into_iter().filter_map(left).min()
    }
}

/// When something comes to 0 that has become less in the time that passed.
fn time_to_nothing(before: u64, now: u64, passed: Duration) -> Option<Duration> {
    match (now, before.saturating_sub(now)) {
        (0, _) => Some(Duration::ZERO),
        (_, 0) => None,
        (now, less) => Some(scale(passed, now, less)),
    }
}

/// `time * by / to`.
fn scale(time: Duration, by: u64, to: u64) -> Duration {
    let nanos = time.as_nanos().saturating_mul(u128::from(by)) / u128::from(to.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn look(second: u32, end: u64, lag: u64) -> Look {
        let at = second * SECOND;
        Look { at, end, lag, settled_at: at, room: Room::default() }
    }

    #[test]
    fn what_is_up_to_date_has_nothing_to_wait_for() {
        let forecast = look(9, 500, 0).forecast(&look(8, 100, 70));
        assert_eq!(
            (forecast.wait, forecast.time_to_catch_up),
            (Duration::ZERO, Some(Duration::ZERO))
        );
    }

    #[test]
    fn a_wait_is_what_is_there_over_the_pace_at_which_it_goes() {
        // 100 were settled in 2 seconds, while 50 came.
        let forecast = look(12, 1050, 400).forecast(&look(10, 1000, 450));
        assert_eq!(forecast.wait, 8 * SECOND);
        assert_eq!(forecast.time_to_catch_up, Some(16 * SECOND));
    }

    #[test]
    fn who_does_not_gain_on_publishers_never_catches_up() {
        let forecast = look(11, 1100, 460).forecast(&look(10, 1000, 450));
        assert_eq!((forecast.time_to_catch_up, forecast.wait.as_millis()), (None, 5111));
    }

    #[test]
    fn where_nothing_is_settled_the_wait_is_how_long_that_has_been_so() {
        let mut before = look(10, 1000, 3);
        for second in 11..15 {
            let now = look(second, 1000, 3).after(&before);
            assert_eq!(now.forecast(&before).wait, (second - 10) * SECOND);
            before = now;
        }
    }

    #[test]
    fn the_first_room_to_run_out_decides_when_events_are_lost() {
        let room =
            |positions, nanos| Room { positions: Some(positions), bytes: None, nanos: Some(nanos) };
        let before = Look { room: room(100, 1000), ..look(10, 0, 0) };
        let now = |positions, nanos| Look { room: room(positions, nanos), ..look(11, 0, 0) };
        let left = |positions, nanos| now(positions, nanos).forecast(&before).time_to_loss;
        assert_eq!(left(90, 500), Some(SECOND));
        assert_eq!(left(50, 900), Some(SECOND));
        assert_eq!(left(120, 1000), None);
        assert_eq!(left(0, 1000), Some(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn nothing_overflows(
            (at, end, lag) in any::<(u64, u64, u64)>(),
            (later, more, other) in any::<(u64, u64, u64)>(),
        ) {
            let room = Room { positions: Some(lag), bytes: Some(other), nanos: Some(end) };
            let at = Duration::from_nanos(at);
            let before = Look { at, end, lag, settled_at: at, room };
            let at = at.saturating_add(Duration::from_nanos(later));
            let room = Room { positions: Some(other), bytes: Some(lag), nanos: Some(more) };
            let now = Look { at, end: more, lag: other, settled_at: at, room }.after(&before);
            let forecast = now.forecast(&before);
            prop_assert!(other > 0 || forecast.wait.is_zero());
            prop_assert_eq!(forecast.lag, other);
        }
    }
}
