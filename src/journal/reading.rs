//! What is stored: reading it, and dropping what is old.

use std::{ops::ControlFlow, path::Path, sync::Arc, time::Duration};

use super::{Body, Entry, Journal, Log};
use crate::{
    message::Position,
    runtime::Timestamp,
    storage::{
        Compaction, Filter, KeyValue, Page, Query, Record, RecordRef, Storage, StorageError, Trim,
    },
};

impl Journal {
    /// The stored value of a state key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.log.as_ref().map_or(Ok(None), |log| log.storage().get(key))
    }

    /// Every stored state entry below a prefix.
    pub(crate) fn scan(&self, prefix: &[u8]) -> Result<Vec<KeyValue>, StorageError> {
        self.log.as_ref().map_or(Ok(Vec::new()), |log| scan(&**log.storage(), prefix))
    }

    /// Stored state entries below a prefix and after a key, at most so many.
    pub(crate) fn scan_page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        let scan = |log: &Arc<Log>| log.storage().scan(prefix, after, most);
        self.log.as_ref().map_or(Ok(Vec::new()), scan)
    }

    /// What storage has from `from` on and below `end` that passes a filter, as entries, and where to
    /// go on. For readers that the tail has left behind.
    pub(crate) fn read(
        &self,
        from: Position,
        end: Position,
        filter: &Filter,
    ) -> Result<(Vec<Entry>, Position), StorageError> {
        let Some(log) = &self.log else {
            return Ok((Vec::new(), from));
        };
        let mut query = Query::from(from).to(end);
        query.filter = filter.clone();
        let page = log.storage().read(&query)?;
        let entry = |(position, record): (Position, Record)| Entry {
            position,
            kind: self.contract.name_id(&record.envelope.name),
            envelope: record.envelope,
            body: Body::Encoded(record.payload),
        };
        Ok((page.records.into_iter().map(entry).collect(), page.next))
    }

    /// What storage answers; nothing on a volatile bus.
    pub(crate) fn query(&self, query: &Query) -> Result<Page, StorageError> {
        match &self.log {
            Some(log) => log.storage().read(query),
            None => Ok(Page { records: Vec::new(), next: query.from }),
        }
    }

    /// Shows what storage answers where it lies; nothing on a volatile bus. Returns where to go on.
    pub(crate) fn visit(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<Position, StorageError> {
        self.log.as_ref().map_or(Ok(query.from), |log| log.storage().visit(query, visit))
    }

    /// Drops old records. Returns the first position that is kept.
    pub(crate) fn trim(&self, trim: &Trim) -> Result<Position, StorageError> {
        self.log.as_ref().map_or_else(|| Ok(self.first()), |log| log.storage().trim(trim))
    }

    /// Copies everything that is committed.
    pub(crate) fn backup(&self, path: &Path) -> Result<(), StorageError> {
        let nothing = Err(StorageError::Unsupported { what: "log to copy" });
        self.log.as_ref().map_or(nothing, |log| log.storage().backup(path))
    }

    /// Drops events that a later one of their key makes superfluous.
    pub(crate) fn compact(&self, compaction: &Compaction) -> Result<u64, StorageError> {
        self.log.as_ref().map_or(Ok(0), |log| log.storage().compact(compaction))
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.storage().log_bytes())
    }

    /// Has something done after each upkeep of the storage, on its thread. It says when it wants to
    /// be called again, if at all.
    pub(crate) fn after_upkeep(&self, work: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        if let Some(log) = &self.log {
            log.after_upkeep(work);
        }
    }

    /// The event at a position that was read before.
    pub(crate) fn read_one(&self, position: Position) -> Result<Entry, StorageError> {
        let (entries, _) = self.read(position, position.next(), &Filter::default())?;
        let reason = "an event that was there is not found";
        let missing = || StorageError::Corrupt { file: "log".into(), offset: 0, reason };
        entries.into_iter().next().ok_or_else(missing)
    }

    /// The encoded payload of an entry, where there is one.
    pub(crate) fn payload(&self, entry: &Entry) -> Result<Vec<u8>, StorageError> {
        if let Body::Encoded(payload) = &entry.body {
            return Ok(payload.clone());
        }
        if self.log.is_none() {
            return Ok(Vec::new());
        }
        match self.read_one(entry.position)?.body {
            Body::Encoded(payload) => Ok(payload),
            Body::Value(_) => Ok(Vec::new()),
        }
    }

    /// The oldest position that can be read.
    pub(crate) fn first(&self) -> Position {
        self.log.as_ref().map_or_else(|| self.end(), |log| log.storage().first())
    }

    /// When the first event from there on was published, if storage has any and can be read.
    pub(crate) fn published_at(&self, from: Position) -> Option<Timestamp> {
        let page = self.query(&Query::from(from).records(1)).ok()?;
        Some(page.records.first()?.1.envelope.published_at)
    }
}

/// Every state entry of a storage below a prefix.
pub(super) fn scan(storage: &dyn Storage, prefix: &[u8]) -> Result<Vec<KeyValue>, StorageError> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|(key, _): &KeyValue| key.clone());
        let page = storage.scan(prefix, after.as_deref(), 1024)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}
