//! What fuzzing found, each as a small story.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tidings::{
    Envelope, MessageId, Position,
    storage::{Commit, FileStorage, Query, Record, Storage, StorageError, Trim, Upkeep, Write},
    testing::{Call, MemoryDisk},
};

fn open(disk: &MemoryDisk) -> Result<FileStorage, StorageError> {
    FileStorage::builder("/store").segment_bytes(1024).disk(disk.clone()).open()
}

fn put(value: usize) -> Commit {
    Commit { writes: vec![Write::put("key", vec![b'v'; value])], ..Commit::default() }
}

/// A store whose first segments were dropped, so that one is used again.
fn trimmed(disk: &MemoryDisk) -> FileStorage {
    let storage = open(disk).unwrap();
    for _ in 0..6 {
        storage.commit(put(500)).unwrap();
    }
    storage.trim(&Trim::before(Position::LAST)).unwrap();
    storage
}

#[test]
fn a_recycled_segment_may_be_too_small_for_the_next_commit() {
    let storage = trimmed(&MemoryDisk::new());
    storage.commit(put(5000)).unwrap();
    assert_eq!(storage.get(b"key").unwrap().unwrap().len(), 5000);
}

#[test]
fn a_stranger_in_the_place_of_the_next_segment_is_left_alone() {
    let disk = MemoryDisk::new();
    let storage = open(&disk).unwrap();
    for _ in 0..6 {
        storage.commit(put(500)).unwrap();
    }
    let last = disk.files().into_iter().rfind(|path| path.starts_with("/store/segments")).unwrap();
    let name = last.file_stem().unwrap().to_str().unwrap();
    let next = format!("/store/segments/{:020}.log", name.parse::<u64>().unwrap() + 1);
    disk.set_contents(&next, b"something of somebody");
    storage.trim(&Trim::before(Position::LAST)).unwrap();
    assert_eq!(disk.contents(&next).unwrap(), b"something of somebody");
}

fn with_extension(disk: &MemoryDisk, extension: &str) -> PathBuf {
    let mut files = disk.files().into_iter();
    files.find(|path| path.extension().is_some_and(|found| found == extension)).unwrap()
}

/// The most bytes that any call read of a file.
fn largest_read(disk: &MemoryDisk, of: &Path) -> u64 {
    let trace = disk.trace();
    let reads = trace.iter().filter_map(|call| match call {
        Call::Read(path, range) if path == of => Some(range.end - range.start),
        _ => None,
    });
    reads.max().unwrap_or(0)
}

#[test]
fn the_footer_of_a_run_does_not_make_it_all_be_read() {
    let disk = MemoryDisk::new();
    let storage = open(&disk).unwrap();
    for key in 0..100_u8 {
        let writes = vec![Write::put([key], vec![key; 10_000])];
        storage.commit(Commit { writes, ..Commit::default() }).unwrap();
    }
    storage.close().unwrap();
    let run = with_extension(&disk, "run");
    let mut bytes = disk.contents(&run).unwrap();
    let footer = bytes.len() - 24;
    bytes[footer..footer + 8].fill(0);
    disk.set_contents(&run, bytes);
    disk.record_trace();
    assert!(matches!(open(&disk), Err(StorageError::Corrupt { .. })));
    assert!(largest_read(&disk, &run) < 1000);
}

/// Commits a record of each name.
fn commit_named(storage: &FileStorage, names: &[String]) {
    let record = |name: &String| Record {
        envelope: Arc::new(Envelope::new(name, 1, MessageId::from_bytes([0; 16]))),
        payload: b"{}".to_vec(),
    };
    let records = names.iter().map(record).collect();
    storage.commit(Commit { records, ..Commit::default() }).unwrap();
}

fn keep_up(storage: &FileStorage) {
    while storage.upkeep().unwrap() == Upkeep::More {}
}

#[test]
fn an_index_that_is_larger_than_its_segment_is_not_read() {
    let disk = MemoryDisk::new();
    let storage = open(&disk).unwrap();
    for _ in 0..20 {
        commit_named(&storage, &["one".into(), "two".into()]);
    }
    keep_up(&storage);
    storage.close().unwrap();
    let index = with_extension(&disk, "idx");
    disk.set_contents(&index, vec![0; 1_000_000]);
    let storage = open(&disk).unwrap();
    disk.record_trace();
    let found = storage.read(&Query::from(Position::FIRST).of("two")).unwrap().records;
    assert_eq!(found.len(), 20);
    assert!(largest_read(&disk, &index) < 100_000);
    keep_up(&storage);
    assert!(disk.contents(&index).unwrap().len() < 1000, "it is not made again");
}

/// How long it takes to index segments with so many names.
fn indexing(names: usize) -> Duration {
    let disk = MemoryDisk::new();
    let storage =
        FileStorage::builder("/store").segment_bytes(8 << 20).disk(disk.clone()).open().unwrap();
    for batch in 0..150 {
        let name = |number: usize| format!("name-{:06}", (batch * 500 + number) % names);
        commit_named(&storage, &(0..500).map(name).collect::<Vec<_>>());
    }
    storage.make_room(8 << 20, true).unwrap();
    let begun = Instant::now();
    keep_up(&storage);
    begun.elapsed()
}

#[test]
fn very_many_names_are_indexed_in_reasonable_time() {
    let (few, many) = (indexing(10), indexing(75_000));
    assert!(many < 20 * few + Duration::from_millis(500), "{few:?}, {many:?}");
}

#[test]
fn no_store_is_made_where_an_index_of_another_is_left() {
    let disk = MemoryDisk::new();
    let storage = open(&disk).unwrap();
    for _ in 0..6 {
        storage.commit(put(500)).unwrap();
    }
    keep_up(&storage);
    storage.close().unwrap();
    let index = with_extension(&disk, "idx");
    for path in disk.files().into_iter().filter(|path| *path != index) {
        disk.lose(path);
    }
    assert!(matches!(open(&disk), Err(StorageError::Corrupt { .. })));
    assert_eq!(disk.files(), [index]);
}
