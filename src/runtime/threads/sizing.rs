//! How many threads a pool should have.
//!
//! Looks at the queue let it grow while tasks wait and no thread rests. Looks at the threads, a
//! second apart, let it shrink by those that nobody needed in between. Nobody looks at a pool that
//! has nothing queued and no more than its least.
//!
//! Where tasks block, another thread is of use. Where they compute and the cores are taken it is
//! not, and only trying tells: if more threads get too little more done they are taken back, and
//! none are tried again for a while.

use std::time::Duration;

use crate::runtime::{PoolSize, Tick};

/// A task that waits longer presses for another thread. By [`Load::oldest`], it may look as if one
/// did where it and the one before it have waited for half of this.
const WAIT: Duration = Duration::from_millis(2);

/// What a number of threads gets done is measured for so long, at least.
const MEASURE: Duration = Duration::from_millis(4);

/// Tasks for each thread, from which a measurement tells one number of threads from another.
const ENOUGH: u64 = 4;

/// Tasks that compute are short. Where they keep a core for longer each, they block.
const SHORT: Duration = Duration::from_millis(4);

/// After threads were taken back: how long until more are tried. Doubles each time, up to the most.
const HOLD: Duration = Duration::from_secs(1);
const MOST_HOLD: Duration = Duration::from_mins(1);

/// Meanwhile it takes a longer measurement to show that tasks block now.
const HELD_MEASURE: Duration = Duration::from_millis(100);

/// Threads that were not needed for so long end.
const REST: Duration = Duration::from_secs(1);

/// What a look at a pool finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) now: Tick,
    /// Without those that are about to end.
    pub(super) threads: usize,
    /// Threads that have nothing to do.
    pub(super) resting: usize,
    /// Where tasks are queued: when the first of them came, or the one before it, which is taken.
    pub(super) oldest: Option<Tick>,
    /// Tasks that threads have taken from the queue, ever.
    pub(super) taken: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Stay,
    Grow(usize),
    Shrink(usize),
}

#[derive(Debug)]
pub(super) struct Sizing {
    size: PoolSize,
    cores: usize,
    /// Where the measurement began that goes on while tasks wait.
    measured: Option<Start>,
    /// What these, or fewer, threads got done when it was last measured.
    baseline: Option<Baseline>,
    hold: Duration,
    held_until: Tick,
}

#[derive(Debug, Clone, Copy)]
struct Start {
    at: Tick,
    taken: u64,
}

#[derive(Debug, Clone, Copy)]
struct Baseline {
    threads: usize,
    /// Tasks a second.
    rate: f64,
}

impl Sizing {
    pub(super) fn new(size: PoolSize, cores: usize) -> Self {
        Self { size, cores, measured: None, baseline: None, hold: HOLD, held_until: Tick::ZERO }
    }

    /// A thread could not be started.
    pub(super) fn note_failure(&mut self, now: Tick) {
        self.hold(now);
    }

    /// When to look at the queue.
    pub(super) fn next_look(&self, load: &Load) -> Option<Tick> {
        let oldest = load.oldest?;
        let is_final = load.threads >= self.size.most() && !self.is_trying(load);
        if is_final || load.resting > 0 {
            return None;
        }
        let then =
            if load.presses() { load.now.saturating_add(self.span(load.now)) } else { oldest };
        Some(then.max(oldest.saturating_add(WAIT)))
    }

    /// When to look at the threads, if there are so many.
    pub(super) fn next_rest(&self, now: Tick, threads: usize) -> Option<Tick> {
        (threads > self.size.least()).then(|| now.saturating_add(REST))
    }

    /// A look at the queue.
    pub(super) fn look(&mut self, load: &Load) -> Change {
        if !load.presses() {
            (self.measured, self.baseline) = (None, None);
            return Change::Stay;
        }
        let start = *self.measured.get_or_insert(Start::new(load));
        let (time, taken) = (load.now.saturating_sub(start.at), load.taken - start.taken);
        if time < self.span(load.now) {
            return Change::Stay;
        }
        let held = load.now < self.held_until;
        if self.tasks_block(load.threads, time, taken) {
            // Of other tasks than these, where that is certain.
            self.baseline = self.baseline.filter(|_| !held);
            return self.grow(load);
        }
        if held {
            self.measured = Some(Start::new(load));
            return Change::Stay;
        }
        if taken < ENOUGH * load.threads as u64 {
            return Change::Stay;
        }
        self.compare(load, per_second(taken, time))
    }

