//! Numbered commits, and what a store holds after so many of them.

use std::{collections::BTreeMap, sync::Arc};

use tidings::{
    Durability, Envelope, MessageId, Position,
    storage::{Commit, FileStorage, Query, Record, Storage, StorageError, Write},
    testing::MemoryDisk,
};

/// A small generator for the tests' own choices (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

pub(crate) fn open(disk: &MemoryDisk) -> Result<FileStorage, StorageError> {
    FileStorage::builder("/store").disk(disk.clone()).segment_bytes(1024).open()
}

/// The commit of this number: its records name it, and so does the state that goes with it.
pub(crate) fn numbered(number: u64, durability: Durability) -> Commit {
    let mut dice = Dice::new(number);
    let record = |part: u64| Record {
        envelope: Arc::new(Envelope::new(
            "n",
            1,
            MessageId::from_bytes([part.to_le_bytes()[0]; 16]),
        )),
        payload: format!("{number}.{part}").repeat(1 + (number % 7) as usize * 3).into_bytes(),
    };
    let records = (0..dice.below(4)).map(record).collect();
    let mut writes = vec![Write::put("last", number.to_be_bytes())];
    let key = format!("k{}", dice.below(5));
    writes.push(match dice.below(3) {
        0 => Write::remove(key),
        _ => Write::put(key, number.to_string()),
    });
    Commit { records, writes, durability, ..Commit::default() }
}

/// The records from a position on, a few of them.
pub(crate) fn read(
    storage: &FileStorage,
    from: Position,
    most: usize,
) -> Result<Vec<Record>, StorageError> {
    let page = storage.read(&Query::from(from).records(most))?;
    Ok(page.records.into_iter().map(|(_, record)| record).collect())
}

pub(crate) type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a store holds after the first `count` commits.
pub(crate) fn model(count: u64) -> (Vec<Record>, State) {
    let (mut records, mut state) = (Vec::new(), State::new());
    for number in 1..=count {
        let commit = numbered(number, Durability::Synced);
        records.extend(commit.records);
        for Write { key, value } in commit.writes {
            match value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
    }
    (records, state)
}

/// How many commits a store holds; panics unless it holds exactly these, whole.
pub(crate) fn whole_commits(storage: &FileStorage) -> u64 {
    try_whole_commits(storage).unwrap()
}

/// The same, where reading may fail. What is read before that is right.
pub(crate) fn try_whole_commits(storage: &FileStorage) -> Result<u64, StorageError> {
    let last = storage.get(b"last")?;
    let count = last.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
    let (records, state) = model(count);
    assert_eq!(storage.scan(b"", None, usize::MAX)?, Vec::from_iter(state));
    assert_eq!(storage.end().get(), records.len() as u64 + 1);
    let mut found = Vec::new();
    while found.len() < records.len() {
        let from = Position::FIRST.plus(found.len() as u64);
        let more = read(storage, from, 7)?;
        assert!(!more.is_empty());
        found.extend(more);
        assert!(records.starts_with(&found), "other records");
    }
    Ok(count)
}
