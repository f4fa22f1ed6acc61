//! A disk with something done before or after each call that changes something.

use std::{fmt, io, path::Path, sync::Arc};

use tidings::{
    storage::file::{Disk, DiskFile, DiskLock, LockError},
    testing::MemoryDisk,
};

/// What is done around each call that changes something.
pub(crate) trait Hook: fmt::Debug + Send + Sync + 'static {
    fn before(&self, _disk: &MemoryDisk, _path: &Path) {}

    /// What the call returns that has done what it was to do.
    fn after(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk with a hook.
#[derive(Debug)]
pub(crate) struct Hooked<H> {
    pub(crate) disk: MemoryDisk,
    pub(crate) hook: Arc<H>,
}

#[derive(Debug)]
struct HookedFile<H> {
    file: Arc<dyn DiskFile>,
    path: std::path::PathBuf,
    disk: Hooked<H>,
}

impl<H> Clone for Hooked<H> {
    fn clone(&self) -> Self {
        Self { disk: self.disk.clone(), hook: Arc::clone(&self.hook) }
    }
}

impl<H: Hook> Hooked<H> {
    pub(crate) fn new(disk: &MemoryDisk, hook: H) -> Self {
        Self { disk: disk.clone(), hook: Arc::new(hook) }
    }

    fn around<T>(&self, path: &Path, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.hook.before(&self.disk, path);
        let done = call()?;
        self.hook.after().map(|()| done)
    }
}

impl<H: Hook> Disk for Hooked<H> {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.around(dir, || self.disk.create_dir_all(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let open = || self.disk.open(path, create);
        let file = if create { self.around(path, open)? } else { open()? };
        Ok(Arc::new(HookedFile { file, path: path.to_owned(), disk: self.clone() }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.around(to, || self.disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.around(path, || self.disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.around(dir, || self.disk.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.disk.lock(path)
    }

    fn entropy(&self) -> u64 {
        self.disk.entropy()
    }
}

impl<H: Hook> DiskFile for HookedFile<H> {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.around(&self.path, || self.file.write_all_at(bytes, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.around(&self.path, || self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.around(&self.path, || self.file.sync_data())
    }
}
