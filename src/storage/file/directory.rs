//! The directory of a store: which file is where, and the disk that it is on.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::Disk,
    failure::doing,
    index,
    planted::{Mistake, Planted},
    segment, state,
};
use crate::storage::StorageError;

/// The directory of a store.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) root: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) manifest: PathBuf,
    pub(super) new_manifest: PathBuf,
    pub(super) segments: PathBuf,
    pub(super) state: PathBuf,
    pub(super) quarantine: PathBuf,
    planted: Planted,
}

impl Directory {
    pub(super) fn new(disk: Arc<dyn Disk>, root: &Path, planted: Planted) -> Self {
        Self {
            disk,
            root: root.to_owned(),
            lock: root.join("LOCK"),
            manifest: root.join("MANIFEST"),
            new_manifest: root.join("MANIFEST.new"),
            segments: root.join("segments"),
            state: root.join("state"),
            quarantine: root.join("quarantine"),
            planted,
        }
    }

    pub(super) fn segment(&self, id: u64) -> PathBuf {
        self.segments.join(segment::file_name(id))
    }

    /// The file of a segment that was written anew so many times.
    pub(super) fn rewritten(&self, id: u64, times: u64) -> PathBuf {
        self.segments.join(segment::rewritten_name(id, times))
    }

    pub(super) fn index(&self, id: u64) -> PathBuf {
        self.segments.join(index::file_name(id))
    }

    pub(super) fn run(&self, id: u64) -> PathBuf {
        self.state.join(state::file_name(id))
    }

    /// The names in one of its directories.
    pub(super) fn list(&self, dir: &Path) -> Result<Vec<String>, StorageError> {
        self.disk.list(dir).map_err(doing("listing", dir))
    }

    pub(super) fn exists(&self, path: &Path) -> Result<bool, StorageError> {
        match self.disk.open_read(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(doing("looking for", path)(error)),
        }
    }

    /// The length of a file, if it is there.
    pub(super) fn length(&self, path: &Path) -> Result<Option<u64>, StorageError> {
        match self.disk.open_read(path).and_then(|file| file.size()) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(doing("looking at", path)(error)),
        }
    }

    /// Makes the names in one of its directories durable.
    pub(super) fn sync(&self, dir: &Path) -> Result<(), StorageError> {
        self.disk.sync_dir(dir).map_err(doing("syncing the directory", dir))
    }

    /// Removes a file that may be there.
    pub(super) fn remove(&self, path: &Path) -> Result<(), StorageError> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(doing("removing", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes a file of ours that came to nothing, if that is possible.
    pub(super) fn discard(&self, path: &Path) {
        if let Err(error) = self.remove(path) {
            tracing::warn!(%error, "an unfinished file could not be removed");
        }
    }

    /// Moves a file to the quarantine, durably. Returns where it is now.
    pub(super) fn set_aside(&self, from: &Path) -> Result<PathBuf, StorageError> {
        let dir = &self.quarantine;
        self.disk.create_dir_all(dir).map_err(doing("creating", dir))?;
        let name = from.file_name().and_then(|name| name.to_str()).unwrap_or("file");
        let taken = self.list(dir)?;
        let free =
            (0..=taken.len()).map(|n| format!("{name}.{n}")).find(|name| !taken.contains(name));
        let to = dir.join(free.unwrap_or_default());
        self.disk.rename(from, &to).map_err(doing("setting aside", from))?;
        self.sync(dir)?;
        self.sync(from.parent().unwrap_or(&self.root))?;
        Ok(to)
    }

    /// Whether the tests have planted this mistake. Never, outside of tests.
    pub(super) fn makes(&self, mistake: Mistake) -> bool {
        self.planted.is(mistake)
    }
}
