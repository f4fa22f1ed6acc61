//! How often something may happen.

use std::time::Duration;

/// A time over which a burst is always allowed, since timers are no finer.
const GRAIN: Duration = Duration::from_millis(10);

/// How often something may happen: so many times a second or a minute, evenly spread but for bursts.
///
/// ```
/// use tidings::Rate;
///
/// let polite = Rate::per_second(50);
/// let patient = Rate::per_minute(30).burst(5); // five at once, then one every two seconds
/// # let _: [Rate; 2] = [polite, patient];
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
    burst: u32,
}

impl Rate {
    /// So many times a second, from 1; 0 counts as 1.
    #[must_use]
    pub const fn per_second(times: u32) -> Self {
        Self::per(Duration::from_secs(1), times)
    }

    /// So many times a minute, from 1; 0 counts as 1.
    #[must_use]
    pub const fn per_minute(times: u32) -> Self {
        Self::per(Duration::from_mins(1), times)
    }

    #[allow(clippy::cast_possible_truncation)] // a minute fits
    const fn per(period: Duration, times: u32) -> Self {
        let times = if times == 0 { 1 } else { times };
        let nanos = (period.as_nanos() as u64).div_ceil(times as u64);
        let burst = GRAIN.as_nanos() as u64 / nanos;
        let burst = if burst == 0 { 1 } else { burst as u32 };
        Self { interval: Duration::from_nanos(nanos), burst }
    }

    /// How many may happen at once after a rest, from 1; 0 counts as 1. As many as the rate allows
    /// within 10 ms unless set, and at least one.
    #[must_use]
    pub const fn burst(mut self, times: u32) -> Self {
        self.burst = if times == 0 { 1 } else { times };
        self
    }

    /// The time from one to the next, bursts aside.
    #[must_use]
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// How much earlier than evenly spread one may come.
    pub(crate) const fn tolerance(self) -> Duration {
        self.interval.saturating_mul(self.burst - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_an_interval_and_a_burst() {
        let of = |rate: Rate| (rate.interval, rate.burst);
        assert_eq!(of(Rate::per_second(4)), (Duration::from_millis(250), 1));
        assert_eq!(of(Rate::per_minute(30).burst(5)), (Duration::from_secs(2), 5));
        assert_eq!(of(Rate::per_second(10_000)).1, 100, "what comes due between two timers");
        assert_eq!(of(Rate::per_second(0)), of(Rate::per_second(1)));
        assert_eq!(of(Rate::per_second(1).burst(0)).1, 1);
    }
}
