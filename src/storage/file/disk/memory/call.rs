//! What a disk was asked to do.

use std::{fmt, ops::Range, path::PathBuf};

/// One I/O call, whether it failed or not. Shown like `write segments/1.log 64..112`.
///
/// A file goes by the path it was opened by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// [`Disk::create_dir_all`](crate::storage::file::Disk::create_dir_all).
    CreateDir(PathBuf),
    /// [`Disk::list`](crate::storage::file::Disk::list).
    List(PathBuf),
    /// [`Disk::open`](crate::storage::file::Disk::open) of a file that is to be there.
    Open(PathBuf),
    /// [`Disk::open`](crate::storage::file::Disk::open) of a file that is made if it is missing.
    Create(PathBuf),
    /// [`Disk::open_read`](crate::storage::file::Disk::open_read).
    OpenRead(PathBuf),
    /// [`Disk::rename`](crate::storage::file::Disk::rename): from, to.
    Rename(PathBuf, PathBuf),
    /// [`Disk::remove`](crate::storage::file::Disk::remove).
    Remove(PathBuf),
    /// [`Disk::sync_dir`](crate::storage::file::Disk::sync_dir).
    SyncDir(PathBuf),
    /// [`Disk::lock`](crate::storage::file::Disk::lock).
    Lock(PathBuf),
    /// [`DiskFile::size`](crate::storage::file::DiskFile::size).
    Size(PathBuf),
    /// [`DiskFile::read_at`](crate::storage::file::DiskFile::read_at): the bytes asked for.
    Read(PathBuf, Range<u64>),
    /// [`DiskFile::write_all_at`](crate::storage::file::DiskFile::write_all_at): the bytes written.
    Write(PathBuf, Range<u64>),
    /// [`DiskFile::set_len`](crate::storage::file::DiskFile::set_len): in bytes.
    SetLen(PathBuf, u64),
    /// [`DiskFile::sync_data`](crate::storage::file::DiskFile::sync_data).
    Sync(PathBuf),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateDir(path) => write!(f, "create_dir {}", path.display()),
            Self::List(path) => write!(f, "list {}", path.display()),
            Self::Open(path) => write!(f, "open {}", path.display()),
            Self::Create(path) => write!(f, "create {}", path.display()),
            Self::OpenRead(path) => write!(f, "open_read {}", path.display()),
            Self::Rename(from, to) => write!(f, "rename {} {}", from.display(), to.display()),
            Self::Remove(path) => write!(f, "remove {}", path.display()),
            Self::SyncDir(path) => write!(f, "sync_dir {}", path.display()),
            Self::Lock(path) => write!(f, "lock {}", path.display()),
            Self::Size(path) => write!(f, "size {}", path.display()),
            Self::Read(path, bytes) => write!(f, "read {} {bytes:?}", path.display()),
            Self::Write(path, bytes) => write!(f, "write {} {bytes:?}", path.display()),
            Self::SetLen(path, len) => write!(f, "set_len {} {len}", path.display()),
            Self::Sync(path) => write!(f, "sync {}", path.display()),
        }
    }
}
