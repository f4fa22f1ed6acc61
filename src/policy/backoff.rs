//! How long to wait before the next attempt, and when to stop trying.

use std::time::Duration;

/// How long to wait before the next attempt, and when to stop trying.
///
/// ```
/// use std::time::Duration;
/// use tidings::Backoff;
///
/// let backoff = Backoff::exponential(Duration::from_millis(50))
///     .max_delay(Duration::from_secs(30))
///     .jitter()
///     .max_attempts(8);
/// # let _: Backoff = backoff;
/// ```
///
/// Jitter follows [Exponential Backoff And Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    curve: Curve,
    jitter: Jitter,
    immediate: u32,
    max_delay: Duration,
    max_attempts: Option<u32>,
    max_elapsed: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Curve {
    Constant(Duration),
    Linear(Duration),
    Exponential { initial: Duration, factor: f64 },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Jitter {
    None,
    Full,
    Equal,
    Decorrelated,
}

/// What is known when a [`Backoff`] is asked for the next delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // the full input of a pure function
pub struct Attempt {
    /// How many attempts have failed, from 1.
    pub failed: u32,
    /// Time since the first attempt failed.
    pub elapsed: Duration,
    /// The delay before the attempt that just failed; zero before the first retry.
    pub previous: Duration,
}

impl Backoff {
    /// The longest delay unless [`Backoff::max_delay`] says otherwise: one hour.
    pub const DEFAULT_MAX_DELAY: Duration = Duration::from_hours(1);

    /// The same delay each time.
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        Self::new(Curve::Constant(delay))
    }

    /// `step`, 2 x `step`, 3 x `step`, ...
    #[must_use]
    pub const fn linear(step: Duration) -> Self {
        Self::new(Curve::Linear(step))
    }

    /// `initial`, then twice as long each time; see [`Backoff::factor`].
    #[must_use]
    pub const fn exponential(initial: Duration) -> Self {
        Self::new(Curve::Exponential { initial, factor: 2.0 })
    }

    /// No second attempt.
    #[must_use]
    pub const fn never() -> Self {
        Self::constant(Duration::ZERO).max_attempts(1)
    }

    const fn new(curve: Curve) -> Self {
        Self {
            curve,
            jitter: Jitter::None,
            immediate: 0,
            max_delay: Self::DEFAULT_MAX_DELAY,
            max_attempts: None,
            max_elapsed: None,
        }
    }

    /// The growth of an exponential backoff, 2 by default. Below 1 or not a number counts as 1;
    /// other curves ignore it.
    #[must_use]
    pub const fn factor(mut self, by: f64) -> Self {
        if let Curve::Exponential { initial, .. } = self.curve {
            let factor = if by >= 1.0 { by } else { 1.0 };
            self.curve = Curve::Exponential { initial, factor };
        }
        self
    }

    /// So many retries at once, before the first delay: for failures that are gone the next moment.
    /// They count as attempts. None by default.
    #[must_use]
    pub const fn immediate(mut self, retries: u32) -> Self {
        self.immediate = retries;
        self
    }

    /// The longest delay, jitter included. One hour by default.
    #[must_use]
    pub const fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// How many attempts there are in all, the first included. Unlimited by default; 0 counts as 1.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// No further attempt once this long has passed since the first failure. Unlimited by default.
    #[must_use]
    pub const fn max_elapsed(mut self, elapsed: Duration) -> Self {
        self.max_elapsed = Some(elapsed);
        self
    }

    /// Spreads delays so that failures do not come back in step. The same as
    /// [`Backoff::full_jitter`].
    #[must_use]
    pub const fn jitter(self) -> Self {
        self.full_jitter()
    }

    /// Anything from zero to the delay. Spreads best.
    #[must_use]
    pub const fn full_jitter(mut self) -> Self {
        self.jitter = Jitter::Full;
        self
    }

    /// From half the delay to the delay. Never retries at once.
    #[must_use]
    pub const fn equal_jitter(mut self) -> Self {
        self.jitter = Jitter::Equal;
        self
    }

    /// From the first delay to three times the previous one. Grows by chance, not by count.
    #[must_use]
    pub const fn decorrelated_jitter(mut self) -> Self {
        self.jitter = Jitter::Decorrelated;
        self
    }

    /// The delay before the next attempt, or `None` when there is none. `random` is any 64 random
    /// bits; the same input gives the same answer.
    #[must_use]
    pub fn next_delay(&self, attempt: Attempt, random: u64) -> Option<Duration> {
        if self.max_attempts.is_some_and(|max| attempt.failed >= max) {
            return None;
        }
        let share = unit(random);
        let delayed = attempt.failed.saturating_sub(self.immediate);
        let plain = self.plain(delayed).min(self.max_delay);
        let delay = match self.jitter {
            _ if delayed == 0 => Duration::ZERO,
            Jitter::None => plain,
            Jitter::Full => jitter(plain, random),
            Jitter::Equal => plain.mul_f64(0.5 + share / 2.0),
            Jitter::Decorrelated => self.decorrelated(attempt.previous, share),
        };
        if self.max_elapsed.is_some_and(|max| attempt.elapsed.saturating_add(delay) > max) {
            return None;
        }
        Some(delay)
    }

    fn plain(&self, failed: u32) -> Duration {
        match self.curve {
            Curve::Constant(delay) => delay,
            Curve::Linear(step) => step.saturating_mul(failed),
            Curve::Exponential { initial, factor } => {
                let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
                let seconds = initial.as_secs_f64() * factor.powi(exponent);
                Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
            }
        }
    }

    fn decorrelated(&self, previous: Duration, share: f64) -> Duration {
        let low = self.plain(1).min(self.max_delay);
        let high = previous.saturating_mul(3).clamp(low, self.max_delay);
        low + high.saturating_sub(low).mul_f64(share)
    }
}

