//! Small stores that are whole, and what they hold.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use super::ROOT;
use crate::{
    event::Durability,
    event::Key,
    message::{Envelope, MessageId},
    runtime::Timestamp,
    storage::{
        Commit, FileStorage, Record, Storage, StorageError, Upkeep, Write, file::MemoryDisk,
    },
};

/// How large the segments are.
pub(super) const SEGMENT: u64 = 2560;

/// How many commits a store holds. Each has a record, so that positions tell what was committed.
const COMMITS: u64 = 30;

/// A store and what was committed to it.
#[derive(Debug)]
pub(super) struct Golden {
    pub(super) disk: MemoryDisk,
    pub(super) commits: Vec<Commit>,
}

/// Left by a crash, closed, and a copy that was never opened.
static STORES: LazyLock<[Golden; 3]> = LazyLock::new(|| [killed(), closed(), copied()]);

pub(super) fn store(number: usize) -> &'static Golden {
    let [killed, closed, copied] = &*STORES;
    match number % 3 {
        0 => killed,
        1 => closed,
        _ => copied,
    }
}

pub(super) fn open(disk: &MemoryDisk) -> Result<FileStorage, StorageError> {
    let builder = FileStorage::builder(ROOT).segment_bytes(SEGMENT).state_bytes(4096);
    builder.disk(disk.clone()).open()
}

/// Everything that a disk holds.
pub(super) fn files(disk: &MemoryDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let with_bytes = |path: PathBuf| {
        let bytes = disk.contents(&path).unwrap_or_default();
        (path, bytes)
    };
    disk.files().into_iter().map(with_bytes).collect()
}

fn killed() -> Golden {
    let (disk, _, commits) = build();
    disk.kill();
    Golden { disk, commits }
}

fn closed() -> Golden {
    let (disk, storage, commits) = build();
    storage.close().expect("nothing fails");
    Golden { disk, commits }
}

fn copied() -> Golden {
    let (disk, storage, commits) = build();
    storage.backup(Path::new("/copy")).expect("nothing fails");
    disk.kill();
    let all = files(&disk);
    for (path, _) in &all {
        disk.lose(path);
    }
    for (path, bytes) in all {
        if let Ok(name) = path.strip_prefix("/copy") {
            disk.set_contents(Path::new(ROOT).join(name), bytes);
        }
    }
    Golden { disk, commits }
}

fn build() -> (MemoryDisk, FileStorage, Vec<Commit>) {
    let disk = MemoryDisk::new();
    let storage = open(&disk).expect("nothing fails");
    let commits: Vec<Commit> = (0..COMMITS).map(numbered).collect();
    for (number, commit) in commits.iter().enumerate() {
        storage.commit(commit.clone()).expect("nothing fails");
        if [12, 18].contains(&number) {
            while storage.upkeep().expect("nothing fails") == Upkeep::More {}
        }
    }
    (disk, storage, commits)
}

/// A commit that is like no other.
pub(super) fn numbered(number: u64) -> Commit {
    let count = 1 + number % 3;
    let durability =
        if number.is_multiple_of(4) { Durability::Synced } else { Durability::Buffered };
    Commit {
        records: (0..count).map(|part| record(number, part)).collect(),
        writes: writes(number),
        durability,
        ..Commit::default()
    }
}

pub(super) const NAMES: [&str; 3] = ["orders.placed", "orders.paid", "stock.moved"];

fn record(number: u64, part: u64) -> Record {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id[15] = u8::try_from(part).unwrap_or(0);
    let name = NAMES[(usize::from(id[7]) + usize::from(id[15])) % 3];
    let mut envelope = Envelope::new(name, 1 + u32::from(id[15]), MessageId::from_bytes(id));
    envelope.published_at = Timestamp::from_nanos(1000 * (number + part));
    envelope.key = (!number.is_multiple_of(5)).then(|| Key::from(format!("key-{}", number % 5)));
    envelope.causation = (number % 7 == 1).then(|| MessageId::from_bytes([9; 16]));
    envelope.correlation = match number % 6 {
        1 => Some(MessageId::from_bytes([7; 16]).into()),
        2 => Some("a conversation".into()),
        _ => None,
    };
    if number % 8 == 3 {
        envelope.headers.insert("tenant", "seven").expect("it is short");
    }
    let payload = format!("{{\"number\":{number},\"part\":{part}}}").into_bytes();
    Record { envelope: Arc::new(envelope), payload }
}

/// The first ones are large, so that the run with them is not merged with the next one.
fn writes(number: u64) -> Vec<Write> {
    let key = state_key(number);
    if number % 11 == 10 {
        return vec![Write::remove(key)];
    }
    let len = if number < 10 { 300 } else { 10 };
    vec![Write::put(key, format!("{number:0>len$}"))]
}

pub(super) fn state_key(number: u64) -> String {
    format!("state/{}", number % 9)
}
