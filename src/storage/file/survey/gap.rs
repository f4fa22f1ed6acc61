//! A part of a store that cannot be used.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use crate::storage::StorageError;

/// A part of a store that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::file) struct Gap {
    pub(in crate::storage::file) file: PathBuf,
    pub(in crate::storage::file) bytes: Range<u64>,
    pub(in crate::storage::file) reason: &'static str,
    /// The positions that were there.
    pub(in crate::storage::file) positions: Range<u64>,
    /// Whether there were exactly these positions; otherwise at most these.
    pub(in crate::storage::file) exact: bool,
    /// The batches that were there.
    pub(in crate::storage::file) seqs: Range<u64>,
    /// Whether they were known to be durable. What a crash tears never was.
    pub(in crate::storage::file) acknowledged: bool,
}

impl Gap {
    /// Something that was acknowledged and holds no batches.
    pub(in crate::storage::file) fn of_file(file: &Path, reason: &'static str) -> Self {
        Self {
            file: file.to_owned(),
            bytes: 0..0,
            reason,
            positions: 0..0,
            exact: true,
            seqs: 0..0,
            acknowledged: true,
        }
    }

    /// A file of the state that could not be opened.
    pub(in crate::storage::file) fn of_run(file: &Path, error: &StorageError) -> Self {
        let reason = match error {
            StorageError::Corrupt { reason, .. } => reason,
            StorageError::Format { .. } => "a file of the state has another version",
            _ => "a file of the state cannot be read",
        };
        Self::of_file(file, reason)
    }

    pub(in crate::storage::file) fn at(self, bytes: Range<u64>) -> Self {
        Self { bytes, ..self }
    }
}
