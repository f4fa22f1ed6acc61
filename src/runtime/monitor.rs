//! Waiting for a condition that another thread makes true.

use super::sync::{Condvar, Instant, Mutex};

/// Where threads sleep until a condition holds. The condition itself lives elsewhere; whoever
/// changes it calls [`Monitor::notify`] afterwards, holding no lock that the condition takes.
#[derive(Default)]
pub(crate) struct Monitor {
    /// Held while a waiter looks at the condition, so that no notification falls between its look
    /// and its sleep.
    gate: Mutex<()>,
    changed: Condvar,
}

impl Monitor {
    pub(crate) fn notify(&self) {
        drop(self.gate.lock());
        self.changed.notify_all();
    }

    pub(super) fn sleep_until(
        &self,
        deadline: Option<Instant>,
        ready: &mut dyn FnMut() -> bool,
    ) -> bool {
        let mut gate = self.gate.lock();
        loop {
            if ready() {
                return true;
            }
            let Some(deadline) = deadline else {
                self.changed.wait(&mut gate);
                continue;
            };
            if self.changed.wait_until(&mut gate, deadline).timed_out() {
                return ready();
            }
        }
    }
}
