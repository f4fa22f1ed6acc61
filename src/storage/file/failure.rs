//! How a failing call to the disk becomes a storage error.

use std::{io, path::Path, sync::Arc};

use crate::storage::StorageError;

/// An error of reading or preparing: nothing changed.
pub(super) fn doing(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    move |source| StorageError::Io { doing, path: path.to_owned(), source: Arc::new(source) }
}

/// The same, of a step that needs room for so many bytes.
pub(super) fn full(
    what: &'static str,
    path: &Path,
    bytes: u64,
) -> impl FnOnce(io::Error) -> StorageError {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StorageError::Full { bytes }
        }
        _ => doing(what, path)(source),
    }
}

/// The same failure, in the midst of a commit.
pub(super) fn indeterminate(error: StorageError) -> StorageError {
    match error {
        StorageError::Io { doing, source, .. } => StorageError::Indeterminate { doing, source },
        other => other,
    }
}