    /// A look at the threads, so many of which were at rest all the time since the last one.
    pub(super) fn look_at_rest(&self, threads: usize, spare: usize) -> Change {
        match spare.min(threads.saturating_sub(self.size.least())) {
            0 => Change::Stay,
            spare => Change::Shrink(spare),
        }
    }

    /// Whether more threads than before have to show what they are good for.
    fn is_trying(&self, load: &Load) -> bool {
        self.baseline.is_some_and(|baseline| baseline.threads < load.threads)
    }

    fn span(&self, now: Tick) -> Duration {
        if now < self.held_until { HELD_MEASURE } else { MEASURE }
    }

    fn tasks_block(&self, threads: usize, time: Duration, taken: u64) -> bool {
        let cores = threads.min(self.cores) as u128;
        u128::from(taken) * SHORT.as_nanos() < cores * time.as_nanos()
    }

    fn compare(&mut self, load: &Load, rate: f64) -> Change {
        let before = self.baseline.filter(|_| self.is_trying(load));
        if let Some(before) = before.filter(|before| !before.is_surpassed(load.threads, rate)) {
            self.hold(load.now);
            self.measured = Some(Start::new(load));
            return Change::Shrink(load.threads - before.threads);
        }
        if before.is_some() {
            self.hold = HOLD;
        }
        self.baseline = Some(Baseline { threads: load.threads, rate });
        self.grow(load)
    }

    fn grow(&mut self, load: &Load) -> Change {
        let room = self.size.most().saturating_sub(load.threads);
        if room == 0 {
            self.baseline = None;
            return Change::Stay;
        }
        self.held_until = load.now;
        self.measured = Some(Start::new(load));
        // By half, so that a measurement tells the difference.
        Change::Grow((load.threads / 2).clamp(1, room))
    }

    fn hold(&mut self, now: Tick) {
        self.held_until = now.saturating_add(self.hold);
        self.hold = self.hold.saturating_mul(2).min(MOST_HOLD);
    }
}

impl Load {
    fn presses(&self) -> bool {
        let waits = self.oldest.is_some_and(|came| self.now.saturating_sub(came) >= WAIT);
        waits && self.resting == 0
    }
}

impl Start {
    fn new(load: &Load) -> Self {
        Self { at: load.now, taken: load.taken }
    }
}

