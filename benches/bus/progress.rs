//! How far something has come, and waiting for it.

use std::sync::{Condvar, Mutex};

/// Only goes up.
#[derive(Default)]
pub(crate) struct Progress {
    reached: Mutex<u64>,
    changed: Condvar,
}

impl Progress {
    /// What is reached when there is nothing more to come.
    pub(crate) const END: u64 = u64::MAX;

    pub(crate) fn reach(&self, to: u64) {
        *self.reached.lock().unwrap() = to;
        self.changed.notify_all();
    }

    /// Waits until more than this is reached, and returns how much.
    pub(crate) fn wait_beyond(&self, from: u64) -> u64 {
        let reached = self.reached.lock().unwrap();
        *self.changed.wait_while(reached, |reached| *reached <= from).unwrap()
    }
}
