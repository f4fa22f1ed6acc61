//! What can go wrong in storage.

use std::{io, path::PathBuf, sync::Arc};

use super::Precondition;
use crate::message::Position;

/// What went wrong in storage, on what, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The storage was closed. Nothing changed.
    #[error("the storage is closed")]
    Closed,
    /// A precondition does not hold. Nothing changed.
    #[error("a precondition of the commit does not hold: {0:?}")]
    Conflict(Precondition),
    /// Stored bytes are damaged. Nothing was modified; restore a backup of the file.
    #[error("{} is damaged at byte {offset}: {reason}", .file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A file was written by another version of the format.
    #[error("{} has format version {found}; this build reads version {supported}", .file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The version that this build reads.
        supported: u32,
    },
    /// There is no room. Nothing changed; free some and try again.
    #[error("no room left to write {bytes} bytes")]
    Full {
        /// How much was to be written.
        bytes: u64,
    },
    /// Another bus has the directory open.
    #[error("{} is in use by {holder}; a log has one bus at a time", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who holds it, as it says itself.
        holder: String,
    },
    /// A write or sync failed midway, so the commit may or may not survive. Nothing more is
    /// accepted until the storage is opened anew.
    #[error("while {doing}: {source}; the commit may or may not survive, open the log anew")]
    Indeterminate {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// Reading, or preparing a write, failed. Nothing changed.
    #[error("while {doing} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A directory that was to be filled has something in it already. Nothing changed.
    #[error("{} is not empty", .path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// There is no store there. Nothing changed.
    #[error("{} holds no store", .path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// An earlier write failed. Nothing changed; open the storage anew.
    #[error("an earlier write failed and the log takes no more until it is opened anew")]
    Poisoned,
    /// The storage was opened for reading alone. Nothing changed.
    #[error("the storage was opened for reading alone")]
    ReadOnly,
    /// The commit is larger than the storage takes. Nothing changed.
    #[error("the commit has {bytes} bytes, more than the {limit} that fit")]
    TooLarge {
        /// The commit's size.
        bytes: u64,
        /// The largest size.
        limit: u64,
    },
    /// Records from that position are no longer kept.
    #[error("position {wanted} is no longer kept; the oldest is {first}")]
    Truncated {
        /// The position asked for.
        wanted: Position,
        /// The oldest position that is kept.
        first: Position,
    },
    /// The storage cannot do that.
    #[error("this storage has no {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
}
