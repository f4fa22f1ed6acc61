//! What the leader of the log does about scheduled events: it takes what is due out of the state, and
//! knows whether what is cancelled still waits.

use std::collections::BTreeSet;

use super::{AT_ONCE, PREFIX, key, scheduled};
use crate::{
    journal::{
        Journal,
        log::{Log, Request},
    },
    message::Scheduled,
    runtime::Timestamp,
    storage::{StorageError, Write},
};

/// The most payload bytes that are published at once, if one event has no more.
const AT_ONCE_BYTES: usize = 1024 * 1024;

impl Log {
    /// When the first event is due, if any waits.
    pub(super) fn next_due(&self) -> Result<Option<Timestamp>, StorageError> {
        let first = self.storage.scan(PREFIX, None, 1)?;
        Ok(first.first().and_then(|(key, _)| scheduled(key)).map(|first| first.due()))
    }

    /// Fills in what is due, and answers who has cancelled: in the order of the group, so that each
    /// event is either published or cancelled.
    pub(in crate::journal) fn settle_schedule(
        &self,
        journal: &Journal,
        group: &mut [Request],
    ) -> Result<(), StorageError> {
        let concerned = |request: &&mut Request| request.transaction.concerns_schedule();
        if group.iter_mut().find(concerned).is_none() {
            return Ok(());
        }
        let mut gone: BTreeSet<Vec<u8>> = BTreeSet::new();
        for request in group {
            let transaction = &mut request.transaction;
            for cancel in &transaction.cancels {
                let key = key(cancel.scheduled);
                let is_there = || Ok::<_, StorageError>(self.storage.get(&key)?.is_some());
                cancel.note(!gone.contains(&key) && is_there()?);
                gone.insert(key);
            }
            let Some(now) = transaction.fires else { continue };
            let mut bytes = 0;
            for (key, value) in self.storage.scan(PREFIX, None, AT_ONCE)? {
                let due = scheduled(&key).filter(|scheduled| scheduled.due() <= now);
                let Some(due) = due else { break };
                if gone.contains(&key) {
                    continue;
                }
                bytes += value.len();
                if bytes > AT_ONCE_BYTES && !transaction.drafts.is_empty() {
                    break;
                }
                match journal.draft_stored(due, &value) {
                    Some(draft) => transaction.drafts.push(draft),
                    None => set_aside(due, value, &mut transaction.writes),
                }
                transaction.writes.push(Write::remove(key.clone()));
                gone.insert(key);
            }
        }
        Ok(())
    }
}

/// Keeps what does not decode where it is in nobody's way.
fn set_aside(scheduled: Scheduled, value: Vec<u8>, writes: &mut Vec<Write>) {
    tracing::error!(%scheduled, "a scheduled event does not decode; it is set aside in the state");
    let key = [&b"scheduled-damaged\0"[..], &key(scheduled)].concat();
    writes.push(Write::put(key, value));
}
