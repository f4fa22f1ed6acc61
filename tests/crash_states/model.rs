//! Operations, the commits they make, and what a store holds after some of them.

use std::{collections::BTreeMap, sync::Arc};

use tidings::{
    Durability, Envelope, MessageId, Position,
    storage::{Commit, FileStorage, Query, Record, Storage, Write},
};

/// What is done to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Synced,
    Buffered,
    /// Several records with writes and removals, synced.
    Batch,
    /// More than what is left of a segment that has anything, synced.
    Large,
    /// More than a whole segment, synced.
    Huge,
    Upkeep,
    Close,
    Reopen,
}

impl Op {
    pub(crate) fn is_commit(self) -> bool {
        !matches!(self, Self::Upkeep | Self::Close | Self::Reopen)
    }

    pub(crate) fn durability(self) -> Durability {
        if self == Self::Buffered { Durability::Buffered } else { Durability::Synced }
    }
}

/// What is known about a store from what it acknowledged. Commits are numbered from 1.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Known {
    pub(crate) begun: Vec<Op>,
    /// How many commits the death of the process cannot take.
    pub(crate) acknowledged: usize,
    /// How many commits a power loss cannot take.
    pub(crate) synced: usize,
}

impl Known {
    pub(crate) fn begin(&mut self, op: Op) -> Commit {
        self.begun.push(op);
        commit(self.begun.len(), op)
    }

    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = self.begun.len();
        if self.begun.last().is_some_and(|op| op.durability() == Durability::Synced) {
            self.synced = self.acknowledged;
        }
    }

    /// Exactly the first commits are there, for good.
    pub(crate) fn settle(&mut self, found: usize) {
        self.begun.truncate(found);
        (self.acknowledged, self.synced) = (found, found);
    }
}

/// The commit of this number: the same each time it is tried.
pub(crate) fn commit(number: usize, op: Op) -> Commit {
    let (parts, length) = match op {
        Op::Large => (1, 800),
        Op::Huge => (1, 1000),
        Op::Batch => (2, 60),
        _ => (1, 20),
    };
    let record = |part: usize| Record {
        envelope: Arc::new(Envelope::new("n", 1, MessageId::from_bytes([1; 16]))),
        payload: format!("{number}.{part};").repeat(length / 4).into_bytes(),
    };
    let writes = match op {
        Op::Batch => vec![
            Write::put("last", number.to_string()),
            Write::put(format!("k{}", number % 2), number.to_string()),
            Write::remove(format!("k{}", (number + 1) % 2)),
            Write::remove("old"),
        ],
        Op::Huge => vec![Write::put("old", "o".repeat(1500)), Write::put("older", "there")],
        _ => Vec::new(),
    };
    let (records, durability) = ((0..parts).map(record).collect(), op.durability());
    Commit { records, writes, durability, ..Commit::default() }
}

/// How many of the commits a store holds; an error unless it holds exactly these, whole.
pub(crate) fn whole_commits(storage: &FileStorage, begun: &[Op]) -> Result<usize, String> {
    let count = commits_at_end(storage, begun)?;
    let (mut records, mut state) = (Vec::new(), BTreeMap::new());
    for (number, op) in begun.iter().take(count).enumerate() {
        let commit = commit(number + 1, *op);
        records.extend(commit.records);
        for Write { key, value } in commit.writes {
            match value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
    }
    let found = storage.scan(b"", None, usize::MAX).map_err(|error| format!("scan: {error}"))?;
    if !found.iter().map(|(key, value)| (key, value)).eq(&state) {
        return Err(format!("not the state after commit {count}"));
    }
    for (key, value) in &state {
        if storage.get(key).map_err(|error| format!("get: {error}"))?.as_ref() != Some(value) {
            return Err(format!("not the value after commit {count}"));
        }
    }
    if all_records(storage)? != records {
        return Err(format!("not the records of {count} commits"));
    }
    Ok(count)
}

/// How many of the commits there are, going by how many records there are.
pub(crate) fn commits_at_end(storage: &FileStorage, begun: &[Op]) -> Result<usize, String> {
    let end = usize::try_from(storage.end().get() - 1).unwrap();
    let (mut count, mut records) = (0, 0);
    for op in begun {
        if records >= end {
            break;
        }
        count += 1;
        records += if *op == Op::Batch { 2 } else { 1 };
    }
    if records == end { Ok(count) } else { Err(format!("{end} records are no whole commits")) }
}

fn all_records(storage: &FileStorage) -> Result<Vec<Record>, String> {
    let mut found = Vec::new();
    loop {
        let from = Position::FIRST.plus(found.len() as u64);
        let more = storage.read(&Query::from(from)).map_err(|error| format!("read: {error}"))?;
        if more.records.is_empty() {
            return Ok(found);
        }
        found.extend(more.records.into_iter().map(|(_, record)| record));
    }
}
