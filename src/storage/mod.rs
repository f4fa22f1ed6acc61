//! Where a durable bus keeps its events and its state: one small synchronous trait.
//!
//! The unit is an atomic [`Commit`]: records appended to the log, writes to a key-value state, and
//! preconditions. Because events and state share one commit, "handle, change state, publish,
//! acknowledge" is one step that happens or does not.

mod commit;
mod error;
pub mod file;
mod memory;
mod query;
mod state;

use std::{fmt, ops::ControlFlow, path::Path};

pub use commit::{Commit, Precondition, Record, Write};
pub use error::StorageError;
pub use file::{FileReader, FileStorage, FileStorageBuilder};
pub use memory::MemoryStorage;
pub use query::{Compaction, Filter, Page, Query, RecordRef, Trim};

use crate::message::Position;

/// What is left to do after a call of [`Storage::upkeep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upkeep {
    /// Nothing for now.
    Done,
    /// Something: call it again.
    More,
}

/// A state key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Where a durable bus keeps its events and its state.
///
/// Implementations pass `tidings::storage_conformance!` (feature `testing`), which states the contract
/// as tests. In words:
///
/// - A commit happens whole or not at all, also across a crash.
/// - Positions are dense from 1. A commit's records are adjacent and in the given order.
/// - When `commit` returns `Ok`, records and writes survive what the commit's durability names,
///   and every later call sees them.
/// - After a failed write nothing more is accepted ([`StorageError::Poisoned`]) until the storage
///   is opened anew; reads of what was committed go on.
/// - All methods may be called from several threads at once.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// The position that the next record will get.
    fn end(&self) -> Position;

    /// The oldest position that is kept; equal to [`Storage::end`] while there is none.
    fn first(&self) -> Position;

    /// Appends, writes and checks, as one step. Returns the position of the first record (or of
    /// the next one, when the commit has no records).
    ///
    /// # Errors
    /// [`StorageError::Conflict`], [`StorageError::TooLarge`], [`StorageError::Full`] and
    /// [`StorageError::Poisoned`] mean that nothing changed. [`StorageError::Indeterminate`] means
    /// that the commit may or may not survive.
    fn commit(&self, commit: Commit) -> Result<Position, StorageError>;

    /// As [`Storage::commit`], of a commit whose memory the caller will use again: what is in it
    /// afterwards has no meaning.
    ///
    /// # Errors
    /// As there.
    fn commit_from(&self, commit: &mut Commit) -> Result<Position, StorageError> {
        self.commit(std::mem::take(commit))
    }

    /// Sees to it that the next commit finds room for so many bytes. Where there is little left, the
    /// rest is kept for `urgent` commits: those of handlers that have done their work.
    ///
    /// # Errors
    /// [`StorageError::Full`]: nothing changed, and it may work later.
    fn make_room(&self, _bytes: u64, _urgent: bool) -> Result<(), StorageError> {
        Ok(())
    }

    /// The records that a query asks for, in order. Where any of them are left, it returns at least
    /// one, or goes on to a later position.
    ///
    /// # Errors
    /// [`StorageError::Truncated`] where the query begins before what is kept; damage and failing
    /// reads.
    fn read(&self, query: &Query) -> Result<Page, StorageError>;

    /// Shows the records that a query asks for where they lie, until told to stop or nothing is
    /// left. Faster than [`Storage::read`] where records need not be kept; `max_records` and
    /// `max_bytes` have no meaning here, but that no records are asked for. Returns where to go on.
    ///
    /// # Errors
    /// As for [`Storage::read`].
    fn visit(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<Position, StorageError> {
        let mut query = query.clone();
        loop {
            let page = self.read(&query)?;
            for (position, record) in &page.records {
                if visit(RecordRef::new(*position, record)).is_break() {
                    return Ok(position.next());
                }
            }
            if page.next <= query.from {
                return Ok(page.next);
            }
            query.from = page.next;
        }
    }

    /// The value of a state key.
    ///
    /// # Errors
    /// Damage and failing reads.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// State entries whose key starts with `prefix` and is greater than `after`, by key, at most
    /// `max` of them.
    ///
    /// # Errors
    /// Damage and failing reads.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError>;

    /// How many bytes the log takes, about.
    fn log_bytes(&self) -> u64 {
        0
    }

    /// Drops the oldest records, whole files of them: at most those that are not wanted, and perhaps
    /// fewer. Returns the first position that is kept. The state stays as it is.
    ///
    /// # Errors
    /// Failing writes; what counts is [`Storage::first`].
    fn trim(&self, _trim: &Trim) -> Result<Position, StorageError> {
        Ok(self.first())
    }

    /// Drops events that a later one of the same name and key makes superfluous; perhaps not all.
    /// Positions stay as they are; reads go over what is gone. Returns how many events it dropped.
    ///
    /// # Errors
    /// Damage, failing reads and writes. What was not dropped is still there.
    fn compact(&self, _compaction: &Compaction) -> Result<u64, StorageError> {
        Ok(0)
    }

    /// Copies everything into a directory that is empty or not there yet, as it is at one moment.
    /// Commits go on meanwhile. The copy can be opened like the original.
    ///
    /// # Errors
    /// [`StorageError::Unsupported`] where a storage has other ways, [`StorageError::NotEmpty`], and
    /// failing reads and writes. What there is of the copy then is of no use.
    fn backup(&self, _path: &Path) -> Result<(), StorageError> {
        Err(StorageError::Unsupported { what: "backups" })
    }

    /// Whether [`Storage::upkeep`] should be called soon. Cheap; asked after every commit.
    fn wants_upkeep(&self) -> bool {
        false
    }

    /// Does a part of what need not be done within commits: preparing files, writing the state away,
    /// removing what is no longer kept. A bus calls it on a thread of its own: where it is wanted,
    /// and in quiet moments.
    ///
    /// # Errors
    /// What was to be done is not done; it is tried again the next time. Commits notice by
    /// themselves whether they still work.
    fn upkeep(&self) -> Result<Upkeep, StorageError> {
        Ok(Upkeep::Done)
    }

    /// Makes everything durable, then releases the storage, so that it can be opened again at
    /// once. Later calls fail with [`StorageError::Closed`]. Closing twice is fine.
    ///
    /// # Errors
    /// The last write failed. The storage is released all the same.
    fn close(&self) -> Result<(), StorageError>;
}
