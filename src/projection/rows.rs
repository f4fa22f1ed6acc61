//! The rows as a handler sees them, and as they are kept in memory meanwhile.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use super::lateness::Clock;
use crate::{
    event::Key,
    message::Position,
    runtime::{Seeded, Table, Timestamp},
    storage::{StorageError, Write},
};

/// What a row of a projection may be: any type that serde carries and that has a default.
pub trait Row: Serialize + DeserializeOwned + Default + Send + Sync + 'static {}

impl<R: Serialize + DeserializeOwned + Default + Send + Sync + 'static> Row for R {}

/// The rows of a projection, while a handler changes them.
///
/// All of what one call does counts, or nothing. Where a row cannot be read, the call counts as failed
/// whatever it does.
pub struct Rows<'a, R> {
    pub(super) cache: &'a mut Cache<R>,
    pub(super) recall: &'a Recall<'a>,
    pub(super) event: At,
}

/// Where, and when, an event is.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) position: Position,
    pub(super) published_at: Timestamp,
}

/// How what is stored under a key is read.
pub(super) type Recall<'a> = dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, StorageError> + 'a;

impl<R: Row> Rows<'_, R> {
    /// The row with this key, to be changed. Where there is none, it begins as the default.
    #[inline]
    pub fn at(&mut self, key: impl Into<Key>) -> &mut R {
        let slot = self.cache.slot(key.into(), self.recall);
        self.cache.touch(slot).row.get_or_insert_default()
    }

    /// The row with this key, if there is one.
    pub fn get(&mut self, key: impl Into<Key>) -> Option<&R> {
        let slot = self.cache.slot(key.into(), self.recall);
        self.cache.rows.get(slot as usize)?.row.as_ref()
    }

    /// Removes the row with this key, and returns it.
    pub fn remove(&mut self, key: impl Into<Key>) -> Option<R> {
        let slot = self.cache.slot(key.into(), self.recall);
        self.cache.touch(slot).row.take()
    }

    /// The place of the event in the journal.
    #[must_use]
    pub fn position(&self) -> Position {
        self.event.position
    }

    /// When the event was published.
    #[must_use]
    pub fn published_at(&self) -> Timestamp {
        self.event.published_at
    }
}

impl<R> fmt::Debug for Rows<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("event", &self.event).finish_non_exhaustive()
    }
}

/// Why rows cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("the row `{key}` does not decode: {source}")]
    Undecodable { key: Key, source: serde_json::Error },
    #[error("the row `{key}` does not encode: {source}")]
    Unencodable { key: Key, source: serde_json::Error },
    #[error("what is known of the time of events does not decode")]
    Clock,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Rows in memory: what was read, and what was changed since it was last written.
pub(super) struct Cache<R> {
    prefix: Vec<u8>,
    clock_key: Vec<u8>,
    slots: Table<Key, u32>,
    rows: Vec<Cached<R>>,
    /// The slots of rows that were changed.
    changed: Vec<u32>,
    /// Read when somebody asks.
    clock: Option<Clock>,
    clock_changed: bool,
    /// The first row that could not be read. Nothing of this cache counts then.
    wrong: Option<RowError>,
}

struct Cached<R> {
    key: Key,
    row: Option<R>,
    is_changed: bool,
}

impl<R: Row> Cache<R> {
    pub(super) fn new(prefix: Vec<u8>, clock_key: Vec<u8>, seed: Seeded) -> Self {
        Self {
            prefix,
            clock_key,
            slots: Table::with_hasher(seed),
            rows: Vec::new(),
            changed: Vec::new(),
            clock: None,
            clock_changed: false,
            wrong: None,
        }
    }

    #[inline]
    fn slot(&mut self, key: Key, recall: &Recall<'_>) -> u32 {
        match self.slots.get(&key) {
            Some(slot) => *slot,
            None => self.load(key, recall),
        }
    }

    #[cold]
    fn load(&mut self, key: Key, recall: &Recall<'_>) -> u32 {
        let row = match self.read(&key, recall) {
            Ok(row) => row,
            Err(wrong) => {
                self.wrong.get_or_insert(wrong);
                None
            }
        };
        #[allow(clippy::cast_possible_truncation)] // bounded far below
        let slot = self.rows.len() as u32;
        self.rows.push(Cached { key: key.clone(), row, is_changed: false });
        self.slots.insert(key, slot);
        slot
    }

    fn read(&self, key: &Key, recall: &Recall<'_>) -> Result<Option<R>, RowError> {
        let Some(stored) = recall(&self.stored_key(key))? else { return Ok(None) };
        let row = serde_json::from_slice(&stored);
        row.map(Some).map_err(|source| RowError::Undecodable { key: key.clone(), source })
    }

    fn stored_key(&self, key: &Key) -> Vec<u8> {
        [&self.prefix, key.as_str().as_bytes()].concat()
    }

    #[inline]
    fn touch(&mut self, slot: u32) -> &mut Cached<R> {
        let cached = &mut self.rows[slot as usize];
        if !cached.is_changed {
            cached.is_changed = true;
            self.changed.push(slot);
        }
        cached
    }

    pub(super) fn clock(&mut self, recall: &Recall<'_>) -> &mut Clock {
        if self.clock.is_none() {
            let clock = Clock::read(&self.clock_key, recall);
            self.clock = Some(clock.unwrap_or_else(|wrong| {
                self.wrong.get_or_insert(wrong);
                Clock::default()
            }));
        }
        self.clock_changed = true;
        self.clock.get_or_insert_default()
    }

    /// Whether a row could not be read, and which.
    #[inline]
    pub(super) fn check(&mut self) -> Result<(), RowError> {
        self.wrong.take().map_or(Ok(()), Err)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// What is to be written for everything that was changed since the last time.
    pub(super) fn writes(&mut self) -> Result<Vec<Write>, RowError> {
        let mut writes = Vec::with_capacity(self.changed.len() + 1);
        for slot in std::mem::take(&mut self.changed) {
            let Some(cached) = self.rows.get_mut(slot as usize) else { continue };
            cached.is_changed = false;
            let value = cached.row.as_ref().map(serde_json::to_vec).transpose();
            let key = &cached.key;
            let value =
                value.map_err(|source| RowError::Unencodable { key: key.clone(), source })?;
            let key = [&self.prefix, key.as_str().as_bytes()].concat();
            writes.push(Write { key, value });
        }
        if std::mem::take(&mut self.clock_changed)
            && let Some(clock) = &self.clock
        {
            writes.push(Write::put(self.clock_key.clone(), clock.encode()));
        }
        Ok(writes)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.rows.clear();
        self.changed.clear();
        self.clock = None;
        self.clock_changed = false;
        self.wrong = None;
    }
}
