//! A disk that shows a file as it was, for a while.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tidings::{
    storage::file::{Disk, DiskFile, DiskLock, LockError},
    testing::MemoryDisk,
};

/// Shows one file as it was, whenever the number of the opening is one of those. Others work on the
/// disk beside it.
#[derive(Debug)]
pub(crate) struct Stale {
    now: MemoryDisk,
    before: MemoryDisk,
    path: PathBuf,
    opened: AtomicU32,
    hides_the_present: fn(u32) -> bool,
}

impl Stale {
    pub(crate) fn new(
        disk: &MemoryDisk,
        path: &str,
        bytes: &[u8],
        hides_the_present: fn(u32) -> bool,
    ) -> Self {
        let before = disk.copy();
        before.set_contents(path, bytes);
        Self {
            now: disk.clone(),
            before,
            path: path.into(),
            opened: AtomicU32::new(0),
            hides_the_present,
        }
    }
}

impl Disk for Stale {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if path != self.path {
            return self.now.open_read(path);
        }
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        if (self.hides_the_present)(number) {
            self.before.open_read(path)
        } else {
            self.now.open_read(path)
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.now.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.now.create_dir_all(dir)
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.now.open(path, create)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.now.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.now.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.now.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.now.lock(path)
    }

    fn entropy(&self) -> u64 {
        self.now.entropy()
    }
}
