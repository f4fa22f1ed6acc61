//! The directory that a store is rescued into.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::SalvageError;
use crate::storage::{
    StorageError,
    file::{
        Disk, DiskFile, DiskLock, FileStorage, LockError,
        directory::Directory,
        failure::doing,
        manifest::{Manifest, ReplaceError, SegmentEntry},
        next::{Spare, first_size},
        planted::Planted,
        segment::SegmentHeader,
    },
};

/// The directory must be empty, or not there yet.
pub(super) fn check_empty(to: &Directory) -> Result<(), SalvageError> {
    match to.disk.list(&to.root) {
        Ok(names) if names.is_empty() => Ok(()),
        Ok(_) => Err(SalvageError::NotEmpty { path: to.root.clone() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(doing("listing", &to.root)(error).into()),
    }
}

/// A disk on which the manifest has another name for now, so that nobody takes what is not finished
/// for a store.
#[derive(Debug, Clone)]
pub(super) struct Unfinished {
    disk: Arc<dyn Disk>,
    manifest: PathBuf,
    hidden: PathBuf,
}

impl Unfinished {
    /// Makes a store whose first record gets this position.
    pub(super) fn create(to: &Directory, first: u64) -> Result<(Self, FileStorage), StorageError> {
        let hidden = to.root.join("MANIFEST.unfinished");
        let disk = Self { disk: Arc::clone(&to.disk), manifest: to.manifest.clone(), hidden };
        disk.create_dir_all(&to.root).map_err(doing("creating", &to.root))?;
        mark(to)?;
        for path in [&to.segments, &to.state] {
            disk.create_dir_all(path).map_err(doing("creating", path))?;
        }
        begin(&Directory::new(Arc::new(disk.clone()), &to.root, Planted::default()), first)?;
        let storage = FileStorage::builder(&to.root).disk(disk.clone()).open()?;
        Ok((disk, storage))
    }

    /// Gives the manifest its name.
    pub(super) fn finish(&self, to: &Directory) -> Result<(), StorageError> {
        let renamed = self.disk.rename(&self.hidden, &self.manifest);
        renamed.map_err(doing("renaming", &self.hidden))?;
        to.sync(&to.root)
    }

    fn real<'a>(&'a self, path: &'a Path) -> &'a Path {
        if path == self.manifest { &self.hidden } else { path }
    }
}

/// Puts in the manifest's place what is none, so that opening the directory is refused until then.
fn mark(to: &Directory) -> Result<(), StorageError> {
    let path = &to.manifest;
    let file = to.disk.open(path, true).map_err(doing("creating", path))?;
    let text = b"A store was to be rescued into this directory, and that did not end.\n";
    file.write_all_at(text, 0).map_err(doing("writing", path))?;
    file.sync_data().map_err(doing("syncing", path))?;
    to.sync(&to.root)
}

/// Writes the first segment and the first manifest.
fn begin(dir: &Directory, position: u64) -> Result<(), StorageError> {
    let (high, low) = (dir.disk.entropy(), dir.disk.entropy());
    let store = (u128::from(high) << 64 | u128::from(low)).to_le_bytes();
    let mut manifest = Manifest::new(store, dir.disk.entropy());
    let size = first_size(FileStorage::DEFAULT_SEGMENT);
    let header = SegmentHeader {
        store,
        id: 1,
        epoch: 0,
        timeline: manifest.timeline,
        position,
        seq: 1,
        previous_len: 0,
        previous_crc: 0,
        size,
    };
    Spare::create(dir, 1, size)?.begin(dir, &header)?;
    let entry = SegmentEntry::new(1, 0, position, 1);
    let next = Manifest { segments: vec![entry], ..manifest.clone() };
    manifest.replace(dir, next).map_err(ReplaceError::into_inner)
}

impl Disk for Unfinished {
    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.absolute(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(self.real(path), create)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_read(self.real(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(self.real(from), self.real(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(self.real(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.disk.lock(path)
    }

    fn entropy(&self) -> u64 {
        self.disk.entropy()
    }
}
