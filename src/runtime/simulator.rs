//! The test driver: one thread, one seed, a virtual clock.

#[cfg(feature = "tokio")]
use std::task::{Context, Poll, Waker};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
    thread::panicking,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    Clock, Driver, Monitor, PoolId, PoolSize, PoolStatus, Random, Runtime, Step, Task, Tick,
    Timestamp, clock::Source, random,
};

/// Virtual time starts on 2026-01-01 (UTC).
const EPOCH: Timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);

/// A runtime under a seed: single-threaded, with a virtual clock, for tests.
///
/// Tasks run in an order drawn from the seed. When none can run, the clock jumps to the next timer,
/// so an hour of backoff takes no time. The same seed and the same calls give the same run, which
/// [`Simulator::trace_hash`] shows.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Ping;
/// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
/// use tidings::{Bus, testing::Simulator};
///
/// let sim = Simulator::new(7);
/// let bus = Bus::builder().runtime(sim.runtime()).build()?;
/// bus.subscribe("log").on(|_: &Ping| println!("ping")).start()?;
/// bus.publish(Ping)?;
/// sim.run_until_idle();
/// # Ok::<(), tidings::Error>(())
/// ```
#[derive(Clone)]
pub struct Simulator {
    driver: Arc<Simulated>,
}

struct Simulated {
    state: Mutex<State>,
}

struct State {
    now: Tick,
    /// How far the wall clock was set back.
    behind: Duration,
    random: Random,
    runnable: Vec<Arc<Task>>,
    timers: BTreeMap<(Tick, u64), Weak<Task>>,
    timer_count: u64,
    next_task: u64,
    /// Tasks below this id died in a crash.
    first_alive: u64,
    pools: Vec<(Arc<str>, PoolSize)>,
    overloaded_until: Tick,
    trace: u64,
    steps: u64,
    /// It gives up after so many.
    most_steps: u64,
    companion: Option<Arc<dyn Companion>>,
    /// Who wants to know that there is a task to run.
    #[cfg(feature = "tokio")]
    waker: Option<Waker>,
}

/// What goes on beside the tasks of a simulator, by one clock with them: async handlers.
pub(crate) trait Companion: Send + Sync {
    /// The time by its clock, which only it moves on.
    fn now(&self) -> Tick;

    /// Goes on until a task of the simulator can run or its own clock has moved, and to that time at
    /// most; without one, as far as there is anything to wait for. False where there is nothing to do
    /// any more until then.
    fn go_on(&self, until: Option<Tick>) -> bool;
}

impl Simulator {
    /// A simulator whose every choice follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            now: Duration::ZERO,
            behind: Duration::ZERO,
            random: Random::new(seed),
            runnable: Vec::new(),
            timers: BTreeMap::new(),
            timer_count: 0,
            next_task: 0,
            first_alive: 0,
            pools: vec![(Runtime::DEFAULT_POOL.into(), PoolSize::fixed(1))],
            overloaded_until: Tick::ZERO,
            trace: seed,
            steps: 0,
            most_steps: u64::MAX,
            companion: None,
            #[cfg(feature = "tokio")]
            waker: None,
        };
        Self { driver: Arc::new(Simulated { state: Mutex::new(state) }) }
    }

    /// The runtime to build a bus on.
    #[must_use]
    pub fn runtime(&self) -> Runtime {
        Runtime::new(Arc::clone(&self.driver) as Arc<dyn Driver>)
    }

    /// Runs one task, or moves the clock to the next timer. False when there is nothing to do.
    #[must_use]
    pub fn step(&self) -> bool {
        self.driver.step(None)
    }

    /// The same, but the clock does not move beyond `end`.
    #[must_use]
    pub(crate) fn step_until(&self, end: Tick) -> bool {
        self.driver.step(Some(end))
    }

    /// Time passes in which nothing runs.
    pub(crate) fn pass(&self, time: Duration) {
        let mut state = self.driver.state.lock();
        state.now = state.now.saturating_add(time);
    }

    /// Sets the wall clock back. Timers do not notice.
    pub(crate) fn set_back(&self, time: Duration) {
        let mut state = self.driver.state.lock();
        state.behind = state.behind.saturating_add(time);
    }

    /// Runs until nothing is left to do, timers included.
    pub fn run_until_idle(&self) {
        while self.step() {}
    }

    /// Runs what is due in the next `duration` of virtual time, and moves the clock there.
    pub fn advance(&self, duration: Duration) {
        let end = self.driver.now().saturating_add(duration);
        while self.step_until(end) {}
        let mut state = self.driver.state.lock();
        state.now = state.now.max(end);
    }

    /// Kills every task and timer, as the end of a process would. Buses that ran on them are dead;
    /// drop them and open new ones.
    pub fn crash(&self) {
        let mut state = self.driver.state.lock();
        state.first_alive = state.next_task;
        let runnable = std::mem::take(&mut state.runnable);
        state.timers.clear();
        drop(state);
        drop(runnable);
    }

    /// Has every pool count as overloaded for the next `duration` of virtual time, in which sheddable
    /// subscriptions rest. Without it none ever is, since the clock stands still while a task can run.
    pub fn overload(&self, duration: Duration) {
        let mut state = self.driver.state.lock();
        state.overloaded_until = state.now.saturating_add(duration);
    }

    /// A random number below `bound`, from the seed.
    #[must_use]
    pub fn random_below(&self, bound: u64) -> u64 {
        self.driver.state.lock().random.below(bound)
    }

    /// Virtual time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.driver.now()
    }

    /// A hash of everything that ran, in order and with its time. Equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.driver.state.lock().trace
    }

    /// Has the run end with a panic once it has taken more than so many steps, so that one which goes
    /// on for ever is found.
    pub fn limit_steps(&self, most: u64) {
        self.driver.state.lock().most_steps = most;
    }

    /// How many steps have run.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.driver.state.lock().steps
    }
}

