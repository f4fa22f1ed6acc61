//! Everything there is of a store, however damaged, for those who check or rescue it.
//!
//! Nothing here changes anything, and nothing stops at the first thing that is wrong.

mod batch;
mod gap;
mod parts;
mod patience;
mod resync;
mod trail;

use std::{
    io,
    path::{Path, PathBuf},
};

pub(super) use batch::{Batch, Item};
pub(super) use gap::Gap;
use parts::FoundFile;
pub(super) use parts::Part;
pub(super) use trail::{Piece, follow};

use super::{
    directory::Directory,
    failure::doing,
    manifest::{LogEnd, Manifest, Phase},
    segment::{self, StoreId},
    state,
};
use crate::storage::StorageError;

/// How far a long task has come, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many were gone through.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// A batch's number and the position of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) seq: u64,
    pub(super) position: u64,
}

/// What there is of a store.
#[derive(Debug)]
pub(super) struct Survey {
    /// As it was read; `None` where that was not possible.
    pub(super) manifest: Option<Manifest>,
    pub(super) store: StoreId,
    /// By id.
    pub(super) parts: Vec<Part>,
    /// What is wrong with files as a whole.
    pub(super) faults: Vec<Gap>,
    /// Files that nothing accounts for.
    pub(super) unknown: Vec<PathBuf>,
}

impl Survey {
    /// Looks at the files of a store.
    pub(super) fn at(dir: &Directory) -> Result<Self, StorageError> {
        let (manifest, fault) = read_manifest(dir)?;
        let found = parts::find(dir)?;
        let known = found.values().find_map(|found| found.header.as_ref().ok());
        let Some(store) =
            manifest.as_ref().map(|manifest| manifest.store).or(known.map(|header| header.store))
        else {
            // Nothing here says that it is ours, whatever the names of the files are.
            return Err(not_a_store(dir, found.values().find_map(FoundFile::other_version)));
        };
        let faults = fault.into_iter().map(|reason| Gap::of_file(&dir.manifest, reason)).collect();
        let mut survey = Self { manifest, store, parts: Vec::new(), faults, unknown: Vec::new() };
        parts::put_in_order(dir, &mut survey, found)?;
        Ok(survey)
    }

    /// Where the log ends, if it was closed.
    pub(super) fn closed(&self) -> Option<LogEnd> {
        match self.manifest.as_ref()?.phase {
            Phase::Closed(end) | Phase::Copied(end) => Some(end),
            Phase::Open => None,
        }
    }

    /// The length of all files of the log.
    pub(super) fn log_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }
}

/// The manifest, or what is wrong with it.
fn read_manifest(
    dir: &Directory,
) -> Result<(Option<Manifest>, Option<&'static str>), StorageError> {
    match Manifest::read(dir) {
        Ok(Some(manifest)) => Ok((Some(manifest), None)),
        Ok(None) => Ok((None, Some("the manifest is missing"))),
        Err(StorageError::Corrupt { reason, .. }) => Ok((None, Some(reason))),
        // A damaged version looks like another one. The segments will tell.
        Err(StorageError::Format { .. }) => Ok((None, Some("the manifest has another version"))),
        Err(StorageError::Io { source, .. })
            if source.kind() != io::ErrorKind::PermissionDenied =>
        {
            Ok((None, Some("the manifest cannot be read")))
        }
        Err(error) => Err(error),
    }
}

fn not_a_store(dir: &Directory, segment: Option<StorageError>) -> StorageError {
    match Manifest::read(dir) {
        Err(error @ StorageError::Format { .. }) => error,
        _ => segment.unwrap_or(StorageError::NotAStore { path: dir.root.clone() }),
    }
}

/// Whether there are files with names of ours, besides the manifest.
pub(super) fn has_files(dir: &Directory) -> Result<bool, StorageError> {
    let is_ours = |name: &String| segment::id_of(name).is_some() || state::id_of(name).is_some();
    Ok(names(dir, &dir.segments)?.iter().chain(&names(dir, &dir.state)?).any(is_ours))
}

/// The names in a directory, sorted; none where there is no such directory.
fn names(dir: &Directory, part: &Path) -> Result<Vec<String>, StorageError> {
    match dir.disk.list(part) {
        Ok(mut names) => {
            names.sort();
            Ok(names)
        }
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        Err(error) => Err(doing("listing", part)(error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The ids of the files of the state that are there, newest first.
pub(super) fn run_ids(dir: &Directory) -> Result<Vec<u64>, StorageError> {
    let names = names(dir, &dir.state)?;
    Ok(names.iter().rev().filter_map(|name| state::id_of(name)).collect())
}
