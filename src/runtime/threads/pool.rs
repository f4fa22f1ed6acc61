//! A pool: a queue of tasks, and threads that take them from it in order.
//!
//! Threads start with the first task. They live until the pool is closed and its queue empty, or,
//! in an adaptive pool, until [`Sizing`] finds them superfluous. It is asked by alarms, which are set
//! while tasks wait or there are more threads than the least.

use std::{
    collections::VecDeque,
    hint,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    thread,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    sizing::{Change, Load, Sizing},
    timer::{Alarm, Timer},
};
use crate::runtime::{Clock, PoolSize, PoolStatus, Task, Tick};

/// How often a thread that finds nothing looks again before it rests: what comes in that time, some
/// microseconds, costs whoever brings it no wake-up.
const POLLS: u32 = 11;

/// The first of these keep the core, each for twice as long as the one before.
const SPINS: u32 = 7;

pub(super) struct Pool {
    name: Arc<str>,
    size: PoolSize,
    clock: Clock,
    timer: Arc<Timer>,
    state: Mutex<State>,
    came: Condvar,
}

struct State {
    queue: VecDeque<Queued>,
    threads: usize,
    /// Threads that wait for `came`. Whoever notifies one takes it off.
    resting: usize,
    /// So many threads are to end: the first ones that look.
    leaving: usize,
    /// Threads that were ever started, for their names.
    started: u64,
    closed: bool,
    sizing: Sizing,
    /// When alarms will ring, to look at the queue and at the threads.
    look_at: Option<Tick>,
    rest_at: Option<Tick>,
}

struct Queued {
    came: Tick,
    task: Arc<Task>,
}

