//! The file system of the machine.
#![allow(clippy::disallowed_methods)] // the one place that may touch files

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    hash::{BuildHasher, RandomState},
    io::{self, Read},
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::SystemTime,
};

use super::{Disk, DiskFile, DiskLock, LockError};
use crate::runtime::Timestamp;

/// The file system of the machine. Directories and files are made for their owner alone (Unix).
/// A path that names a symbolic link is not opened; its directory may be reached through one.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct RealDisk;

impl RealDisk {
    /// The file system of the machine.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Disk for RealDisk {
    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        std::path::absolute(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.is_dir();
        let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
        for path in missing.iter().rev() {
            create_dir(path)?;
            self.sync_dir(parent(path))?;
        }
        // An earlier process may have made a directory and died before it was synced: the last one
        // if none is missing, any of them otherwise. Where a parent is not ours to open, it is not
        // ours to have made either.
        let unsure = if missing.is_empty() { 1 } else { usize::MAX };
        for path in dir.ancestors().take(unsure) {
            match self.sync_dir(parent(path)) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(open(path, &options(create))?)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(open(path, File::options().read(true))?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        sync_names(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let file = open(path, &options(true))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(path))),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let since = Timestamp::from(SystemTime::now());
        let text = format!("process {} since {since}\n", process::id());
        let (file, path) = (RealFile(file), path.to_owned());
        let lock = RealLock { file, path, owner: process::id() };
        lock.file.set_len(0)?;
        lock.file.write_all_at(text.as_bytes(), 0)?;
        Ok(Box::new(lock))
    }

    fn hold(&self, path: &Path) -> Result<Option<Box<dyn DiskLock>>, LockError> {
        let file = match open(path, File::options().read(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(path))),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let path = path.to_owned();
        Ok(Some(Box::new(RealLock { file: RealFile(file), path, owner: process::id() })))
    }

    fn entropy(&self) -> u64 {
        RandomState::new().hash_one(SystemTime::now())
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn create_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result,
    }
}

fn options(create: bool) -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).create(create).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Refuses a link that was left in place of a file, by mistake or to misdirect. Not proof against
/// whoever puts one there between the two calls: they may write to the directory anyway.
fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        let text = format!("{} is a symbolic link", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    options.open(path)
}

#[cfg(unix)]
fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere directories cannot be synced; the file system's journal keeps names.
#[cfg(not(unix))]
fn sync_names(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// What the holder of a lock wrote about itself. Not everywhere readable while locked.
fn holder(path: &Path) -> String {
    let text = File::open(path).and_then(|file| io::read_to_string(file.take(256)));
    match text.unwrap_or_default().trim() {
        "" => "another bus".to_owned(),
        text => text.to_owned(),
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match read_some(&self.0, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match write_some(&self.0, bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(unix)]
fn write_some(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(windows)]
fn write_some(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

/// Unlocks explicitly: a child process may have inherited the file and keep it open.
#[derive(Debug)]
struct RealLock {
    file: RealFile,
    path: PathBuf,
    /// A forked child has the lock as well, and it is not the child's to release.
    owner: u32,
}

impl DiskLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        if self.owner != process::id() {
            return;
        }
        if let Err(error) = self.file.0.unlock() {
            tracing::debug!(path = %self.path.display(), %error, "the lock could not be released");
        }
    }
}