/// For async handlers.
#[cfg(feature = "tokio")]
impl Simulator {
    /// Has something go on beside the tasks from now on, or nothing any more.
    pub(crate) fn accompany(&self, companion: Option<Arc<dyn Companion>>) {
        let before = std::mem::replace(&mut self.driver.state.lock().companion, companion);
        drop(before);
    }

    /// Whether there is a task to run.
    pub(crate) fn is_ready(&self) -> bool {
        !self.driver.state.lock().runnable.is_empty()
    }

    /// Waits for a task to run.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.driver.state.lock();
        if !state.runnable.is_empty() {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<Tick> {
        self.driver.state.lock().timers.first_key_value().map(|((at, _), _)| *at)
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.driver.state.lock();
        f.debug_struct("Simulator")
            .field("now", &state.now)
            .field("steps", &state.steps)
            .finish_non_exhaustive()
    }
}

impl Simulated {
    fn step(&self, end: Option<Tick>) -> bool {
        let companion = self.keep_pace();
        let mut state = self.state.lock();
        if state.steps >= state.most_steps {
            // Whoever waits while that unwinds does not wait for ever.
            assert!(panicking(), "the run does not end: it has taken {} steps", state.steps);
            return false;
        }
        if let Some(task) = state.pick() {
            drop(state);
            if task.run() == Step::Spin {
                self.schedule(task);
            }
            return true;
        }
        if let Some(companion) = companion {
            let due = state.timers.first_key_value().map(|((at, _), _)| *at);
            drop(state);
            if companion.go_on([due, end].into_iter().flatten().min()) {
                return true;
            }
            state = self.state.lock();
        }
        let Some(entry) = state.timers.first_entry() else {
            return false;
        };
        let at = entry.key().0;
        if end.is_some_and(|end| at > end) {
            return false;
        }
        let task = entry.remove();
        state.now = state.now.max(at);
        drop(state);
        if let Some(task) = task.upgrade() {
            task.wake();
        }
        true
    }

    /// Moves the clock to where the companion's is, if there is one.
    fn keep_pace(&self) -> Option<Arc<dyn Companion>> {
        let companion = self.state.lock().companion.clone()?;
        let now = companion.now();
        let mut state = self.state.lock();
        state.now = state.now.max(now);
        drop(state);
        Some(companion)
    }
}

impl State {
    fn pick(&mut self) -> Option<Arc<Task>> {
        if self.runnable.is_empty() {
            return None;
        }
        #[allow(clippy::cast_possible_truncation)] // below a length
        let at = self.random.below(self.runnable.len() as u64) as usize;
        let task = self.runnable.swap_remove(at);
        #[allow(clippy::cast_possible_truncation)] // 580 years
        let now = self.now.as_nanos() as u64;
        self.trace = random::mix(self.trace ^ random::mix(task.id()) ^ now.rotate_left(32));
        self.steps += 1;
        Some(task)
    }

    fn status(&self, name: &Arc<str>, size: PoolSize, id: PoolId) -> PoolStatus {
        let queued = self.runnable.iter().filter(|task| task.pool() == id).count();
        PoolStatus {
            name: Arc::clone(name),
            threads: 0,
            least: size.least(),
            most: size.most(),
            queued,
            oldest: (queued > 0).then_some(Duration::ZERO), // the clock rests while a task can run
        }
    }
}

impl Driver for Simulated {
    fn name(&self) -> &'static str {
        "simulator"
    }

    fn clock(self: Arc<Self>) -> Clock {
        Clock::new(Arc::default(), self)
    }

    fn random(&self) -> u64 {
        self.state.lock().random.next()
    }

    fn pool(&self, name: &str, size: PoolSize) -> PoolId {
        let mut state = self.state.lock();
        let found = state.pools.iter().position(|(pool, _)| **pool == *name);
        PoolId(found.unwrap_or_else(|| {
            state.pools.push((name.into(), size));
            state.pools.len() - 1
        }))
    }

