//! What commits and reads are spared, because upkeep does it or because it was done before.

use std::path::{Path, PathBuf};

use tidings::{
    Durability, Key,
    storage::{Commit, Compaction, FileStorage, Query, Storage},
    testing::{Call, MemoryDisk},
};

use super::{commit, keep_up, open, position, record};

#[test]
fn the_file_of_the_next_segment_is_made_by_upkeep_and_not_by_a_commit() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    disk.record_trace();
    for number in 1..=100 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
        let is_segment = |path: &PathBuf| path.starts_with("/store/segments");
        let made = |call: &Call| matches!(call, Call::Create(path) if is_segment(path));
        assert!(!disk.trace().iter().any(made), "commit {number}: {:?}", disk.trace());
        while storage.wants_upkeep() {
            storage.upkeep().unwrap();
        }
        disk.clear_trace();
    }
}

#[test]
fn a_key_that_is_asked_again_is_not_read_again() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=20 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    storage.close().unwrap();
    let storage = open(&disk);
    let before = disk.io_count();
    let first = storage.get(b"n1").unwrap();
    let read = disk.io_count();
    assert!(read > before, "it was in a file");
    assert_eq!(storage.get(b"n1").unwrap(), first);
    assert_eq!(disk.io_count(), read);
}

#[test]
fn a_read_in_the_midst_of_a_sealed_segment_does_not_read_what_is_before_it() {
    let disk = MemoryDisk::new();
    let open = || FileStorage::builder("/store").disk(disk.clone()).segment_bytes(1 << 20).open();
    let storage = open().unwrap();
    for number in 1..=300 {
        let commit = Commit { records: vec![record(number, 4000)], ..Commit::default() };
        storage.commit(commit).unwrap();
    }
    keep_up(&storage);
    let check = |storage: &FileStorage| {
        disk.record_trace();
        disk.clear_trace();
        let page = storage.read(&Query::from(position(200)).records(1)).unwrap();
        assert_eq!(page.next, position(201));
        let read = disk.trace().into_iter().map(|call| match call {
            Call::Read(_, bytes) => bytes.end - bytes.start,
            _ => 0,
        });
        assert!(read.sum::<u64>() < 200 * 1024);
    };
    check(&storage);
    storage.close().unwrap();
    check(&open().unwrap());
}

/// How many bytes are written to a file at once, at most.
fn largest_write(disk: &MemoryDisk, is_it: impl Fn(&Path) -> bool) -> Option<u64> {
    let writes = disk.trace().into_iter().filter_map(|call| match call {
        Call::Write(path, bytes) if is_it(&path) => Some(bytes.end - bytes.start),
        _ => None,
    });
    writes.max()
}

/// A batch is read whole before any record of it is shown.
#[test]
fn a_compaction_writes_batches_of_moderate_size() {
    let disk = MemoryDisk::new();
    let builder = FileStorage::builder("/store").disk(disk.clone()).segment_bytes(1 << 20);
    let storage = builder.open().unwrap();
    for number in 1..=300_u64 {
        let mut record = record(number, 4000);
        let key = if number.is_multiple_of(3) { "again".to_owned() } else { number.to_string() };
        std::sync::Arc::make_mut(&mut record.envelope).key = Some(Key::new(&key));
        storage.commit(Commit { records: vec![record], ..Commit::default() }).unwrap();
    }
    keep_up(&storage);
    disk.record_trace();
    let compaction = Compaction::new(vec!["counted".into()], storage.end());
    assert!(storage.compact(&compaction).unwrap() > 50);
    let is_new = |path: &Path| path.to_str().unwrap().ends_with("-1.log");
    let largest = largest_write(&disk, is_new).unwrap();
    assert!((32 * 1024..96 * 1024).contains(&largest), "{largest}");
}
