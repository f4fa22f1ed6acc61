//! The time for hot paths: one relaxed load while it is asked often.
//!
//! Asked now and then, a [`Clock`] reads its [`Source`]. Asked more than [`OFTEN`] times within a
//! millisecond, it has the source tick: show the time on a [`Dial`] about every millisecond, where
//! a reading finds it. A dial that nobody looked at for [`UNUSED`] is cleared, and readings go to
//! the source again.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Tick, Timestamp};

/// Readings of the source within a millisecond, above which it ticks.
const OFTEN: u64 = 64;

/// Ticking ends when nobody has looked for so long.
pub(super) const UNUSED: Duration = Duration::from_millis(20);

/// Tells the time at the cost of one relaxed load, for hot paths. Cheap to clone.
///
/// Exact to about a millisecond, or to what the system's timers can do where that is less. So a
/// reading may be a little older than one from elsewhere: subtract with saturation. Under the
/// simulator it is exact.
#[derive(Clone)]
pub(crate) struct Clock {
    dial: Arc<Dial>,
    source: Arc<dyn Source>,
}

/// Where a clock gets the time from.
pub(super) trait Source: Send + Sync {
    fn now(&self) -> Tick;
    fn wall(&self) -> Timestamp;
    /// Shows the time on the clock's dial from now on, as long as it is looked at. A source whose
    /// time is cheap need not.
    fn tick(self: Arc<Self>);
}

impl Clock {
    pub(super) fn new(dial: Arc<Dial>, source: Arc<dyn Source>) -> Self {
        Self { dial, source }
    }

    /// The time of day.
    #[inline]
    pub(crate) fn wall(&self) -> Timestamp {
        let shown = self.dial.look(&self.dial.wall);
        shown.map_or_else(|| self.read_wall(), Timestamp::from_nanos)
    }

    /// The time since the runtime started.
    #[inline]
    pub(crate) fn tick(&self) -> Tick {
        let shown = self.dial.look(&self.dial.tick);
        shown.map_or_else(|| self.read_tick(), Duration::from_nanos)
    }

    /// Whether a time, in nanoseconds since the runtime started, has come.
    #[inline]
    pub(crate) fn is_past(&self, nanos_since_start: u64) -> bool {
        let shown = self.dial.look(&self.dial.tick);
        shown.unwrap_or_else(|| nanos(self.read_tick())) >= nanos_since_start
    }

    pub(super) fn source(&self) -> &dyn Source {
        &*self.source
    }

    #[cold]
    fn read_wall(&self) -> Timestamp {
        let wall = self.source.wall();
        self.count(&self.dial.wall, wall.as_nanos());
        wall
    }

    #[cold]
    fn read_tick(&self) -> Tick {
        let now = self.source.now();
        self.count(&self.dial.tick, nanos(now));
        now
    }

    fn count(&self, hand: &Hand, now: u64) {
        if hand.count(now) == OFTEN {
            Arc::clone(&self.source).tick();
        }
    }

    #[cfg(test)]
    pub(super) fn is_ticking(&self) -> bool {
        self.dial.tick.shown.load(Relaxed) != 0
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}

/// What a ticking source shows. On cache lines of its own: it is read all the time.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Dial {
    wall: Hand,
    tick: Hand,
    /// Somebody has looked since the source last asked.
    used: AtomicBool,
}

#[derive(Default)]
struct Hand {
    /// In nanoseconds; 0 while the source does not tick.
    shown: AtomicU64,
    /// Readings of the source: the millisecond that they fell into, and in the lower 16 bits their
    /// number. A few may be missed when threads race.
    asked: AtomicU64,
}

impl Dial {
    pub(super) fn show(&self, now: Tick, wall: Timestamp) {
        self.tick.shown.store(nanos(now).max(1), Relaxed);
        self.wall.shown.store(wall.as_nanos().max(1), Relaxed);
    }

    pub(super) fn clear(&self) {
        self.tick.shown.store(0, Relaxed);
        self.wall.shown.store(0, Relaxed);
    }

    /// Whether anybody has looked since the last call.
    pub(super) fn take_used(&self) -> bool {
        let used = self.used.load(Relaxed);
        if used {
            self.used.store(false, Relaxed);
        }
        used
    }

    #[inline]
    fn look(&self, hand: &Hand) -> Option<u64> {
        let shown = hand.shown.load(Relaxed);
        if shown == 0 {
            return None;
        }
        // Stored once a tick only, so that readers on several cores share the line.
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
        Some(shown)
    }
}

impl Hand {
    /// How many readings fell into this millisecond, with this one.
    fn count(&self, now: u64) -> u64 {
        const COUNT: u64 = 0xffff;
        let millisecond = now >> 20; // nearly
        let asked = self.asked.load(Relaxed);
        if asked >> 16 == millisecond {
            return (self.asked.fetch_add(1, Relaxed) & COUNT) + 1;
        }
        self.asked.store(millisecond << 16 | 1, Relaxed);
        1
    }
}

#[allow(clippy::cast_possible_truncation)] // 580 years
fn nanos(tick: Tick) -> u64 {
    tick.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// A source that is set by hand, and remembers how often it was to tick.
    #[derive(Default)]
    struct ByHand {
        now: Mutex<Tick>,
        ticks: AtomicU64,
    }

    impl Source for ByHand {
        fn now(&self) -> Tick {
            *self.now.lock()
        }

        fn wall(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH.plus(*self.now.lock())
        }

        fn tick(self: Arc<Self>) {
            self.ticks.fetch_add(1, Relaxed);
        }
    }

    fn by_hand() -> (Arc<ByHand>, Clock) {
        let source = Arc::new(ByHand::default());
        (Arc::clone(&source), Clock::new(Arc::default(), source))
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_clock_that_is_asked_now_and_then_is_exact_and_does_not_tick() {
        let (source, clock) = by_hand();
        for turn in 0..10_000 {
            *source.now.lock() += MILLISECOND / 20;
            assert_eq!(clock.tick(), MILLISECOND / 20 * (turn + 1));
            assert_eq!(clock.wall(), source.wall());
        }
        assert_eq!(source.ticks.load(Relaxed), 0);
    }

    #[test]
    fn a_clock_that_is_asked_often_ticks() {
        let read_tick: fn(&Clock) = |clock| assert_eq!(clock.tick(), Duration::ZERO);
        let read_wall: fn(&Clock) = |clock| assert_eq!(clock.wall(), Timestamp::UNIX_EPOCH);
        for read in [read_tick, read_wall] {
            let (source, clock) = by_hand();
            (0..OFTEN - 1).for_each(|_| read(&clock));
            assert_eq!(source.ticks.load(Relaxed), 0);
            (0..100).for_each(|_| read(&clock));
            assert_eq!(source.ticks.load(Relaxed), 1, "asked for once");
        }
    }

    #[test]
    fn the_dial_counts_while_it_shows_something() {
        let (source, clock) = by_hand();
        clock.dial.show(Duration::ZERO, Timestamp::from_nanos(7));
        assert!(!clock.dial.take_used());
        *source.now.lock() = MILLISECOND;
        assert_eq!((clock.tick().as_nanos(), clock.wall().as_nanos()), (1, 7));
        assert!(clock.dial.take_used() && !clock.dial.take_used());
        clock.dial.clear();
        assert_eq!((clock.tick(), clock.wall()), (MILLISECOND, source.wall()));
        assert!(!clock.dial.take_used(), "nobody saw it");
    }
}
