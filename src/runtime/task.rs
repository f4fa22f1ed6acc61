//! A unit of engine work that runs in short steps.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, Weak, atomic::Ordering},
};

use super::{
    Driver, PoolId, Precedence,
    sync::{AtomicU8, Mutex},
};

/// What a step wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Run again soon, after others had their turn.
    Again,
    /// The same, though there was nothing to do: other threads may have the core first.
    Look,
    /// Run again at once, and on this thread, unless others wait for it.
    Spin,
    /// Rest until woken.
    Wait,
}

type Body = Box<dyn FnMut() -> Step + Send>;

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
/// Running, and woken meanwhile: it runs once more, so that no wake-up is lost.
const WOKEN: u8 = 3;
const STOPPED: u8 = 4;

/// A unit of engine work. At most one thread runs its body at a time; a wake-up while it runs
/// makes it run again.
pub(crate) struct Task {
    id: u64,
    pool: PoolId,
    precedence: Precedence,
    driver: Weak<dyn Driver>,
    /// One of the constants above. Only `wake`, `run` and `stop` change it.
    state: AtomicU8,
    /// Dropped when the task stops, which breaks the circle from the engine to its tasks and back.
    body: Mutex<Option<Body>>,
}

impl Task {
    pub(super) fn new(
        id: u64,
        pool: PoolId,
        precedence: Precedence,
        driver: Weak<dyn Driver>,
        body: Body,
    ) -> Arc<Self> {
        let (state, body) = (AtomicU8::new(IDLE), Mutex::new(Some(body)));
        Arc::new(Self { id, pool, precedence, driver, state, body })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn pool(&self) -> PoolId {
        self.pool
    }

    pub(super) fn precedence(&self) -> Precedence {
        self.precedence
    }

    /// Has the task run soon, and see what the caller has written before. Costs an exchange, also when
    /// it is already going to run: a mere look would not have that see it.
    pub(crate) fn wake(self: &Arc<Self>) {
        let woken = |state| match state {
            IDLE | QUEUED => Some(QUEUED),
            RUNNING | WOKEN => Some(WOKEN),
            _ => None,
        };
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, woken);
        if before == Ok(IDLE) {
            self.schedule();
        }
    }

    /// Runs one step. Called by the driver, for a task that it was asked to schedule. One that spins
    /// is in the caller's hands again, as if it had been scheduled; any other is not.
    #[must_use]
    pub(super) fn run(self: &Arc<Self>) -> Step {
        if !self.switch(QUEUED, RUNNING) {
            return Step::Wait;
        }
        let step = self.step();
        // In one exchange, since a wake-up may come at any moment.
        let after = |state| match state {
            STOPPED => None,
            RUNNING if step == Step::Wait => Some(IDLE),
            _ => Some(QUEUED),
        };
        match self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, after) {
            Err(_) => {
                *self.body.lock() = None;
                return Step::Wait;
            }
            Ok(RUNNING) if step == Step::Wait => {}
            Ok(_) if step == Step::Spin => {}
            Ok(_) => self.schedule(),
        }
        step
    }

    /// Ends the task. A step that is running finishes; none starts after it.
    pub(crate) fn stop(&self) {
        let before = self.state.swap(STOPPED, Ordering::AcqRel);
        // Whoever runs the step finds it stopped, and drops the body when the step is done. That may be the
        // caller, who may stop it twice.
        if before == IDLE || before == QUEUED {
            *self.body.lock() = None;
        }
    }

    fn step(&self) -> Step {
        let _inside = Inside::enter();
        self.body.lock().as_mut().map_or(Step::Wait, |body| body())
    }

    fn switch(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn schedule(self: &Arc<Self>) {
        if let Some(driver) = self.driver.upgrade() {
            driver.schedule(Arc::clone(self));
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("id", &self.id).finish_non_exhaustive()
    }
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether the caller runs inside a task, where waiting for other tasks could wait for ever.
pub(crate) fn in_task() -> bool {
    DEPTH.get() > 0
}

/// Runs something as if inside a task.
pub(crate) fn inside_task<R>(run: impl FnOnce() -> R) -> R {
    let _inside = Inside::enter();
    run()
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}