impl Baseline {
    /// By at least half of what the new threads would add, were they as good as the old ones.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    fn is_surpassed(&self, threads: usize, rate: f64) -> bool {
        let more = threads as f64 / self.threads as f64 - 1.0;
        rate >= self.rate * (1.0 + more / 2.0)
    }
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// A pool in a time of its own, with more tasks than it can take.
    struct Flooded {
        sizing: Sizing,
        load: Load,
        /// Tasks that so many threads take in a millisecond.
        rate: fn(usize) -> f64,
        taken: f64,
        /// The numbers of threads that it had, with the time that it had each.
        sizes: Vec<(usize, Duration)>,
    }

    impl Flooded {
        fn new(size: PoolSize, cores: usize, rate: fn(usize) -> f64) -> Self {
            let (now, oldest) = (Tick::ZERO, Some(Tick::ZERO));
            let load = Load { now, threads: size.least(), resting: 0, oldest, taken: 0 };
            let sizes = vec![(size.least(), Duration::ZERO)];
            Self { sizing: Sizing::new(size, cores), load, rate, taken: 0.0, sizes }
        }

        /// Lets this time pass, a look after the other.
        fn run(&mut self, time: Duration) {
            let end = self.load.now + time;
            let mut next = self.sizing.next_look(&self.load);
            while let Some(at) = next.filter(|at| *at <= end) {
                self.pass(at);
                let change = self.sizing.look(&self.load);
                self.apply(change);
                next = self.sizing.next_look(&self.load);
            }
            self.pass(end);
        }

        fn pass(&mut self, until: Tick) {
            let time = until.saturating_sub(self.load.now);
            self.taken += (self.rate)(self.load.threads) * time.as_secs_f64() * 1000.0;
            while self.taken >= 1.0 {
                self.taken -= 1.0;
                self.load.taken += 1;
            }
            self.load.now = until;
            self.load.oldest = Some(until.saturating_sub(10 * MILLISECOND));
            if let Some((_, had)) = self.sizes.last_mut() {
                *had += time;
            }
        }

        fn apply(&mut self, change: Change) {
            self.load.threads = match change {
                Change::Stay => return,
                Change::Grow(by) => self.load.threads + by,
                Change::Shrink(by) => self.load.threads - by,
            };
            self.sizes.push((self.load.threads, Duration::ZERO));
        }

        fn had(&self) -> Vec<usize> {
            self.sizes.iter().map(|(threads, _)| *threads).collect()
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn blocking_20_ms(threads: usize) -> f64 {
        threads as f64 / 20.0
    }

    /// On two cores, each of which does ten tasks a millisecond.
    #[allow(clippy::cast_precision_loss)]
    fn computing(threads: usize) -> f64 {
        threads.min(2) as f64 * 10.0
    }

    #[test]
    fn tasks_that_block_get_threads_up_to_the_most() {
        for cores in [1, 2, 8, 64] {
            let mut pool = Flooded::new(PoolSize::adaptive(1..=16), cores, blocking_20_ms);
            pool.run(500 * MILLISECOND);
            assert_eq!(pool.had().last(), Some(&16), "{cores} cores: {:?}", pool.had());
            assert!(pool.had().is_sorted(), "no step back");
            assert_eq!(pool.sizing.next_look(&pool.load), None, "and nobody looks any more");
        }
    }

    #[test]
    fn tasks_that_compute_get_no_more_threads_than_help() {
        let mut pool = Flooded::new(PoolSize::adaptive(1..=16), 2, computing);
        pool.run(60 * Duration::from_secs(1));
        assert!(pool.had().iter().all(|threads| *threads <= 3), "{:?}", pool.had());
        assert!(pool.had().len() < 20, "it tries less and less often: {:?}", pool.had());
        let two = pool.sizes.iter().filter(|(threads, _)| *threads == 2);
        let time: Duration = two.map(|(_, time)| *time).sum();
        assert!(time > Duration::from_secs(59), "{:?}", pool.sizes);
    }

    #[test]
    fn tasks_that_begin_to_block_are_noticed_while_no_growth_is_tried() {
        let mut pool = Flooded::new(PoolSize::adaptive(1..=16), 2, computing);
        pool.run(10 * Duration::from_secs(1));
        assert!(pool.load.now < pool.sizing.held_until);
        pool.rate = blocking_20_ms;
        pool.run(Duration::from_secs(1));
        assert_eq!(pool.load.threads, 16);
    }

    #[test]
    fn a_fixed_pool_is_never_looked_at() {
        let mut pool = Flooded::new(PoolSize::fixed(3), 2, blocking_20_ms);
        pool.run(60 * Duration::from_secs(1));
        assert_eq!(pool.had(), [3]);
        assert_eq!(pool.sizing.next_look(&pool.load), None);
        assert_eq!(pool.sizing.next_rest(pool.load.now, 3), None);
    }

    #[test]
    fn a_task_that_waits_a_moment_changes_nothing() {
        let mut sizing = Sizing::new(PoolSize::adaptive(1..=16), 2);
        for turn in 0..1000 {
            let now = turn * 2 * MILLISECOND;
            let oldest = Some(now.saturating_sub(MILLISECOND));
            let load = Load { now, threads: 1, resting: 0, oldest, taken: 0 };
            assert_eq!(sizing.look(&load), Change::Stay);
            let next = oldest.map(|came| came + WAIT);
            assert_eq!(sizing.next_look(&load), next, "when it has waited long");
        }
    }

    #[test]
    fn threads_that_nobody_needed_for_a_second_end() {
        let sizing = Sizing::new(PoolSize::adaptive(2..=16), 2);
        assert_eq!(sizing.next_rest(MILLISECOND, 16), Some(Duration::from_millis(1001)));
        assert_eq!(sizing.look_at_rest(16, 0), Change::Stay, "all were needed");
        assert_eq!(sizing.look_at_rest(16, 6), Change::Shrink(6), "10 were needed");
        assert_eq!(sizing.look_at_rest(10, 10), Change::Shrink(8), "not the least");
        assert_eq!(sizing.next_rest(MILLISECOND, 2), None);
    }
}
