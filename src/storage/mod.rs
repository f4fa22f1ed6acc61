//! Where a durable bus keeps its events and its state: one small synchronous trait.
//!
//! The unit is an atomic [`Commit`]: records appended to the log, writes to a key-value state, and
//! preconditions. Because events and state share one commit, "handle, change state, publish,
//! acknowledge" is one step that happens or does not.

mod commit;
mod error;
pub mod file;
mod memory;
mod state;

use std::fmt;

pub use commit::{Commit, Precondition, Record, Write};
pub use error::StorageError;
pub use file::{FileStorage, FileStorageBuilder};
pub use memory::MemoryStorage;

use crate::message::Position;

/// A state key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Where a durable bus keeps its events and its state.
///
/// Implementations pass the suite in `tidings::testing::conformance` (feature `testing`), which
/// states the contract as tests. In words:
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

    /// Records from `from` on, at consecutive positions: at least one if there is one, at most
    /// `max_records`, and no more after `max_bytes` of payload have been exceeded. Empty at the end.
    ///
    /// # Errors
    /// [`StorageError::Truncated`] where `from` is no longer kept; damage and failing reads.
    fn read(
        &self,
        from: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError>;

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

    /// Makes everything durable, then releases the storage, so that it can be opened again at
    /// once. Later calls fail with [`StorageError::Closed`]. Closing twice is fine.
    ///
    /// # Errors
    /// The last write failed. The storage is released all the same.
    fn close(&self) -> Result<(), StorageError>;
}
