//! Tasks under `loom`, which tries every order in which threads can get on.
//!
//! `RUSTFLAGS="--cfg tidings_loom" cargo test --release --lib models`

use std::{
    sync::{
        Arc, Weak,
        atomic::AtomicU64 as Plain,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    },
    time::Duration,
};

use loom::{
    sync::atomic::{AtomicBool, AtomicU32},
    thread,
};

use super::{
    Armed, Clock, Driver, Monitor, PoolId, PoolSize, PoolStatus, Precedence, Runtime, Step, Task,
    Tick, Timestamp,
    clock::Source,
    sync::{Condvar, Mutex},
};

/// Keeps tasks that are to run until somebody runs them.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    randoms: Plain,
}

#[derive(Default)]
struct Waiting {
    tasks: Vec<Arc<Task>>,
    is_closed: bool,
}

impl Queue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn runtime(self: &Arc<Self>) -> Runtime {
        Runtime::new(Arc::clone(self) as Arc<dyn Driver>)
    }

    pub(crate) fn task(
        self: &Arc<Self>,
        id: u64,
        body: impl FnMut() -> Step + Send + 'static,
    ) -> Arc<Task> {
        let driver: Weak<dyn Driver> = Arc::downgrade(&(Arc::clone(self) as Arc<dyn Driver>));
        Task::new(id, PoolId(0), Precedence::default(), driver, Box::new(body))
    }

    /// A task that was woken, in the hands of whoever is to run it.
    pub(crate) fn ready(
        self: &Arc<Self>,
        body: impl FnMut() -> Step + Send + 'static,
    ) -> Arc<Task> {
        let task = self.task(0, body);
        task.wake();
        self.waiting.lock().tasks.pop().unwrap_or(task)
    }

    /// Runs one of them, as a thread of a pool does.
    pub(crate) fn run_one(&self) -> bool {
        let task = self.waiting.lock().tasks.pop();
        task.map(|task| task.run()).is_some()
    }

    /// Runs them until it is closed.
    pub(crate) fn serve(&self) {
        loop {
            let mut waiting = self.waiting.lock();
            while waiting.tasks.is_empty() && !waiting.is_closed {
                self.changed.wait(&mut waiting);
            }
            drop(waiting);
            if !self.run_one() {
                return;
            }
        }
    }

    pub(crate) fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn run_all(&self) {
        while self.run_one() {}
    }
}

impl Driver for Queue {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn schedule(&self, task: Arc<Task>) {
        self.waiting.lock().tasks.push(task);
        self.changed.notify_one();
    }

    fn clock(self: Arc<Self>) -> Clock {
        Clock::new(Arc::default(), self)
    }

    fn random(&self) -> u64 {
        self.randoms.fetch_add(1, SeqCst)
    }

    fn pool(&self, _: &str, _: PoolSize) -> PoolId {
        PoolId(0)
    }

    fn find_pool(&self, _: &str) -> Option<PoolId> {
        unreachable!()
    }

    fn pools(&self) -> Vec<PoolStatus> {
        unreachable!()
    }

    fn overloaded_until(&self, _: PoolId) -> Tick {
        Duration::ZERO
    }

    fn new_task_id(&self) -> u64 {
        0
    }

    fn yield_now(&self) {}

    fn patience(&self) -> u32 {
        0
    }

    /// No time passes.
    fn schedule_at(&self, _: Tick, _: Weak<Task>) {}

    fn wait(&self, monitor: &Monitor, _: Option<Tick>, ready: &mut dyn FnMut() -> bool) -> bool {
        monitor.sleep_until(None, ready)
    }
}

impl Source for Queue {
    fn now(&self) -> Tick {
        Tick::ZERO
    }

    fn wall(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn tick(self: Arc<Self>) {}
}

#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let queue = Queue::new();
        let (news, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (told, sees) = (Arc::clone(&news), Arc::clone(&seen));
        let task = queue.task(0, move || {
            if told.load(Acquire) {
                sees.store(true, Release);
            }
            Step::Wait
        });
        task.wake();
        let pool = Arc::clone(&queue);
        let thread = thread::spawn(move || _ = pool.run_one());
        news.store(true, Release);
        task.wake();
        thread.join().unwrap();
        queue.run_all();
        assert!(seen.load(Acquire), "the task rests, and has not seen what it was woken for");
    });
}

#[test]
fn one_thread_at_a_time_runs_a_task() {
    loom::model(|| {
        let queue = Queue::new();
        let (inside, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (enters, counts) = (Arc::clone(&inside), Arc::clone(&runs));
        let task = queue.task(0, move || {
            assert!(!enters.swap(true, AcqRel), "two threads run it");
            let before = counts.fetch_add(1, AcqRel);
            enters.store(false, Release);
            if before == 0 { Step::Again } else { Step::Wait }
        });
        task.wake();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (pool, task) = (Arc::clone(&queue), Arc::clone(&task));
                thread::spawn(move || {
                    task.wake();
                    pool.run_one();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        queue.run_all();
        assert!(runs.load(SeqCst) >= 2, "it has asked for another turn");
    });
}

#[test]
fn a_task_that_is_stopped_lets_go_of_everything() {
    loom::model(|| {
        let queue = Queue::new();
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let task = queue.task(0, move || {
            assert!(Arc::strong_count(&holds) > 1);
            Step::Again
        });
        task.wake();
        let pool = Arc::clone(&queue);
        let thread = thread::spawn(move || _ = pool.run_one());
        task.wake();
        task.stop();
        thread.join().unwrap();
        queue.run_all();
        assert_eq!(Arc::strong_count(&held), 1, "its body is still there");
    });
}

#[test]
fn who_waits_for_a_condition_is_told_when_it_holds() {
    loom::model(|| {
        let (monitor, holds) = (Arc::new(Monitor::default()), Arc::new(AtomicBool::new(false)));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let (monitor, holds) = (Arc::clone(&monitor), Arc::clone(&holds));
                thread::spawn(move || monitor.sleep_until(None, &mut || holds.load(Relaxed)))
            })
            .collect();
        holds.store(true, Relaxed);
        monitor.notify();
        // One that sleeps on is a deadlock, and loom says so.
        waiters.into_iter().for_each(|waiter| assert!(waiter.join().unwrap()));
    });
}

#[test]
fn what_is_new_is_seen_by_a_look_or_has_the_task_come() {
    loom::model(|| {
        let (armed, news) = (Arc::new(Armed::default()), Arc::new(AtomicU32::new(0)));
        assert!(armed.arm());
        let (own, told) = (Arc::clone(&armed), Arc::clone(&news));
        let look = thread::spawn(move || {
            own.begin();
            told.load(Relaxed)
        });
        let called = (1..=2).filter(|count| {
            news.store(*count, Relaxed);
            armed.arm()
        });
        let called = called.count();
        assert!(called <= 1);
        let seen = look.join().unwrap();
        assert!(called > 0 || seen == 2, "the look has missed what nobody comes for any more");
    });
}
