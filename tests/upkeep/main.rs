//! What is done beside commits, where it meets failures and power losses.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod costs;
mod reading;
mod stale;

use std::sync::Arc;

use tidings::{
    Durability, Envelope, Key, MessageId, Position,
    storage::{
        Commit, Compaction, FileStorage, Record, Storage, StorageError, Trim, Upkeep, Write,
    },
    testing::{Fault, MemoryDisk},
};

fn open(disk: &MemoryDisk) -> FileStorage {
    FileStorage::builder("/store").disk(disk.clone()).segment_bytes(4096).open().unwrap()
}

fn record(number: u64, bytes: usize) -> Record {
    let mut envelope =
        Envelope::new("counted", 1, MessageId::from_bytes([number.to_le_bytes()[0]; 16]));
    envelope.key = Some(Key::new(&(number % 5).to_string()));
    Record { envelope: Arc::new(envelope), payload: vec![7; bytes] }
}

/// One record, and its number in the state.
fn commit(number: u64, durability: Durability) -> Commit {
    let writes = vec![
        Write::put(format!("n{number}"), number.to_be_bytes()),
        Write::put("last", number.to_be_bytes()),
    ];
    Commit { records: vec![record(number, 200)], writes, durability, ..Commit::default() }
}

fn position(number: u64) -> Position {
    Position::new(number).unwrap()
}

fn keep_up(storage: &FileStorage) {
    while storage.upkeep().unwrap() == Upkeep::More {}
}

fn check_state(storage: &FileStorage, count: u64) {
    assert_eq!(storage.get(b"last").unwrap().unwrap(), count.to_be_bytes());
    for number in 1..=count {
        let found = storage.get(format!("n{number}").as_bytes()).unwrap();
        assert_eq!(found.unwrap(), number.to_be_bytes(), "{number} of {count}");
    }
}

/// A store with a checkpoint that failed midway, long ago.
fn with_stale_checkpoint() -> (MemoryDisk, FileStorage) {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=30 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let failed = (1..40).find(|n| {
        disk.fail(Fault::at(*n).once());
        let failed = storage.upkeep().is_err();
        disk.heal();
        failed && disk.files().iter().any(|path| path.starts_with("/store/state"))
    });
    assert!(failed.is_some(), "no checkpoint failed");
    for number in 31..=100 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    (disk, storage)
}

#[test]
fn a_trim_waits_for_a_checkpoint_of_its_own() {
    let (disk, storage) = with_stale_checkpoint();
    let first = storage.trim(&Trim::before(storage.end())).unwrap();
    assert!(first > position(60), "{first}");
    for seed in 0..8 {
        let disk = disk.copy();
        disk.crash(seed);
        check_state(&open(&disk), 100);
    }
}

#[test]
fn a_compaction_waits_for_a_checkpoint_of_its_own() {
    let (disk, storage) = with_stale_checkpoint();
    let compaction = Compaction::new(vec!["counted".into()], storage.end());
    assert!(storage.compact(&compaction).unwrap() > 50);
    for seed in 0..8 {
        let disk = disk.copy();
        disk.crash(seed);
        check_state(&open(&disk), 100);
    }
}

#[test]
fn what_allows_a_trim_is_durable_before_it() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=100 {
        storage.commit(commit(number, Durability::Buffered)).unwrap();
    }
    keep_up(&storage);
    for number in 101..=103 {
        storage.commit(commit(number, Durability::Buffered)).unwrap();
    }
    storage.trim(&Trim::before(storage.end())).unwrap();
    let lost = disk.after_power_loss(|_| false);
    check_state(&open(&lost), 103);
}

#[test]
fn a_commit_larger_than_a_recycled_file_gets_one_of_its_own() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=60 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    storage.trim(&Trim::before(storage.end())).unwrap();
    let mut large = commit(61, Durability::Synced);
    large.records = vec![record(61, 20_000)];
    storage.commit(large).unwrap();
    for number in 62..=100 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    disk.crash(1);
    check_state(&open(&disk), 100);
}

#[test]
fn a_damaged_segment_does_not_keep_upkeep_and_retention_from_their_work() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=100 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    disk.rot("/store/segments/00000000000000000002.log", 200, 1);
    keep_up(&storage);
    assert!(!storage.wants_upkeep());
    let young = tidings::Timestamp::from_nanos(1);
    let first = storage.trim(&Trim::before(storage.end()).published_before(young)).unwrap();
    assert!(first > position(80), "{first}");
}

#[test]
fn upkeep_that_finds_no_room_still_does_what_needs_none() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=30 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let used = disk.files().iter().map(|path| disk.contents(path).unwrap().len() as u64).sum();
    disk.set_capacity(Some(used));
    assert!(matches!(storage.upkeep(), Err(StorageError::Full { .. })));
    let first = storage.trim(&Trim::before(storage.end()));
    assert!(matches!(first, Err(StorageError::Full { .. })) || first.unwrap() > Position::FIRST);
    disk.set_capacity(Some(used + 4096));
    assert!(storage.trim(&Trim::before(storage.end())).unwrap() > Position::FIRST);
}

#[test]
fn a_trim_on_a_full_disk_gives_up_the_room_that_was_prepared() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    let last = |disk: &MemoryDisk| {
        disk.files().into_iter().rfind(|path| path.starts_with("/store/segments"))
    };
    for number in 1..=30 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
        keep_up(&storage);
    }
    let spare = last(&disk).unwrap();
    assert!(disk.contents(&spare).unwrap().iter().all(|byte| *byte == 0), "it is prepared");
    let used = disk.files().iter().map(|path| disk.contents(path).unwrap().len() as u64).sum();
    disk.set_capacity(Some(used));
    assert!(storage.trim(&Trim::before(storage.end())).unwrap() > Position::FIRST);
    for number in 31..=60 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
        storage.trim(&Trim::before(storage.end())).unwrap();
    }
}

#[test]
fn a_compaction_that_changed_little_is_not_due_again_before_half_as_much_has_come() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=100 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let compaction = Compaction::new(vec!["never.published".into()], storage.end()).if_due();
    assert_eq!(storage.compact(&compaction).unwrap(), 0);
    let before = disk.io_count();
    assert_eq!(storage.compact(&compaction).unwrap(), 0);
    assert_eq!(disk.io_count(), before, "nothing was looked at");
    let is_due = |number: &u64| {
        storage.commit(commit(*number, Durability::Synced)).unwrap();
        let before = disk.io_count();
        storage.compact(&compaction).unwrap();
        disk.io_count() > before
    };
    let due = (101..300).find(is_due).unwrap();
    assert!((135..165).contains(&due), "half as much as there was has come by {due}");
}

#[test]
fn upkeep_after_which_nothing_is_accepted_says_so() {
    let mut refused = 0;
    for call in 1..60 {
        let disk = MemoryDisk::new();
        let storage = open(&disk);
        for number in 1..=30 {
            storage.commit(commit(number, Durability::Synced)).unwrap();
        }
        disk.fail(Fault::at(call));
        let outcome = storage.upkeep();
        disk.heal();
        if let Err(StorageError::Poisoned) = storage.commit(commit(31, Durability::Synced)) {
            let told = matches!(outcome, Err(StorageError::Indeterminate { .. }));
            assert!(told, "call {call}: {outcome:?}");
            refused += 1;
        }
    }
    assert!(refused > 0, "no failure was that grave");
}