/// The default of every subscription: exponential from 100 ms to 30 s with full jitter, 10 attempts.
impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(100))
            .max_delay(Duration::from_secs(30))
            .jitter()
            .max_attempts(10)
    }
}

/// Anything from zero to the delay.
pub(crate) fn jitter(delay: Duration, random: u64) -> Duration {
    delay.mul_f64(unit(random))
}

/// 53 random bits as a number from 0 (included) to 1 (excluded).
#[allow(clippy::cast_precision_loss)] // 53 bits fit an f64 exactly
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn delays(backoff: &Backoff, count: u32) -> Vec<u128> {
        let mut previous = Duration::ZERO;
        let delay = |failed| {
            let attempt = Attempt { failed, elapsed: Duration::ZERO, previous };
            let delay = backoff.next_delay(attempt, u64::MAX / 2)?;
            previous = delay;
            Some(delay.as_millis())
        };
        (1..=count).map_while(delay).collect()
    }

    #[test]
    fn curves_without_jitter_are_exact() {
        assert_eq!(delays(&Backoff::constant(5 * MS), 3), [5, 5, 5]);
        assert_eq!(delays(&Backoff::linear(5 * MS), 3), [5, 10, 15]);
        assert_eq!(delays(&Backoff::exponential(5 * MS), 4), [5, 10, 20, 40]);
        assert_eq!(delays(&Backoff::exponential(5 * MS).factor(3.0), 3), [5, 15, 45]);
        assert_eq!(delays(&Backoff::exponential(5 * MS).max_delay(12 * MS), 3), [5, 10, 12]);
    }

    #[test]
    fn immediate_retries_come_before_the_curve() {
        assert_eq!(delays(&Backoff::exponential(5 * MS).immediate(2), 5), [0, 0, 5, 10, 20]);
        let jittered = Backoff::exponential(5 * MS).immediate(1).decorrelated_jitter();
        let delays = delays(&jittered, 2);
        assert!(delays[0] == 0 && delays[1] >= 5, "{delays:?}");
        let few = Backoff::constant(MS).immediate(9).max_attempts(3);
        assert_eq!(self::delays(&few, 9), [0, 0]);
    }

    #[test]
    fn attempts_are_counted_with_the_first() {
        assert_eq!(delays(&Backoff::constant(MS).max_attempts(3), 9).len(), 2);
        assert_eq!(delays(&Backoff::never(), 9).len(), 0);
    }

    #[test]
    fn decorrelated_jitter_grows_from_the_previous_delay() {
        let backoff = Backoff::exponential(10 * MS).decorrelated_jitter();
        let next = |previous, random| {
            backoff.next_delay(Attempt { failed: 2, elapsed: MS, previous }, random)
        };
        assert_eq!(next(20 * MS, 0), Some(10 * MS));
        assert!(next(20 * MS, u64::MAX).is_some_and(|delay| delay > 59 * MS));
    }

    fn any_backoff() -> impl Strategy<Value = Backoff> {
        let millis = 0_u64..100_000;
        (0..3, 0..4, millis.clone(), millis, proptest::option::of(0_u64..10_000_000)).prop_map(
            |(curve, jitter, base, max, elapsed)| {
                let base = Duration::from_millis(base);
                let backoff = match curve {
                    0 => Backoff::constant(base),
                    1 => Backoff::linear(base),
                    _ => Backoff::exponential(base),
                };
                let backoff = match jitter {
                    0 => backoff,
                    1 => backoff.full_jitter(),
                    2 => backoff.equal_jitter(),
                    _ => backoff.decorrelated_jitter(),
                };
                let backoff = backoff.max_delay(Duration::from_millis(max));
                elapsed.map_or(backoff.clone(), |ms| backoff.max_elapsed(Duration::from_millis(ms)))
            },
        )
    }

    proptest! {
        #[test]
        fn no_delay_exceeds_its_caps(
            backoff in any_backoff(),
            failed in 1_u32..,
            elapsed in any::<u32>(),
            previous in any::<u64>(),
            random in any::<u64>(),
        ) {
            let elapsed = Duration::from_millis(elapsed.into());
            let previous = Duration::from_nanos(previous);
            if let Some(delay) = backoff.next_delay(Attempt { failed, elapsed, previous }, random) {
                prop_assert!(delay <= backoff.max_delay);
                prop_assert!(backoff.max_elapsed.is_none_or(|max| elapsed + delay <= max));
            }
        }
    }
}
