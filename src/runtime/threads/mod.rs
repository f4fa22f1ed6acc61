//! The production driver: named pools of threads, the system's clocks, and a timer.
#![allow(clippy::disallowed_methods)] // the one place where they are allowed

mod pool;
mod sizing;
mod timer;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use parking_lot::RwLock;

use super::{Clock, Driver, Monitor, PoolId, PoolSize, PoolStatus, Runtime, Task, Tick, random};
use pool::Pool;
use timer::Timer;

/// Polls with a yield each that take about as long as waking a thread, 10 to 20 microseconds.
const PATIENCE: u32 = 32;

pub(super) struct Threads {
    /// Counts up by an odd number; its scramble is the random output. Lock-free `SplitMix64`.
    random: AtomicU64,
    task_ids: AtomicU64,
    pools: RwLock<Vec<Arc<Pool>>>,
    timer: Arc<Timer>,
    cores: usize,
}

impl Threads {
    pub(super) fn new() -> Self {
        let threads = Self {
            random: AtomicU64::new(RandomState::new().hash_one(0)),
            task_ids: AtomicU64::new(0),
            pools: RwLock::default(),
            timer: Timer::new(),
            cores: thread::available_parallelism().map_or(2, usize::from),
        };
        threads.pool(Runtime::DEFAULT_POOL, threads.cores.max(2).into());
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

    fn pool(&self, name: &str, size: PoolSize) -> PoolId {
        let mut pools = self.pools.write();
        let at = pools.iter().position(|pool| pool.name() == name).unwrap_or_else(|| {
            pools.push(Pool::new(name, size, self.cores, &self.timer));
            pools.len() - 1
        });
        PoolId(at)
    }

    fn find_pool(&self, name: &str) -> Option<PoolId> {
        self.pools.read().iter().position(|pool| pool.name() == name).map(PoolId)
    }

    fn pools(&self) -> Vec<PoolStatus> {
        self.pools.read().iter().map(|pool| pool.status()).collect()
    }

    fn overloaded_until(&self, pool: PoolId) -> Tick {
        self.pools.read().get(pool.0).map_or(Tick::ZERO, |pool| pool.overloaded_until())
    }

    fn new_task_id(&self) -> u64 {
        self.task_ids.fetch_add(1, Ordering::Relaxed)
    }

    fn yield_now(&self) {
        thread::yield_now();
    }

    fn patience(&self) -> u32 {
        PATIENCE
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
}