impl Pool {
    pub(super) fn new(name: &str, size: PoolSize, cores: usize, timer: &Arc<Timer>) -> Arc<Self> {
        let state = State {
            queue: VecDeque::new(),
            threads: 0,
            resting: 0,
            leaving: 0,
            started: 0,
            closed: false,
            sizing: Sizing::new(size, cores),
            look_at: None,
            rest_at: None,
        };
        Arc::new(Self {
            name: name.into(),
            size,
            clock: timer.clock(),
            timer: Arc::clone(timer),
            state: Mutex::new(state),
            came: Condvar::new(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn status(&self) -> PoolStatus {
        let now = self.clock.source().now();
        let state = self.state.lock();
        PoolStatus {
            name: Arc::clone(&self.name),
            threads: state.threads,
            least: self.size.least(),
            most: self.size.most(),
            queued: state.queue.len(),
            oldest: state.queue.front().map(|queued| now.saturating_sub(queued.came)),
        }
    }

    pub(super) fn push(self: &Arc<Self>, task: Arc<Task>) {
        let came = self.clock.tick();
        let mut state = self.state.lock();
        state.queue.push_back(Queued { came, task });
        if state.threads < self.size.least() {
            let missing = self.size.least() - state.threads;
            self.start(&mut state, missing);
        }
        if state.rouse() {
            drop(state);
            self.came.notify_one();
        } else if state.look_at.is_none() {
            state.look_at = state.sizing.first_look(came, state.staying());
            self.set_alarm(state.look_at);
        }
    }

    /// The threads end once nothing is queued.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.resting = 0;
        drop(state);
        self.came.notify_all();
    }

    fn start(self: &Arc<Self>, state: &mut State, count: usize) {
        for _ in 0..count {
            let pool = Arc::clone(self);
            let name = format!("tidings:{}-{}", self.name, state.started);
            if let Err(error) = thread::Builder::new().name(name).spawn(move || pool.work()) {
                tracing::error!(pool = &*self.name, %error, "could not start a pool's thread");
                state.sizing.note_failure(self.clock.source().now());
                return;
            }
            state.started += 1;
            state.threads += 1;
        }
    }

    fn work(&self) {
        while let Some(task) = self.take() {
            run_guarded(task);
        }
    }

    /// The next task, waiting for one. None where this thread is to end.
    fn take(&self) -> Option<Arc<Task>> {
        let mut polls = 0;
        let mut state = self.state.lock();
        loop {
            if state.leave() {
                return None;
            }
            if let Some(queued) = state.queue.pop_front() {
                state.sizing.note_taken();
                return Some(queued.task);
            }
            if state.closed {
                state.threads -= 1;
                return None;
            }
            if polls < POLLS {
                MutexGuard::unlocked(&mut state, || pause(polls));
                polls += 1;
                continue;
            }
            state.resting += 1;
            self.came.wait(&mut state);
        }
    }

    fn apply(self: &Arc<Self>, state: &mut State, change: Change) {
        match change {
            Change::Stay => {}
            Change::Grow(count) => {
                let kept = count.min(state.leaving);
                state.leaving -= kept;
                self.start(state, count - kept);
            }
            Change::Shrink(count) => {
                state.leaving += count;
                for _ in 0..count.min(state.resting) {
                    state.rouse();
                    self.came.notify_one();
                }
            }
        }
    }

    fn set_alarm(self: &Arc<Self>, at: Option<Tick>) {
        if let Some(at) = at {
            self.timer.add(at, Arc::<Self>::downgrade(self) as Weak<dyn Alarm>);
        }
    }
}

impl Alarm for Pool {
    fn ring(self: Arc<Self>) {
        let now = self.clock.source().now();
        let mut state = self.state.lock();
        if state.look_at.take_if(|at| *at <= now).is_some() {
            let load = state.load(now);
            let change = state.sizing.look(&load);
            self.apply(&mut state, change);
            state.look_at = state.sizing.next_look(&state.load(now));
            self.set_alarm(state.look_at);
        }
        if state.rest_at.take_if(|at| *at <= now).is_some() {
            let load = state.load(now);
            let change = state.sizing.look_at_rest(&load);
            self.apply(&mut state, change);
        }
        if state.rest_at.is_none() {
            state.rest_at = state.sizing.next_rest(state.staying());
            self.set_alarm(state.rest_at);
        }
    }
}

impl State {
    fn staying(&self) -> usize {
        self.threads - self.leaving
    }

    /// Counts one of the threads at rest as awake, if there is any. It is to be notified.
    fn rouse(&mut self) -> bool {
        if self.resting == 0 {
            return false;
        }
        self.resting -= 1;
        self.sizing.note_resting(self.resting);
        true
    }

    /// Counts this thread as ended, if one is to end.
    fn leave(&mut self) -> bool {
        if self.leaving == 0 {
            return false;
        }
        self.leaving -= 1;
        self.threads -= 1;
        true
    }

    fn load(&self, now: Tick) -> Load {
        Load {
            now,
            threads: self.staying(),
            resting: self.resting,
            oldest: self.queue.front().map(|queued| queued.came),
        }
    }
}

fn pause(polls: u32) {
    if polls < SPINS {
        (0..1 << polls).for_each(|_| hint::spin_loop());
    } else {
        thread::yield_now();
    }
}

/// Handlers' panics are caught where they are called. One that arrives here is a bug of ours, or of
/// what belongs to users and is dropped here, and must not cost the pool a thread.
fn run_guarded(task: Arc<Task>) {
    let id = task.id();
    if catch_unwind(AssertUnwindSafe(move || task.run())).is_err() {
        tracing::error!(task = id, "an engine task panicked; please report this as a bug");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        time::{Duration, Instant},
    };

    use super::*;
    use crate::runtime::{PoolId, Runtime, Step, threads::Threads};

    struct Fixture {
        runtime: Runtime,
        id: PoolId,
        pool: Arc<Pool>,
    }

    impl Fixture {
        fn new(size: PoolSize) -> Self {
            let driver = Arc::new(Threads::new());
            let runtime = Runtime::new(Arc::clone(&driver) as _);
            let id = runtime.pool("pool", size);
            let pool = Arc::clone(&driver.pools.read()[id.0]);
            Self { runtime, id, pool }
        }

        /// Tasks that do this again and again, until told to stop.
        fn run(&self, count: usize, step: impl Fn() + Clone + Send + 'static) -> Vec<Arc<Task>> {
            let tasks: Vec<_> = (0..count)
                .map(|_| {
                    let step = step.clone();
                    self.runtime.task(self.id, move || {
                        step();
                        Step::Again
                    })
                })
                .collect();
            tasks.iter().for_each(Task::wake);
            tasks
        }

        fn until(&self, holds: impl Fn(&PoolStatus) -> bool) {
            let deadline = Instant::now() + Duration::from_mins(1);
            while !holds(&self.pool.status()) {
                assert!(Instant::now() < deadline, "{:?}", self.pool.status());
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn stop(tasks: &[Arc<Task>]) {
        for task in tasks {
            task.stop();
        }
    }

    /// A step that blocks, and the most that ever did so at once.
    fn blocking() -> (impl Fn() + Clone + Send + 'static, Arc<AtomicUsize>) {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let step = move || {
            seen.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            thread::sleep(Duration::from_millis(20));
            now.fetch_sub(1, SeqCst);
        };
        (step, most)
    }

    #[test]
    fn an_adaptive_pool_grows_for_tasks_that_block_and_shrinks_when_they_are_gone() {
        let fixture = Fixture::new(PoolSize::adaptive(1..=8));
        for _ in 0..2 {
            let (step, most) = blocking();
            let tasks = fixture.run(8, step);
            fixture.until(|status| most.load(SeqCst) == 8 && status.threads == 8);
            stop(&tasks);
            let stopped = Instant::now();
            fixture.until(|status| status.threads == 1);
            assert!(stopped.elapsed() > Duration::from_millis(900), "it waits a while");
        }
        fixture.until(|_| {
            let state = fixture.pool.state.lock();
            state.look_at.is_none() && state.rest_at.is_none()
        });
    }

    #[test]
    fn a_fixed_pool_stays_as_it_is() {
        let fixture = Fixture::new(2.into());
        assert_eq!(fixture.pool.status().threads, 0, "until the first task");
        let (step, most) = blocking();
        let tasks = fixture.run(8, step);
        fixture.until(|status| status.queued == 6 && status.oldest > Some(Duration::ZERO));
        thread::sleep(Duration::from_millis(300));
        assert_eq!((fixture.pool.status().threads, most.load(SeqCst)), (2, 2));
        stop(&tasks);
    }

    #[test]
    fn a_flood_of_fast_tasks_is_no_reason_to_grow() {
        let flood = || {
            let fixture = Fixture::new(PoolSize::adaptive(1..=64));
            let tasks = fixture.run(4, || {});
            thread::sleep(Duration::from_millis(300));
            let threads = fixture.pool.status().threads;
            stop(&tasks);
            threads
        };
        // On a machine that is busy with others, they may look like tasks that block.
        assert!((0..10).any(|_| flood() <= 2));
    }

    #[test]
    fn no_wake_up_is_lost_while_threads_come_and_go() {
        let fixture = Fixture::new(PoolSize::adaptive(1..=4));
        let (ran, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let count = Arc::clone(&ran);
        let task = fixture.runtime.task(fixture.id, move || {
            count.fetch_add(1, SeqCst);
            Step::Wait
        });
        let (pool, stop) = (Arc::clone(&fixture.pool), Arc::clone(&done));
        let changer = thread::spawn(move || {
            while !stop.load(SeqCst) {
                let mut state = pool.state.lock();
                let change = match state.staying() {
                    0 | 1 => Change::Grow(3),
                    more => Change::Shrink(more - 1),
                };
                pool.apply(&mut state, change);
                drop(state);
                thread::yield_now();
            }
        });
        for round in 1..=2000 {
            task.wake();
            fixture.until(|_| ran.load(SeqCst) >= round);
        }
        done.store(true, SeqCst);
        assert!(changer.join().is_ok());
    }
}
