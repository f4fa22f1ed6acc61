//! The one place where time, tasks, timers and randomness come from.
//!
//! Everything the engine does on its own is a [`Task`]: a body that runs a short step and says
//! whether it wants to run again. Two drivers run tasks: [`threads`] in production, and
//! [`simulator`], single-threaded, seeded, with a virtual clock, in tests.

mod armed;
mod clock;
mod ending;
#[cfg(all(test, tidings_loom))]
pub(crate) mod models;
mod monitor;
mod pool;
mod random;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulator;
pub(crate) mod sync;
mod table;
mod task;
mod threads;
mod time;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

pub(crate) use armed::Armed;
pub(crate) use clock::Clock;
#[cfg(any(test, feature = "testing"))]
pub(crate) use ending::ProcessEnded;
pub(crate) use ending::{ends_process, in_handler};
pub(crate) use monitor::Monitor;
pub(crate) use pool::{PoolId, Precedence};
pub use pool::{PoolSize, PoolStatus, Priority};
#[cfg(any(test, feature = "testing"))]
pub(crate) use random::{Random, mix};
pub(crate) use table::{ByHash, Seeded, Table};
pub(crate) use task::{Step, Task, in_task, inside_task};
pub use time::Timestamp;

/// Time since the runtime started: what timers count in. Never goes backwards.
pub(crate) type Tick = Duration;

/// Where a bus gets time, threads and randomness from. Cheap to clone; several buses may share one.
///
/// Threads start when they are first needed and park when there is nothing to do.
#[derive(Clone)]
pub struct Runtime {
    driver: Arc<dyn Driver>,
    clock: Clock,
}

/// What a runtime must be able to do. Tasks hold it weakly, so a dropped runtime runs nothing more.
pub(crate) trait Driver: Send + Sync {
    fn name(&self) -> &'static str;
    fn clock(self: Arc<Self>) -> Clock;
    fn random(&self) -> u64;
    /// The pool of this name, made with this size if it is new.
    fn pool(&self, name: &str, size: PoolSize) -> PoolId;
    fn find_pool(&self, name: &str) -> Option<PoolId>;
    fn pools(&self) -> Vec<PoolStatus>;
    /// Until when a pool counts as overloaded.
    fn overloaded_until(&self, pool: PoolId) -> Tick;
    fn new_task_id(&self) -> u64;
    fn yield_now(&self);
    fn patience(&self) -> u32;
    fn schedule(&self, task: Arc<Task>);
    fn schedule_at(&self, at: Tick, task: Weak<Task>);
    /// Waits until `ready` says so (true) or `deadline` has passed (the last answer of `ready`).
    /// Whoever changes what `ready` looks at notifies `monitor` afterwards.
    fn wait(
        &self,
        monitor: &Monitor,
        deadline: Option<Tick>,
        ready: &mut dyn FnMut() -> bool,
    ) -> bool;
}

impl Runtime {
    /// Where subscriptions run unless they name another pool: one thread for each core, at least 2.
    pub const DEFAULT_POOL: &'static str = "default";

    /// The production runtime: named thread pools and a timer.
    #[must_use]
    pub fn threads() -> Self {
        Self::new(Arc::new(threads::Threads::new()))
    }

    pub(crate) fn new(driver: Arc<dyn Driver>) -> Self {
        let clock = Arc::clone(&driver).clock();
        Self { driver, clock }
    }

    pub(crate) fn now(&self) -> Tick {
        self.clock.source().now()
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.source().wall()
    }

    /// The same time for hot paths: less exact, and cheaper.
    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub(crate) fn random(&self) -> u64 {
        self.driver.random()
    }

    pub(crate) fn pool(&self, name: &str, size: impl Into<PoolSize>) -> PoolId {
        self.driver.pool(name, size.into())
    }

    pub(crate) fn find_pool(&self, name: &str) -> Option<PoolId> {
        self.driver.find_pool(name)
    }

    pub(crate) fn pools(&self) -> Vec<PoolStatus> {
        self.driver.pools()
    }

    /// A task at rest. It runs once somebody wakes it.
    pub(crate) fn task(
        &self,
        pool: PoolId,
        body: impl FnMut() -> Step + Send + 'static,
    ) -> Arc<Task> {
        self.task_among(pool, Precedence::default(), body)
    }

    /// The same, with a place among others of the pool.
    pub(crate) fn task_among(
        &self,
        pool: PoolId,
        precedence: Precedence,
        body: impl FnMut() -> Step + Send + 'static,
    ) -> Arc<Task> {
        let (id, driver) = (self.driver.new_task_id(), Arc::downgrade(&self.driver));
        Task::new(id, pool, precedence, driver, Box::new(body))
    }

    /// Until when a pool counts as overloaded: a task of it that is not sheddable has waited too long
    /// for a thread.
    pub(crate) fn overloaded_until(&self, pool: PoolId) -> Tick {
        self.driver.overloaded_until(pool)
    }

    /// Wakes the task at that time. Waking a task too early or twice does no harm.
    pub(crate) fn wake_at(&self, at: Tick, task: &Arc<Task>) {
        self.driver.schedule_at(at, Arc::downgrade(task));
    }

    /// Lets another thread have the core for a moment, about half a microsecond where none wants it.
    /// For a task that polls; nothing under the simulator.
    pub(crate) fn yield_now(&self) {
        self.driver.yield_now();
    }

    /// How many fruitless polls, each of them a [`Step::Look`], a task should make before
    /// it rests: together they cost about as much as being woken. None under the simulator, where
    /// nothing can come in between.
    pub(crate) fn patience(&self) -> u32 {
        self.driver.patience()
    }

    pub(crate) fn wait(
        &self,
        monitor: &Monitor,
        deadline: Option<Tick>,
        mut ready: impl FnMut() -> bool,
    ) -> bool {
        self.driver.wait(monitor, deadline, &mut ready)
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self::threads()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Runtime").field(&self.driver.name()).finish()
    }
}
