//! Events whose handlers end the process.
//!
//! What such a handler is called with is never acknowledged, so that it comes again in the next
//! process, and ends that. After a process that did not end cleanly, a subscription is careful for a
//! while: it stores which event it is about to handle before it calls a handler. An event with which a
//! process has ended is handled alone from then on, so that no other is blamed; if the process outlives
//! its handler, that is stored, too. One with which several in a row have ended becomes a dead letter.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{DeadLetterReason, dead_letter::Verdict, keys};
use crate::{
    journal::Journal,
    message::Position,
    storage::{StorageError, Write},
};

/// The most events that a lane handles between two commits, and so may have had in its hands.
pub(super) const CAREFUL: usize = 4096;

/// What is known of events that were under way when earlier processes ended.
pub(super) struct Careful {
    journal: Arc<Journal>,
    subscription: Arc<str>,
    /// The end of the journal when this process began: nothing later can have been under way.
    until: Position,
    /// How many processes have ended with an event under way.
    suspects: Mutex<BTreeMap<Position, u32>>,
    /// So many may.
    most: u32,
}

impl Careful {
    /// Begins a run of a stored subscription, whose first unsettled event is at `low`. `None` if the
    /// last run ended cleanly.
    pub(super) fn begin(
        journal: &Arc<Journal>,
        subscription: &Arc<str>,
        low: Position,
        most: u32,
    ) -> Result<Option<Self>, StorageError> {
        let prefix = keys::careful(subscription);
        let stored = journal.scan(&prefix)?;
        let mut suspects = BTreeMap::new();
        let mut writes = Vec::new();
        for (key, value) in &stored {
            if *key == prefix {
                suspects.extend(decode::<(Position, u32)>(value)?);
                continue;
            }
            for position in decode::<Position>(value)? {
                *suspects.entry(position).or_default() += 1;
            }
            writes.push(Write::remove(key.as_slice()));
        }
        suspects.retain(|position, _| *position >= low);
        writes.push(Write::put(prefix, encode(&suspects)?));
        journal.write(writes)?;
        if stored.is_empty() {
            return Ok(None);
        }
        let (journal, subscription) = (Arc::clone(journal), Arc::clone(subscription));
        let (until, suspects) = (journal.end(), Mutex::new(suspects));
        Ok(Some(Self { journal, subscription, until, suspects, most }))
    }

    /// Whether an event may have been under way when the last process ended.
    pub(super) fn concerns(&self, position: Position) -> bool {
        position < self.until
    }

    /// What is to become of an event with which too many processes have ended.
    pub(super) fn verdict(&self, position: Position) -> Option<Verdict> {
        let crashes = self.crashes(position);
        let error = || format!("{crashes} processes in a row have ended while it was handled");
        let reason = DeadLetterReason::Crashed;
        (crashes >= self.most).then(|| Verdict { reason, error: error() })
    }

    /// How many processes have ended while an event was handled.
    pub(super) fn crashes(&self, position: Position) -> u32 {
        self.suspects.lock().get(&position).copied().unwrap_or(0)
    }

    /// Stores which events a lane has under way from now on, and that the process has outlived the
    /// handler of another one. Survives the end of the process, and need not survive more.
    pub(super) fn note(
        &self,
        lane: u32,
        under_way: &[Position],
        outlived: Option<Position>,
    ) -> Result<(), StorageError> {
        let value = serde_json::to_vec(under_way).map_err(|_| damaged())?;
        let mut writes = vec![Write::put(keys::under_way(&self.subscription, lane), value)];
        let mut suspects = self.suspects.lock();
        if outlived.is_some_and(|position| suspects.remove(&position).is_some()) {
            writes.push(Write::put(keys::careful(&self.subscription), encode(&suspects)?));
        }
        drop(suspects);
        self.journal.note_from_handler(writes)
    }
}

/// Ends a run of a stored subscription: nothing of it is under way.
pub(super) fn end(journal: &Journal, subscription: &str) -> Result<(), StorageError> {
    let stored = journal.scan(&keys::careful(subscription))?;
    journal.note_from_handler(stored.into_iter().map(|(key, _)| Write::remove(key)).collect())
}

/// What state writes note as under way: subscriptions and their events.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn under_way(writes: &[Write]) -> Vec<(String, Position)> {
    let mut noted = Vec::new();
    for write in writes {
        let Some(subscription) = keys::careful_subscription(&write.key) else { continue };
        let positions = write.value.as_deref().and_then(|value| decode(value).ok());
        noted.extend(positions.into_iter().flatten().map(|at| (subscription.to_owned(), at)));
    }
    noted
}

fn encode(suspects: &BTreeMap<Position, u32>) -> Result<Vec<u8>, StorageError> {
    let pairs: Vec<_> = suspects.iter().collect();
    serde_json::to_vec(&pairs).map_err(|_| damaged())
}

fn decode<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<Vec<T>, StorageError> {
    serde_json::from_slice(value).map_err(|_| damaged())
}

fn damaged() -> StorageError {
    let reason = "what is stored of events under way does not decode";
    StorageError::Corrupt { file: "state".into(), offset: 0, reason }
}
