//! Messages from outside that are on their way.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

use super::Run;

/// Publishes a message.
type Arrival = Box<dyn FnOnce(&Run) + Send>;

/// Messages from outside that are on their way, by when they arrive.
#[derive(Default)]
pub(super) struct Link(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    arrivals: BTreeMap<(Duration, u64), Arrival>,
    sent: u64,
}

impl Link {
    pub(super) fn send(&self, at: Duration, arrival: Arrival) {
        let mut queue = self.0.lock();
        queue.sent += 1;
        let key = (at, queue.sent);
        queue.arrivals.insert(key, arrival);
    }

    /// When the next one arrives.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.0.lock().arrivals.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next one, if it arrives by then.
    pub(super) fn take(&self, by: Duration) -> Option<(Duration, Arrival)> {
        let mut queue = self.0.lock();
        let first = queue.arrivals.first_entry().filter(|first| first.key().0 <= by)?;
        let ((at, _), arrival) = first.remove_entry();
        Some((at, arrival))
    }

    pub(super) fn clear(&self) {
        let queue = std::mem::take(&mut *self.0.lock());
        drop(queue);
    }
}
