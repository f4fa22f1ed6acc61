//! One connection to the loopback: its member's number, and the notifier with its timer.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{broker::Broker, group::Member};
use crate::{
    runtime::{Runtime, Step, Task, Tick},
    transport::Notifier,
};

/// Gives back what it has when it is dropped.
pub(super) struct Handle {
    pub(super) broker: Arc<Broker>,
    pub(super) member: Member,
    bell: Arc<Bell>,
}

/// Calls a notifier, on a thread of the runtime.
pub(super) struct Bell {
    notifier: Mutex<Option<Notifier>>,
    task: Arc<Task>,
    state: Mutex<Ringing>,
}

#[derive(Debug, Default)]
struct Ringing {
    /// The notifier is to be called.
    now: bool,
    /// A timer is set for then.
    at: Option<Tick>,
}

impl Handle {
    pub(super) fn open(broker: Arc<Broker>) -> Arc<Self> {
        let bell = Bell::new(&broker);
        let member = broker.join(&bell);
        Arc::new(Self { broker, member, bell })
    }

    pub(super) fn set_notifier(&self, notifier: Notifier) {
        *self.bell.notifier.lock() = Some(notifier);
        self.bell.ring();
    }

    pub(super) fn close(&self) {
        self.bell.task.stop();
        self.broker.leave(self.member);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("member", &self.member).finish_non_exhaustive()
    }
}

impl Bell {
    fn new(broker: &Arc<Broker>) -> Arc<Self> {
        let (runtime, broker) = (&broker.runtime, Arc::downgrade(broker));
        Arc::new_cyclic(|bell: &Weak<Self>| {
            let bell = bell.clone();
            let pool = runtime.find_pool(Runtime::DEFAULT_POOL);
            let pool = pool.unwrap_or_else(|| runtime.pool(Runtime::DEFAULT_POOL, 1));
            let task = runtime.task(pool, move || {
                if let (Some(bell), Some(broker)) = (bell.upgrade(), broker.upgrade()) {
                    bell.run(&broker);
                }
                Step::Wait
            });
            Self { notifier: Mutex::default(), task, state: Mutex::default() }
        })
    }

    /// Has the notifier called soon.
    pub(super) fn ring(&self) {
        if self.notifier.lock().is_none() {
            return;
        }
        self.state.lock().now = true;
        self.task.wake();
    }

    /// Has the notifier called then, unless it is called earlier anyway.
    pub(super) fn ring_at(&self, at: Tick, runtime: &Runtime) {
        if self.notifier.lock().is_none() {
            return;
        }
        let mut state = self.state.lock();
        if state.at.is_none_or(|set| at < set) {
            state.at = Some(at);
            drop(state);
            runtime.wake_at(at, &self.task);
        }
    }

    fn run(&self, broker: &Broker) {
        let now = broker.runtime.now();
        let mut state = self.state.lock();
        let is_due = state.at.is_some_and(|at| at <= now);
        if is_due {
            state.at = None;
        }
        let rings = std::mem::take(&mut state.now) || is_due;
        drop(state);
        broker.ring_when_due(self);
        let notifier = self.notifier.lock().clone();
        if let Some(notifier) = notifier.filter(|_| rings) {
            notifier();
        }
    }
}
