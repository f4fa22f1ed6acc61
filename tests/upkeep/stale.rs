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

/// Shows one file as it was to the first who open it. Others work on the disk beside it.
#[derive(Debug)]
pub(crate) struct Stale {
    now: MemoryDisk,
    before: MemoryDisk,
    path: PathBuf,
    left: AtomicU32,
}

impl Stale {
    pub(crate) fn new(disk: &MemoryDisk, path: &str, bytes: &[u8], times: u32) -> Self {
        let before = disk.copy();
        before.set_contents(path, bytes);
        Self { now: disk.clone(), before, path: path.into(), left: AtomicU32::new(times) }
    }
}

impl Disk for Stale {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let is_stale = path == self.path && {
            let count = |left: u32| left.checked_sub(1);
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
        };
        if is_stale { self.before.open_read(path) } else { self.now.open_read(path) }
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
