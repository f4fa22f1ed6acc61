//! The production driver: named pools of threads, the system's clocks, and a timer.
#![allow(clippy::disallowed_methods)] // the one place where they are allowed

mod timer;

use std::{
    hash::{BuildHasher, RandomState},
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::{Mutex, RwLock};

use super::{Clock, Driver, Monitor, PoolId, Runtime, Task, Tick, random};
use timer::Timer;

pub(super) struct Threads {
    /// Counts up by an odd number; its scramble is the random output. Lock-free `SplitMix64`.
    random: AtomicU64,
    task_ids: AtomicU64,
    pools: RwLock<Vec<Pool>>,
    timer: Arc<Timer>,
}

struct Pool {
    name: Arc<str>,
    size: usize,
    /// How many threads run. Grows to `size` when the first task comes.
    running: Mutex<usize>,
    queue: Sender<Arc<Task>>,
    tasks: Receiver<Arc<Task>>,
}

impl Threads {
    pub(super) fn new() -> Self {
        let threads = Self {
            random: AtomicU64::new(RandomState::new().hash_one(0)),
            task_ids: AtomicU64::new(0),
            pools: RwLock::default(),
            timer: Timer::new(),
        };
        let cores = thread::available_parallelism().map_or(2, usize::from);
        threads.pool(Runtime::DEFAULT_POOL, cores.max(2));
        threads
    }
}

impl Driver for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn clock(self: Arc<Self>) -> Clock {
        self.timer.clock()
    }

    fn random(&self) -> u64 {
        random::mix(self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }

    fn pool(&self, name: &str, threads: usize) -> PoolId {
        let mut pools = self.pools.write();
        let at = pools.iter().position(|pool| &*pool.name == name).unwrap_or_else(|| {
            pools.push(Pool::new(name, threads));
            pools.len() - 1
        });
        PoolId(at)
    }

    fn find_pool(&self, name: &str) -> Option<PoolId> {
        self.pools.read().iter().position(|pool| &*pool.name == name).map(PoolId)
    }

    fn new_task_id(&self) -> u64 {
        self.task_ids.fetch_add(1, Ordering::Relaxed)
    }

    fn schedule(&self, task: Arc<Task>) {
        if let Some(pool) = self.pools.read().get(task.pool().0) {
            pool.push(task);
        }
    }

    fn schedule_at(&self, at: Tick, task: Weak<Task>) {
        self.timer.add(at, task);
    }

    fn wait(
        &self,
        monitor: &Monitor,
        deadline: Option<Tick>,
        ready: &mut dyn FnMut() -> bool,
    ) -> bool {
        let deadline = deadline.and_then(|deadline| self.timer.instant(deadline));
        monitor.sleep_until(deadline, ready)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.timer.close();
    }
}

impl Pool {
    fn new(name: &str, size: usize) -> Self {
        let (queue, tasks) = unbounded();
        Self { name: name.into(), size: size.max(1), running: Mutex::new(0), queue, tasks }
    }

    fn push(&self, task: Arc<Task>) {
        self.ensure_running();
        if self.queue.send(task).is_err() {
            tracing::error!(pool = &*self.name, "the pool's queue is closed; a task was dropped");
        }
    }

    /// Threads live until the driver, and with it the sending half of the queue, is dropped.
    fn ensure_running(&self) {
        let mut running = self.running.lock();
        while *running < self.size {
            let tasks = self.tasks.clone();
            let name = format!("tidings:{}-{running}", self.name);
            let work = move || tasks.iter().for_each(|task| run_guarded(&task));
            if let Err(error) = thread::Builder::new().name(name).spawn(work) {
                tracing::error!(pool = &*self.name, %error, "could not start a pool's thread");
                return;
            }
            *running += 1;
        }
    }
}

/// Handlers' panics are caught where they are called. One that arrives here is a bug of ours, and
/// must not cost the pool a thread.
fn run_guarded(task: &Arc<Task>) {
    if panic::catch_unwind(AssertUnwindSafe(|| task.run())).is_err() {
        tracing::error!(?task, "an engine task panicked; please report this as a bug");
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::runtime::Step;

    #[test]
    fn a_task_that_is_woken_all_the_time_never_dies() {
        const STEPS: u64 = 200_000;
        let runtime = Runtime::threads();
        let steps = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&steps);
        let pool = runtime.pool(Runtime::DEFAULT_POOL, 2);
        let task = runtime.task(pool, move || {
            let step = count.fetch_add(1, Ordering::Relaxed);
            if step.is_multiple_of(3) { Step::Wait } else { Step::Again }
        });
        let deadline = Instant::now() + Duration::from_mins(1);
        while steps.load(Ordering::Relaxed) < STEPS {
            task.wake();
            assert!(Instant::now() < deadline, "the task is dead");
        }
    }

    #[test]
    fn threads_end_with_the_runtime() {
        let runtime = Runtime::threads();
        let pool = runtime.pool("few", 2);
        let (tell, told) = std::sync::mpsc::channel();
        let task = runtime.task(pool, move || {
            tell.send(thread::current().name().map(str::to_owned)).ok();
            Step::Wait
        });
        task.wake();
        let name = told.recv().ok().flatten().unwrap_or_default();
        assert!(name.starts_with("tidings:few-"), "{name}");
        task.stop();
        drop(runtime);
        assert!(told.recv().is_err(), "the task's body is gone");
    }
}
