//! Where a comparison keeps its files.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A directory that is removed in the end: below `TIDINGS_BENCH_DIR` where that is set, else below
/// the system's own for temporary files.
#[derive(Debug)]
pub struct Directory(TempDir);

impl Directory {
    /// Makes the directory. Warns where it is not on a disk.
    ///
    /// # Errors
    /// The file system fails.
    pub fn new() -> io::Result<Self> {
        let parent = env::var_os("TIDINGS_BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
        fs::create_dir_all(&parent)?;
        if is_in_memory(&parent) {
            eprintln!(
                "warning: {} is in memory; set TIDINGS_BENCH_DIR to a disk",
                parent.display()
            );
        }
        tempfile::Builder::new().prefix("tidings-bench-").tempdir_in(parent).map(Self)
    }

    /// A new empty directory inside, removed when it is dropped.
    ///
    /// # Errors
    /// The file system fails.
    pub fn fresh(&self) -> io::Result<TempDir> {
        tempfile::tempdir_in(self.0.path())
    }
}

/// Whether the mount that a path is on is a file system in memory. Only Linux can tell.
fn is_in_memory(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let fields = |line: &str| {
        let mut fields = line.split(' ').skip(1).map(str::to_owned);
        Some((fields.next()?, fields.next()?))
    };
    let mounted = mounts.lines().filter_map(fields).filter(|(at, _)| path.starts_with(at));
    let nearest = mounted.max_by_key(|(at, _)| at.len());
    nearest.is_some_and(|(_, kind)| matches!(kind.as_str(), "tmpfs" | "ramfs"))
}
