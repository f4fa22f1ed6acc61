//! The one seam through which storage touches files.

#[cfg(any(test, feature = "testing"))]
mod memory;
mod real;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

#[cfg(any(test, feature = "testing"))]
pub use memory::{Call, Fault, MemoryDisk};
pub use real::RealDisk;

/// Directories and files, as [`FileStorage`](super::FileStorage) needs them.
///
/// Three things become durable separately, and nothing is durable before its sync: the bytes of a
/// file with its length ([`DiskFile::sync_data`]) and the names in a directory
/// ([`Disk::sync_dir`]). Until then a power loss may keep, lose or tear them in any combination.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// The path that names the same file wherever the process goes later. Unchanged unless the
    /// disk has a current directory.
    ///
    /// # Errors
    /// As the system says.
    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    /// Creates a directory and its missing parents, durably. Fine if it is there.
    ///
    /// # Errors
    /// As the system says.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The names in a directory, in any order. Names that are not Unicode are left out.
    ///
    /// # Errors
    /// As the system says; [`io::ErrorKind::NotFound`] where there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing. With `create` a missing one is made, empty.
    ///
    /// # Errors
    /// As the system says; [`io::ErrorKind::NotFound`] where there is no such file.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there for reading only.
    ///
    /// # Errors
    /// As the system says; [`io::ErrorKind::NotFound`] where there is no such file.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path, false)
    }

    /// Gives a file another name, replacing the file that has it.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the system says. What is durable then is unknown.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, making it if it is missing, until the returned lock is dropped. Refused as
    /// long as anybody else holds it, also within this process. The file is never removed.
    ///
    /// # Errors
    /// [`LockError`].
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError>;

    /// Keeps others from locking a file, without having it changed. `None` where there is no such
    /// file, so that nobody can have locked it. Unless a disk says otherwise this is its lock.
    ///
    /// # Errors
    /// [`LockError`].
    fn hold(&self, path: &Path) -> Result<Option<Box<dyn DiskLock>>, LockError> {
        self.lock(path).map(Some)
    }

    /// Random bits, to tell stores apart. Not for secrets.
    fn entropy(&self) -> u64;
}

/// An open file. Closed when dropped.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// As the system says.
    fn size(&self) -> io::Result<u64>;

    /// Reads at `offset` until the buffer is full or the file ends. Returns how many bytes it got.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes at `offset`, making the file longer where needed.
    ///
    /// # Errors
    /// As the system says. What the file holds there is unknown then.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file `len` bytes long: cuts off what is beyond, or adds zeros. Durable with the
    /// next [`DiskFile::sync_data`], like a write.
    ///
    /// # Errors
    /// As the system says. How long the file is then is unknown.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable.
    ///
    /// # Errors
    /// As the system says. What is durable is unknown then, and no later sync can tell.
    fn sync_data(&self) -> io::Result<()>;
}

/// A held lock. Dropping it releases it.
pub trait DiskLock: fmt::Debug + Send + Sync + 'static {
    /// Whether it is still held. Only a simulated crash takes it away.
    fn is_held(&self) -> bool {
        true
    }
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else holds it; the text is what the holder says about itself.
    #[error("held by {0}")]
    Held(String),
    /// The system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
