//! Calls a notifier: soon, or at a time.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::Notifier;
use crate::runtime::{Runtime, Step, Task, Tick};

/// Calls a notifier, on a thread of the runtime and with nothing locked.
pub(crate) struct Bell {
    runtime: Runtime,
    notifier: Mutex<Option<Notifier>>,
    task: Arc<Task>,
    ringing: Mutex<Ringing>,
}

#[derive(Debug, Default)]
struct Ringing {
    /// The notifier is to be called.
    now: bool,
    /// A timer is set for then.
    at: Option<Tick>,
}

impl Bell {
    /// One that is silent. Whenever it has rung, `next` says when to ring next.
    pub(crate) fn new(
        runtime: &Runtime,
        next: impl Fn(Tick) -> Option<Tick> + Send + 'static,
    ) -> Arc<Self> {
        Arc::new_cyclic(|bell: &Weak<Self>| {
            let bell = bell.clone();
            let pool = runtime.find_pool(Runtime::DEFAULT_POOL);
            let pool = pool.unwrap_or_else(|| runtime.pool(Runtime::DEFAULT_POOL, 1));
            let task = runtime.task(pool, move || {
                if let Some(bell) = bell.upgrade() {
                    bell.run(&next);
                }
                Step::Wait
            });
            let (notifier, ringing) = (Mutex::default(), Mutex::default());
            Self { runtime: runtime.clone(), notifier, task, ringing }
        })
    }

    /// Has this called from now on, and at once, for all that may have been missed.
    pub(crate) fn set(&self, notifier: Notifier) {
        *self.notifier.lock() = Some(notifier);
        self.ring();
    }

    /// Has the notifier called soon.
    pub(crate) fn ring(&self) {
        if self.is_heard() {
            self.ringing.lock().now = true;
            self.task.wake();
        }
    }

    /// Has the notifier called then, unless it is called earlier anyway.
    pub(crate) fn ring_at(&self, at: Tick) {
        if !self.is_heard() {
            return;
        }
        let mut ringing = self.ringing.lock();
        if ringing.at.is_none_or(|set| at < set) {
            ringing.at = Some(at);
            drop(ringing);
            self.runtime.wake_at(at, &self.task);
        }
    }

    /// Never calls it again.
    pub(crate) fn stop(&self) {
        self.task.stop();
    }

    fn is_heard(&self) -> bool {
        self.notifier.lock().is_some()
    }

    fn run(&self, next: impl Fn(Tick) -> Option<Tick>) {
        let now = self.runtime.now();
        let mut ringing = self.ringing.lock();
        let is_due = ringing.at.is_some_and(|at| at <= now);
        if is_due {
            ringing.at = None;
        }
        let rings = std::mem::take(&mut ringing.now) || is_due;
        drop(ringing);
        if let Some(next) = next(now) {
            self.ring_at(next);
        }
        let notifier = self.notifier.lock().clone();
        if let Some(notifier) = notifier.filter(|_| rings) {
            notifier();
        }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("ringing", &self.ringing).finish_non_exhaustive()
    }
}
