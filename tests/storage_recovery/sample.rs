//! A small store to be damaged, and how opening it comes out.

use std::path::{Path, PathBuf};

use tidings::{
    Durability,
    storage::{Storage, StorageError},
    testing::MemoryDisk,
};

use crate::model::{numbered, open, whole_commits};

/// A store with three segments, and how many synced commits it holds.
pub(crate) fn three_segments(closed: bool) -> (MemoryDisk, u64) {
    let disk = MemoryDisk::new();
    let storage = open(&disk).unwrap();
    let mut count = 0;
    while segments(&disk).len() < 3 || newest_len(&disk) < 700 {
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

pub(crate) fn newest_len(disk: &MemoryDisk) -> usize {
    disk.contents(segments(disk).last().unwrap()).unwrap().len()
}

/// Where batches of a segment begin, and where the last one ends.
pub(crate) fn batch_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![64];
    while let Some(length) = bytes.get(starts.last().unwrap() + 4..).and_then(|at| at.first_chunk())
    {
        let frame = 48 + u32::from_le_bytes(*length) as usize;
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
    Refused,
    Opened { commits: u64, reported: bool },
}

pub(crate) fn outcome(disk: &MemoryDisk) -> Outcome {
    let before = image(disk);
    match open(disk) {
        Ok(storage) => Outcome::Opened {
            commits: whole_commits(&storage),
            reported: storage.recovery().discarded_bytes > 0
                || storage.recovery().set_aside.is_some(),
        },
        Err(StorageError::Corrupt { .. } | StorageError::Format { .. }) => {
            assert_eq!(image(disk), before, "a refusal modified something");
            Outcome::Refused
        }
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
