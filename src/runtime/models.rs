//! Tasks under `loom`, which tries every order in which threads can get on.
//!
//! `RUSTFLAGS="--cfg tidings_loom" cargo test --release --lib models`

use std::{
    sync::{
        Arc, Weak,
        atomic::Ordering::{AcqRel, Acquire, Release, SeqCst},
    },
    time::Duration,
};

use loom::{
    sync::atomic::{AtomicBool, AtomicU32},
    thread,
};

use super::{
    Clock, Driver, Monitor, PoolId, PoolSize, PoolStatus, Precedence, Step, Task, Tick, sync::Mutex,
};

/// Keeps tasks that are to run until somebody runs them.
pub(crate) struct Queue(Mutex<Vec<Arc<Task>>>);

impl Queue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Vec::new())))
    }

    pub(crate) fn task(
        self: &Arc<Self>,
        id: u64,
        body: impl FnMut() -> Step + Send + 'static,
    ) -> Arc<Task> {
        let driver: Weak<dyn Driver> = Arc::downgrade(&(Arc::clone(self) as Arc<dyn Driver>));
        Task::new(id, PoolId(0), Precedence::default(), driver, Box::new(body))
    }

    /// Runs one of them, as a thread of a pool does.
    pub(crate) fn run_one(&self) -> bool {
        let task = self.0.lock().pop();
        task.map(|task| task.run()).is_some()
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
        self.0.lock().push(task);
    }

    fn clock(self: Arc<Self>) -> Clock {
        unreachable!()
    }

    fn random(&self) -> u64 {
        unreachable!()
    }

    fn pool(&self, _: &str, _: PoolSize) -> PoolId {
        unreachable!()
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
        unreachable!()
    }

    fn yield_now(&self) {}

    fn patience(&self) -> u32 {
        0
    }

    fn schedule_at(&self, _: Tick, _: Weak<Task>) {
        unreachable!()
    }

    fn wait(&self, _: &Monitor, _: Option<Tick>, _: &mut dyn FnMut() -> bool) -> bool {
        unreachable!()
    }
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
