//! Stores to be damaged.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidings::{
    Durability, Envelope, MessageId, Position,
    storage::{
        Commit, FileReader, FileStorage, Query, Record, Storage, Upkeep, Write,
        file::{Salvage, SalvageError, Salvaged, Verification, verify_on},
    },
    testing::MemoryDisk,
};

/// A store, and how many records it has: one a commit.
pub(crate) struct Sample {
    pub(crate) disk: MemoryDisk,
    pub(crate) count: u64,
}

pub(crate) fn position(number: u64) -> Position {
    Position::new(number).unwrap()
}

pub(crate) fn range(first: u64, last: u64) -> RangeInclusive<Position> {
    position(first)..=position(last)
}

pub(crate) fn record(number: u64) -> Record {
    let id = MessageId::from_bytes(u128::from(number).to_le_bytes());
    let envelope = Arc::new(Envelope::new("numbers.counted", 1, id));
    Record { envelope, payload: format!("{{\"number\":{number}}}").into_bytes() }
}

pub(crate) fn commit(number: u64) -> Commit {
    let key = format!("key{:02}", number % 10);
    let writes = vec![Write::put(key, number.to_string()), Write::put("last", number.to_string())];
    Commit {
        records: vec![record(number)],
        writes,
        durability: Durability::Synced,
        ..Commit::default()
    }
}

pub(crate) fn open(disk: &MemoryDisk, path: &str) -> FileStorage {
    FileStorage::builder(path).disk(disk.clone()).segment_bytes(2048).open().unwrap()
}

impl Sample {
    /// Four segments, with a checkpoint in the third.
    pub(crate) fn new(closed: bool) -> Self {
        let disk = MemoryDisk::new();
        let storage = open(&disk, "/store");
        let mut count = 0;
        let mut add = |until: usize| {
            while segments(&disk).len() < until || count % 5 != 0 {
                count += 1;
                storage.commit(commit(count)).unwrap();
            }
        };
        add(3);
        while storage.upkeep().unwrap() == Upkeep::More {}
        add(4);
        count += 1;
        storage.commit(commit(count)).unwrap();
        if closed {
            storage.close().unwrap();
        }
        disk.kill();
        Self { disk, count }
    }

    pub(crate) fn verify(&self) -> Verification {
        verify_on(self.disk.clone(), "/store", |_| ()).unwrap()
    }

    pub(crate) fn salvage(&self) -> Salvage {
        Salvage::new("/store", "/rescued").disk(self.disk.clone())
    }

    /// Salvages, accepting whatever is lost.
    pub(crate) fn salvage_all(&self) -> Salvaged {
        match self.salvage().run(|_| ()) {
            Ok(salvaged) => salvaged,
            Err(SalvageError::Unaccepted { lost, state, .. }) => {
                let mut again = self.salvage();
                for range in lost {
                    again = again.accept_loss(range);
                }
                let again = if state.is_some() { again.accept_state_loss() } else { again };
                again.run(|_| ()).unwrap()
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let disk = self.disk.copy();
        let mut bytes = disk.contents(path).unwrap();
        change(&mut bytes);
        disk.set_contents(path, bytes);
        Self { disk, count: self.count }
    }

    pub(crate) fn without(&self, path: &Path) -> Self {
        let disk = self.disk.copy();
        disk.lose(path);
        Self { disk, count: self.count }
    }

    /// Where in the log each of its batches ends.
    pub(crate) fn ends(&self) -> impl Iterator<Item = u64> {
        let mut before = 0;
        segments(&self.disk).into_iter().flat_map(move |path| {
            let (start, bytes) = (before, self.disk.contents(&path).unwrap());
            before += bytes.len() as u64;
            batches(&bytes).into_iter().map(move |batch| start + batch.1 as u64)
        })
    }

    /// What the source holds.
    pub(crate) fn image(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = self.disk.files().into_iter().filter(|path| path.starts_with("/store"));
        files.map(|path| (path.clone(), self.disk.contents(&path).unwrap())).collect()
    }
}

/// The files of the log that have commits.
pub(crate) fn segments(disk: &MemoryDisk) -> Vec<PathBuf> {
    let mut files = disk.files();
    files.retain(|path| {
        path.starts_with("/store/segments") && !batches(&disk.contents(path).unwrap()).is_empty()
    });
    files
}

/// The files of the state.
pub(crate) fn runs(disk: &MemoryDisk) -> Vec<PathBuf> {
    let mut files = disk.files();
    files.retain(|path| path.starts_with("/store/state"));
    files
}

/// Where the batches of a segment are, and their position.
pub(crate) fn batches(bytes: &[u8]) -> Vec<(usize, usize, u64)> {
    let mut found = Vec::new();
    let mut start = 96;
    let number = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    while let Some(&[b't', b'd', b'b', _, a, b, c, d]) =
        bytes.get(start..).and_then(|at| at.first_chunk())
    {
        let end = start + (48 + u32::from_le_bytes([a, b, c, d]) as usize).next_multiple_of(8);
        found.push((start, end, number(start + 24)));
        start = end;
    }
    found
}

/// Every record of a store, as position, name and payload.
pub(crate) fn dump(storage: &dyn Storage) -> Vec<(u64, String, Vec<u8>)> {
    let (mut from, mut all) = (storage.first(), Vec::new());
    while from < storage.end() {
        let page = storage.read(&Query::from(from)).unwrap();
        let records = page.records.into_iter();
        all.extend(
            records
                .map(|(at, record)| (at.get(), record.envelope.name.to_string(), record.payload)),
        );
        assert!(page.next > from);
        from = page.next;
    }
    all
}

pub(crate) fn reader(disk: &MemoryDisk, path: &str) -> FileReader {
    FileReader::open_on(disk.clone(), path).unwrap()
}