    fn find_pool(&self, name: &str) -> Option<PoolId> {
        self.state.lock().pools.iter().position(|(pool, _)| **pool == *name).map(PoolId)
    }

    fn pools(&self) -> Vec<PoolStatus> {
        let state = self.state.lock();
        let ids = (0..).map(PoolId);
        state
            .pools
            .iter()
            .zip(ids)
            .map(|((name, size), id)| state.status(name, *size, id))
            .collect()
    }

    fn overloaded_until(&self, _: PoolId) -> Tick {
        self.state.lock().overloaded_until
    }

    fn new_task_id(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_task += 1;
        state.next_task - 1
    }

    fn yield_now(&self) {}

    fn patience(&self) -> u32 {
        0
    }

    fn schedule(&self, task: Arc<Task>) {
        let mut state = self.state.lock();
        if task.id() >= state.first_alive {
            state.runnable.push(task);
        }
        #[cfg(feature = "tokio")]
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    fn schedule_at(&self, at: Tick, task: Weak<Task>) {
        let mut state = self.state.lock();
        state.timer_count += 1;
        let order = state.timer_count;
        state.timers.insert((at, order), task);
    }

    /// Nobody else can make `ready` true, so this runs the others until it is.
    fn wait(
        &self,
        _monitor: &Monitor,
        deadline: Option<Tick>,
        ready: &mut dyn FnMut() -> bool,
    ) -> bool {
        while !ready() {
            if !self.step(deadline) {
                let mut state = self.state.lock();
                state.now = deadline.unwrap_or(state.now).max(state.now);
                drop(state);
                return ready();
            }
        }
        true
    }
}

/// Never ticks, so that clocks are exact.
impl Source for Simulated {
    fn now(&self) -> Tick {
        self.keep_pace();
        self.state.lock().now
    }

    fn wall(&self) -> Timestamp {
        let (now, behind) = (self.now(), self.state.lock().behind);
        EPOCH.plus(now).minus(behind)
    }

    fn tick(self: Arc<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_tasks(seed: u64) -> (Vec<u32>, u64) {
        let sim = Simulator::new(seed);
        let runtime = sim.runtime();
        let pool = runtime.pool(Runtime::DEFAULT_POOL, 1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..2)
            .map(|name| {
                let order = Arc::clone(&order);
                let mut left = 5;
                runtime.task(pool, move || {
                    order.lock().push(name);
                    left -= 1;
                    if left > 0 { Step::Again } else { Step::Wait }
                })
            })
            .collect();
        tasks.iter().for_each(Task::wake);
        sim.run_until_idle();
        let order = order.lock().clone();
        (order, sim.trace_hash())
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        assert_eq!(two_tasks(1), two_tasks(1));
        assert!((2..20).any(|seed| two_tasks(seed).0 != two_tasks(1).0), "seeds matter");
    }

    #[test]
    fn the_clock_jumps_to_the_next_timer() {
        let sim = Simulator::new(0);
        let runtime = sim.runtime();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let (seen, clock) = (Arc::clone(&woken), runtime.clone());
        let task = runtime.task(runtime.pool(Runtime::DEFAULT_POOL, 1), move || {
            seen.lock().push(clock.now().as_secs());
            Step::Wait
        });
        runtime.wake_at(Duration::from_hours(1), &task);
        runtime.wake_at(Duration::from_mins(1), &task);
        sim.advance(Duration::from_secs(100));
        assert_eq!(*woken.lock(), [60]);
        assert_eq!(sim.elapsed(), Duration::from_secs(100));
        sim.run_until_idle();
        assert_eq!(*woken.lock(), [60, 3600]);
    }

    #[test]
    fn polling_is_for_threads() {
        let patience = |runtime: &Runtime| {
            runtime.yield_now();
            runtime.patience()
        };
        assert_eq!(patience(&Simulator::new(0).runtime()), 0);
        assert!(patience(&Runtime::threads()) > 0);
    }

    #[test]
    fn clocks_are_exact_however_often_they_are_asked() {
        let sim = Simulator::new(0);
        let clock = sim.runtime().clock();
        for second in 0..1000 {
            let now = Duration::from_secs(second);
            for _ in 0..200 {
                assert_eq!((clock.tick(), clock.wall()), (now, EPOCH.plus(now)));
            }
            assert!(!clock.is_ticking());
            sim.advance(Duration::from_secs(1));
        }
    }

    #[test]
    fn a_crash_silences_every_task() {
        let sim = Simulator::new(0);
        let runtime = sim.runtime();
        let ran = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&ran);
        let task = runtime.task(runtime.pool(Runtime::DEFAULT_POOL, 1), move || {
            *counter.lock() += 1;
            Step::Wait
        });
        task.wake();
        runtime.wake_at(Duration::from_secs(1), &task);
        sim.crash();
        sim.run_until_idle();
        task.wake();
        sim.run_until_idle();
        assert_eq!(*ran.lock(), 0);
    }
}
