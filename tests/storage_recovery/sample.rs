//! A small store to be damaged, and how opening it comes out.

use std::path::{Path, PathBuf};

use tidings::{
    Durability,
    storage::{Storage, StorageError},
    testing::MemoryDisk,
};

use crate::model::{numbered, open, try_whole_commits};

/// A store with three segments, and how many synced commits it holds.
pub(crate) fn three_segments(closed: bool) -> (MemoryDisk, u64) {
    let disk = MemoryDisk::new();
    let storage = open(&disk).unwrap();
    let mut count = 0;
    while segments(&disk).len() < 3 || newest_len(&disk) < 600 {
        count += 1;
        storage.commit(numbered(count, Durability::Synced)).unwrap();
    }
    if closed {
        storage.close().unwrap();
    }
    disk.kill();
    (disk, count)
}

pub(crate) fn segments(disk: &MemoryDisk) -> Vec<PathBuf> {
    let mut files = disk.files();
    files.retain(|path| path.starts_with("/store/segments"));
    files
}

/// Where the batches of the newest segment end.
pub(crate) fn newest_len(disk: &MemoryDisk) -> usize {
    let bytes = disk.contents(segments(disk).last().unwrap()).unwrap();
    *batch_starts(&bytes).last().unwrap()
}

/// Where batches of a segment begin, and where the last one ends.
pub(crate) fn batch_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![96];
    while let Some(&[b't', b'd', b'b', _, a, b, c, d]) =
        bytes.get(*starts.last().unwrap()..).and_then(|at| at.first_chunk())
    {
        let frame = (48 + u32::from_le_bytes([a, b, c, d]) as usize).next_multiple_of(8);
        starts.push(starts.last().unwrap() + frame);
    }
    starts
}

/// Everything a disk holds.
pub(crate) fn image(disk: &MemoryDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let with_bytes = |path: PathBuf| (path.clone(), disk.contents(&path).unwrap());
    disk.files().into_iter().map(with_bytes).collect()
}

pub(crate) enum Outcome {
    /// When opening, or when reading what is damaged.
    Refused,
    Opened {
        commits: u64,
        reported: bool,
    },
}

pub(crate) fn outcome(disk: &MemoryDisk) -> Outcome {
    let before = image(disk);
    let storage = match open(disk) {
        Ok(storage) => storage,
        Err(StorageError::Corrupt { .. } | StorageError::Format { .. }) => {
            assert!(image(disk) == before, "a refusal modified something");
            return Outcome::Refused;
        }
        Err(error) => panic!("{error}"),
    };
    match try_whole_commits(&storage) {
        Ok(commits) => {
            let report = storage.recovery();
            let reported = report.reason.is_some() || !report.set_aside.is_empty();
            Outcome::Opened { commits, reported }
        }
        Err(StorageError::Corrupt { .. }) => Outcome::Refused,
        Err(error) => panic!("{error}"),
    }
}

/// The outcome after `change` was done to one file.
pub(crate) fn damaged(
    disk: &MemoryDisk,
    path: &Path,
    change: impl FnOnce(&mut Vec<u8>),
) -> Outcome {
    let disk = disk.copy();
    let mut bytes = disk.contents(path).unwrap();
    change(&mut bytes);
    disk.set_contents(path, bytes);
    outcome(&disk)
}
