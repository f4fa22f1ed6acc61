//! What must hold for a store of which nothing is known.

use super::golden::{self, files, numbered};
use crate::{
    message::Position,
    storage::{
        FileReader, FileStorage, KeyValue, Query, Record, Storage, StorageError, Trim, Upkeep,
        file::MemoryDisk,
    },
};

/// How many steps of upkeep a small store wants at most.
pub(super) const UPKEEP: usize = 200;

/// Opens what a disk holds, and uses it: it is refused and stays as it was, or it works, but for
/// what is damaged.
pub(super) fn exercise(disk: &MemoryDisk) {
    let Some(storage) = open(disk) else { return };
    let seen = read_all(&storage);
    let end = storage.end();
    let commit = numbered(storage.log_bytes());
    let at = storage.commit(commit.clone()).expect("nothing fails");
    assert_eq!(at, end);
    keep_up(&storage);
    trim_half(&storage);
    check_last(&storage, at, &commit.records);
    storage.close().expect("nothing fails");
    let storage = golden::open(disk).expect("it was opened before");
    check_last(&storage, at, &commit.records);
    let again = read_all(&storage);
    if let (Ok(seen), Ok(again)) = (seen, again) {
        let first = storage.first();
        let kept = seen.into_iter().filter(|(position, _)| *position >= first);
        assert!(again.starts_with(&kept.collect::<Vec<_>>()), "records changed");
    }
}

/// Opens it, and sees whether readers agree.
pub(super) fn open(disk: &MemoryDisk) -> Option<FileStorage> {
    let before = files(disk);
    let reader = FileReader::open_on(disk.clone(), super::ROOT);
    assert!(files(disk) == before, "a reader changed something");
    match golden::open(disk) {
        Ok(storage) => {
            let reader = reader.expect("the store can be opened");
            assert_eq!((reader.first(), reader.end()), (storage.first(), storage.end()));
            let (one, two) = (read_all(&reader), read_all(&storage));
            assert_eq!(one.ok(), two.ok(), "a reader sees something else");
            assert_eq!(scan(&reader), scan(&storage), "a reader sees another state");
            Some(storage)
        }
        Err(StorageError::Corrupt { .. } | StorageError::Format { .. }) => {
            assert!(reader.is_err(), "a reader opens what is refused");
            assert!(files(disk) == before, "a refusal changed something");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// All records, or the error that is in the way.
pub(super) fn read_all(storage: &dyn Storage) -> Result<Vec<(Position, Record)>, StorageError> {
    let mut query = Query::from(storage.first());
    let mut all = Vec::new();
    loop {
        let page = damage_or(storage.read(&query))?;
        if page.next == query.from {
            return Ok(all);
        }
        assert!(page.next > query.from, "a page leads back");
        query.from = page.next;
        all.extend(page.records);
    }
}

/// The state, unless it is damaged. Every entry is found on its own, too.
fn scan(storage: &dyn Storage) -> Option<Vec<KeyValue>> {
    let found = damage_or(storage.scan(b"", None, 1000)).ok()?;
    for (key, _) in &found {
        drop(damage_or(storage.get(key)));
    }
    Some(found)
}

pub(super) fn keep_up(storage: &FileStorage) {
    for _ in 0..UPKEEP {
        match damage_or(storage.upkeep()) {
            Ok(Upkeep::More) => {}
            Ok(Upkeep::Done) | Err(_) => return,
        }
    }
    panic!("upkeep has no end");
}

fn trim_half(storage: &FileStorage) {
    let (first, end) = (storage.first().get(), storage.end().get());
    let middle = Position::new(first + (end - first) / 2).unwrap_or(Position::FIRST);
    if let Ok(kept) = damage_or(storage.trim(&Trim::before(middle))) {
        assert!(kept <= middle && kept == storage.first());
    }
}

fn check_last(storage: &FileStorage, at: Position, records: &[Record]) {
    if let Ok(page) = damage_or(storage.read(&Query::from(at))) {
        let read: Vec<Record> = page.records.into_iter().map(|(_, record)| record).collect();
        assert_eq!(read, records);
    }
}

/// Panics at errors that only a failing disk explains.
pub(super) fn damage_or<T>(result: Result<T, StorageError>) -> Result<T, StorageError> {
    match result {
        Err(error) if !matches!(error, StorageError::Corrupt { .. }) => panic!("{error}"),
        other => other,
    }
}
