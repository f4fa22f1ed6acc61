//! What waits for its time, for whoever looks.

use std::sync::Arc;

use super::{PREFIX, encoded::subject, key, scheduled};
use crate::{event::Key, journal::Journal, message::Scheduled, storage::StorageError};

/// An event that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduledEvent {
    /// By what it can be cancelled, and when it is due.
    pub scheduled: Scheduled,
    /// The event's name.
    pub name: Arc<str>,
    /// What it is about.
    pub key: Option<Key>,
}

impl Journal {
    /// What waits for its time, by that; at most so many, from the one after `after` on.
    pub(crate) fn scheduled(
        &self,
        after: Option<Scheduled>,
        most: usize,
    ) -> Result<Vec<ScheduledEvent>, StorageError> {
        let Some(log) = &self.log else { return Ok(self.scheduled_in_memory(after, most)) };
        let after = after.map(key);
        let stored = log.storage().scan(PREFIX, after.as_deref(), most)?;
        let pending = stored.iter().filter_map(|(key, value)| {
            let (name, subject) = subject(value)?;
            Some(ScheduledEvent { scheduled: scheduled(key)?, name, key: subject })
        });
        Ok(pending.collect())
    }

    fn scheduled_in_memory(&self, after: Option<Scheduled>, most: usize) -> Vec<ScheduledEvent> {
        use std::ops::Bound::{Excluded, Unbounded};
        let waiting = self.schedule.waiting.lock();
        let rest = waiting.range((after.map_or(Unbounded, Excluded), Unbounded));
        let pending = rest.take(most).map(|(scheduled, draft)| ScheduledEvent {
            scheduled: *scheduled,
            name: Arc::clone(&draft.envelope().name),
            key: draft.envelope().key.clone(),
        });
        pending.collect()
    }
}
