//! Operations, the commits they make, and what a store holds after some of them.

use std::{collections::BTreeMap, sync::Arc};

use tidings::{
    Durability, Envelope, MessageId, Position,
    storage::{Commit, Compaction, FileStorage, Query, Record, Storage, StorageError, Trim, Write},
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
    /// Drops what is before the third position that is kept.
    Trim,
    /// Drops what a later event of the same key makes superfluous.
    Compact,
    Backup,
    Close,
    Reopen,
}

impl Op {
    pub(crate) fn is_commit(self) -> bool {
        matches!(self, Self::Synced | Self::Buffered | Self::Batch | Self::Large | Self::Huge)
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
    /// So many records are gone for good, and so many may be.
    pub(crate) trimmed: [u64; 2],
    /// Whether superfluous events may be gone.
    pub(crate) compacted: bool,
    pub(crate) backup: Option<Backup>,
    /// How many backups were begun.
    pub(crate) backups: u64,
}

/// The backup that was begun last, unless something was added or dropped since.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Backup {
    pub(crate) path: String,
    pub(crate) commits: usize,
    pub(crate) done: bool,
}

impl Known {
    pub(crate) fn begin(&mut self, op: Op) -> Commit {
        self.backup = None;
        self.begun.push(op);
        commit(self.begun.len(), op)
    }

    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = self.begun.len();
        if self.begun.last().is_some_and(|op| op.durability() == Durability::Synced) {
            self.synced = self.acknowledged;
        }
    }

    /// What may come of this, which is no commit.
    pub(crate) fn ask(&mut self, op: Op) {
        if matches!(op, Op::Trim | Op::Compact) {
            self.backup = None;
        }
        match op {
            Op::Trim => self.trimmed[1] = self.trimmed[1].max(self.trimmed[0] + 2),
            Op::Compact => self.compacted = true,
            Op::Backup => {
                self.backups += 1;
                let path = format!("/copies/{}", self.backups);
                self.backup = Some(Backup { path, commits: self.acknowledged, done: false });
            }
            _ => {}
        }
    }

    /// Does what is no commit. What was promised by that is known then.
    pub(crate) fn perform(&mut self, op: Op, storage: &FileStorage) -> Result<(), StorageError> {
        self.ask(op);
        match op {
            Op::Upkeep => drop(storage.upkeep()?),
            Op::Trim => {
                let before = Position::FIRST.plus(self.trimmed[0] + 2);
                self.trimmed[0] = storage.trim(&Trim::before(before))?.get() - 1;
            }
            Op::Compact => {
                let end = Position::FIRST.plus(1_000_000);
                storage.compact(&Compaction::new(vec!["n".into()], end))?;
            }
            Op::Backup => {
                let backup = self.backup.as_mut().unwrap();
                storage.backup(backup.path.as_ref())?;
                backup.done = true;
            }
            Op::Close => {
                storage.close()?;
                self.synced = self.acknowledged;
            }
            _ => {}
        }
        Ok(())
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
    let record = |part: usize| {
        let name = if part == 1 { "m" } else { "n" };
        let mut envelope = Envelope::new(name, 1, MessageId::from_bytes([1; 16]));
        envelope.key = Some((number % 2).to_string().into());
        let payload = format!("{number}.{part};").repeat(length / 4).into_bytes();
        Record { envelope: Arc::new(envelope), payload }
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

/// How many of the commits a store holds; an error unless it holds exactly these, whole, but for what
/// it was told to drop.
pub(crate) fn whole_commits(storage: &FileStorage, known: &Known) -> Result<usize, String> {
    let count = commits_at_end(storage, &known.begun)?;
    let (mut records, mut state) = (Vec::new(), BTreeMap::new());
    for (number, op) in known.begun.iter().take(count).enumerate() {
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
    kept(storage, known, &records).map_err(|error| format!("of {count} commits: {error}"))?;
    Ok(count)
}

/// All records are there, in their places, but for what was to be dropped.
fn kept(storage: &FileStorage, known: &Known, records: &[Record]) -> Result<(), String> {
    let first = storage.first().get() - 1;
    let [least, most] = known.trimmed;
    if first < least || first > most {
        return Err(format!("{first} records were trimmed, not {least} to {most}"));
    }
    let mut found = all_records(storage)?;
    let first = usize::try_from(first).unwrap();
    for (at, record) in records.iter().enumerate().skip(first) {
        if found.remove(&(at as u64 + 1)).is_some_and(|found| found == *record) {
            continue;
        }
        let same = |later: &Record| {
            later.envelope.name == record.envelope.name && later.envelope.key == record.envelope.key
        };
        let superfluous = &*record.envelope.name == "n" && records[at + 1..].iter().any(same);
        if !known.compacted || !superfluous {
            return Err(format!("not the record at {}", at + 1));
        }
    }
    if found.is_empty() { Ok(()) } else { Err("records that nobody wrote".to_owned()) }
}

/// A copy is complete, or refused, or nothing of it is there.
pub(crate) fn check_backup(
    backup: &Backup,
    known: &Known,
    open: impl FnOnce() -> Result<FileStorage, StorageError>,
) -> Result<(), String> {
    let mut known = known.clone();
    known.begun.truncate(backup.commits);
    match open() {
        Ok(copy) => {
            let found = whole_commits(&copy, &known).map_err(|error| format!("copy: {error}"));
            let nothing = copy.end() == Position::FIRST && !backup.done;
            if nothing || found? == backup.commits { Ok(()) } else { Err("a part".to_owned()) }
        }
        Err(StorageError::Corrupt { .. }) if !backup.done => Ok(()),
        Err(error) => Err(format!("copy: {error:?}")),
    }
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

fn all_records(storage: &FileStorage) -> Result<BTreeMap<u64, Record>, String> {
    let (mut found, mut from) = (BTreeMap::new(), storage.first());
    while from < storage.end() {
        let more = storage.read(&Query::from(from)).map_err(|error| format!("read: {error}"))?;
        if more.next <= from {
            return Err(format!("reading does not get beyond {from}"));
        }
        found.extend(more.records.into_iter().map(|(at, record)| (at.get(), record)));
        from = more.next;
    }
    Ok(found)
}
