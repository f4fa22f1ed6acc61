//! What is done again and again, by name.

use std::sync::Arc;

use super::Bus;
use crate::runtime::Task;

impl Bus {
    /// Keeps the task of what recurs. False where something of that name does already.
    pub(crate) fn keep_recurring(&self, name: &Arc<str>, task: &Arc<Task>) -> bool {
        let mut recurring = self.inner.recurring.lock();
        if recurring.contains_key(name) {
            return false;
        }
        recurring.insert(Arc::clone(name), Arc::clone(task));
        true
    }

    /// The task of what recurs under a name.
    pub(crate) fn recurring(&self, name: &str) -> Option<Arc<Task>> {
        self.inner.recurring.lock().get(name).cloned()
    }

    /// Ends it.
    pub(crate) fn drop_recurring(&self, name: &str) {
        let task = self.inner.recurring.lock().remove(name);
        if let Some(task) = task {
            task.stop();
        }
    }
}
