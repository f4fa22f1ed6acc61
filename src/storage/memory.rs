//! Storage in memory: the reference implementation.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use super::{Commit, KeyValue, Page, Query, Record, Storage, StorageError, Trim, state::State};
use crate::message::Position;

/// Storage in memory: the reference implementation. A clone is the same storage.
///
/// It survives nothing, whatever durability a commit asks for; what it holds goes with the last
/// handle. [`MemoryStorage::reopened`] stands in for a restart in tests.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    data: Arc<Mutex<Data>>,
    closed: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Data {
    records: VecDeque<Record>,
    /// How many records before these were dropped.
    dropped: u64,
    state: State,
}

impl Data {
    fn bytes(&self) -> u64 {
        self.records.iter().map(|record| record.payload.len() as u64).sum()
    }

    fn end(&self) -> Position {
        self.first().plus(self.records.len() as u64)
    }

    fn first(&self) -> Position {
        Position::FIRST.plus(self.dropped)
    }
}

impl MemoryStorage {
    /// The largest commit, in bytes of payloads, state keys and state values together: 16 MiB.
    pub const MAX_COMMIT: usize = 16 * 1024 * 1024;

    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new, open handle on the same data, as after a restart.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self { data: Arc::clone(&self.data), closed: Arc::default() }
    }

    fn check_open(&self) -> Result<(), StorageError> {
        if self.closed.load(Ordering::Acquire) { Err(StorageError::Closed) } else { Ok(()) }
    }
}

fn check_size(commit: &Commit) -> Result<(), StorageError> {
    let records = commit.records.iter().map(|record| record.payload.len());
    let writes = commit.writes.iter();
    let writes = writes.map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len));
    let bytes: usize = records.chain(writes).sum();
    if bytes <= MemoryStorage::MAX_COMMIT {
        return Ok(());
    }
    Err(StorageError::TooLarge { bytes: bytes as u64, limit: MemoryStorage::MAX_COMMIT as u64 })
}

impl Storage for MemoryStorage {
    fn end(&self) -> Position {
        self.data.lock().end()
    }

    fn first(&self) -> Position {
        self.data.lock().first()
    }

    fn commit(&self, commit: Commit) -> Result<Position, StorageError> {
        check_size(&commit)?;
        let mut data = self.data.lock();
        self.check_open()?;
        let end = data.end();
        data.state.check(&commit.preconditions, end.get())?;
        data.records.extend(commit.records);
        data.state.apply(commit.writes);
        Ok(end)
    }

    fn read(&self, query: &Query) -> Result<Page, StorageError> {
        self.check_open()?;
        let data = self.data.lock();
        if query.from < data.first() {
            return Err(StorageError::Truncated { wanted: query.from, first: data.first() });
        }
        let mut page = Page { records: Vec::new(), next: query.from };
        let end = query.to.min(data.end());
        let mut bytes = 0;
        while page.next < end && page.records.len() < query.max_records && bytes <= query.max_bytes
        {
            let at = usize::try_from(page.next.since(data.first())).unwrap_or(usize::MAX);
            let Some(record) = data.records.get(at) else { break };
            if query.filter.matches(&record.envelope) {
                bytes += record.payload.len();
                page.records.push((page.next, record.clone()));
            }
            page.next = page.next.next();
        }
        Ok(page)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.check_open()?;
        Ok(self.data.lock().state.get(key).map(<[u8]>::to_vec))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        self.check_open()?;
        Ok(self.data.lock().state.scan(prefix, after, max))
    }

    fn log_bytes(&self) -> u64 {
        self.data.lock().bytes()
    }

    fn trim(&self, trim: &Trim) -> Result<Position, StorageError> {
        self.check_open()?;
        let mut data = self.data.lock();
        let mut bytes = data.bytes();
        while data.first() < trim.before
            && let Some(oldest) = data.records.front()
        {
            if !trim.is_due(|| oldest.envelope.published_at, bytes) {
                break;
            }
            bytes -= oldest.payload.len() as u64;
            data.records.pop_front();
            data.dropped += 1;
        }
        Ok(data.first())
    }

    fn close(&self) -> Result<(), StorageError> {
        // Under the lock, so that no commit is under way once it returns.
        let data = self.data.lock();
        self.closed.store(true, Ordering::Release);
        drop(data);
        Ok(())
    }
}
