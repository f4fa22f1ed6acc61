//! When to stop calling something that fails.

use std::{fmt, sync::Arc, time::Duration};

/// When a subscription stops calling its handlers, because what they depend on fails or is slow, and
/// how it finds out that they may be called again.
///
/// While the breaker is *closed*, outcomes are counted over the last calls. When too many of them have
/// failed it *opens*: the subscription rests, and nothing is lost or fails because of it. After a while
/// it is *half-open*: a few events are let through as probes. When these succeed it closes; when one
/// fails it opens again. As described by [Martin Fowler](https://martinfowler.com/bliki/CircuitBreaker.html),
/// with the sliding window of [Resilience4j](https://resilience4j.readme.io/docs/circuitbreaker).
///
/// A failed probe does not count towards the attempts of its event. An event that failed before is
/// probed only after those that have not, and cannot undo their success, so that one poisonous event
/// does not keep the breaker open while others come.
///
/// ```
/// use std::{sync::{Arc, atomic::{AtomicBool, Ordering}}, time::Duration};
/// use tidings::CircuitBreaker;
///
/// let degraded = Arc::new(AtomicBool::new(false));
/// let (on, off) = (degraded.clone(), degraded.clone());
/// let breaker = CircuitBreaker::new()
///     .failure_rate(0.5)
///     .window(100)
///     .min_calls(20)
///     .slow_calls(Duration::from_secs(2), 0.8)
///     .open_for(Duration::from_secs(30))
///     .probes(3)
///     .on_open(move |_| on.store(true, Ordering::Relaxed)) // serve what is cached
///     .on_close(move |_| off.store(false, Ordering::Relaxed));
/// # let _: CircuitBreaker = breaker;
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    pub(crate) failure_rate: f64,
    pub(crate) window: u32,
    pub(crate) min_calls: u32,
    pub(crate) slow: Option<SlowCalls>,
    pub(crate) open_for: Duration,
    pub(crate) probes: u32,
    pub(crate) on_open: Option<BreakerHook>,
    pub(crate) on_close: Option<BreakerHook>,
}

/// What a breaker calls with the name of its subscription.
pub(crate) type BreakerHook = Arc<dyn Fn(&str) + Send + Sync>;

/// Calls that take so long are slow, and this share of them is too much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SlowCalls {
    pub(crate) longer_than: Duration,
    pub(crate) rate: f64,
}

/// The longest window, in calls: a byte each.
const LONGEST_WINDOW: u32 = 1_000_000;

impl CircuitBreaker {
    /// Opens for 30 s when half of the last 100 calls have failed, from 20 calls on; 3 probes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            failure_rate: 0.5,
            window: 100,
            min_calls: 20,
            slow: None,
            open_for: Duration::from_secs(30),
            probes: 3,
            on_open: None,
            on_close: None,
        }
    }

    /// The share of failed calls, from above 0 to 1, at which it opens. An event that its handler
    /// rejects is no failure: what is wrong is the event.
    #[must_use]
    pub const fn failure_rate(mut self, share: f64) -> Self {
        self.failure_rate = share;
        self
    }

    /// How many of the last calls are looked at, from 1 to 1,000,000.
    #[must_use]
    pub const fn window(mut self, calls: u32) -> Self {
        self.window = calls;
        self
    }

    /// How many calls there must have been, from 1, before any rate says something. No more than the
    /// window holds.
    #[must_use]
    pub const fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = calls;
        self
    }

    /// Opens also when this share of the calls takes longer than that. Times are exact to about a
    /// millisecond. Plain handlers then cost some tens of nanoseconds more for each event.
    #[must_use]
    pub const fn slow_calls(mut self, longer_than: Duration, share: f64) -> Self {
        self.slow = Some(SlowCalls { longer_than, rate: share });
        self
    }

    /// How long it stays open before it lets probes through.
    #[must_use]
    pub const fn open_for(mut self, time: Duration) -> Self {
        self.open_for = time;
        self
    }

    /// How many probes must succeed before it closes, from 1; no more than so many are under way.
    #[must_use]
    pub const fn probes(mut self, calls: u32) -> Self {
        self.probes = calls;
        self
    }

    /// Called with the name of the subscription when it opens, also after a failed probe; on a lane's
    /// thread, so it should be quick. A panic in it is caught.
    #[must_use]
    pub fn on_open(mut self, call: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_open = Some(Arc::new(call));
        self
    }

    /// Called in the same way when it closes.
    #[must_use]
    pub fn on_close(mut self, call: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_close = Some(Arc::new(call));
        self
    }

    /// With every number within its bounds. A share that is none counts as 1.
    pub(crate) fn clamped(mut self) -> Self {
        let share = |share: f64| if share > 0.0 && share <= 1.0 { share } else { 1.0 };
        self.failure_rate = share(self.failure_rate);
        self.slow = self.slow.map(|slow| SlowCalls { rate: share(slow.rate), ..slow });
        self.window = self.window.clamp(1, LONGEST_WINDOW);
        self.min_calls = self.min_calls.clamp(1, self.window);
        self.probes = self.probes.max(1);
        self
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("failure_rate", &self.failure_rate)
            .field("window", &self.window)
            .field("min_calls", &self.min_calls)
            .field("slow", &self.slow)
            .field("open_for", &self.open_for)
            .field("probes", &self.probes)
            .finish_non_exhaustive()
    }
}
