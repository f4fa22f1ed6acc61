//! A run of numbered commits, and what must be left of them after each crash.

use super::{
    Crash, StorageFaults, StorageFixture, must, of_records, open, read_from, record, same,
};
use crate::{
    event::Durability,
    message::Position,
    storage::{Commit, Record, Storage, StorageError, Upkeep, Write},
};

/// How many keys the commits write to, in turn.
const KEYS: u64 = 5;

/// What happened to a store, told from what it answered. Commits have numbers; from those that are in
/// the log follows all that the store must hold.
#[derive(Default)]
pub(super) struct Story {
    /// The numbers of the commits that are there, in their order.
    there: Vec<u64>,
    /// How many of them no crash can take.
    durable: usize,
    /// One of which nobody knows whether it is there, after all others, and what it was to survive.
    unknown: Option<(u64, Durability)>,
    last: u64,
}

/// The commit of this number: up to three records of various lengths, and two writes or three.
fn commit_of(number: u64) -> Commit {
    let mut commit = of_records(records_of(number));
    commit.writes = vec![Write::put("last", number.to_be_bytes()), put(number)];
    if number.is_multiple_of(3) {
        commit.writes.push(Write::remove(key((number + 1) % KEYS)));
    }
    commit
}

fn records_of(number: u64) -> Vec<Record> {
    let part = |part| {
        let mut record = record(number << 8 | part);
        let padding = usize::try_from(number * 37 % 700).unwrap_or(0);
        record.payload.resize(record.payload.len() + padding, b'.');
        record
    };
    (0..number % 4).map(part).collect()
}

fn key(of: u64) -> Vec<u8> {
    format!("key-{of}").into_bytes()
}

fn put(number: u64) -> Write {
    Write::put(key(number % KEYS), number.to_string())
}

/// The records after these commits.
fn log_after(numbers: &[u64]) -> Vec<Record> {
    numbers.iter().flat_map(|number| records_of(*number)).collect()
}

/// The state after these commits, by key.
fn state_after(numbers: &[u64]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut state = std::collections::BTreeMap::new();
    for Write { key, value } in numbers.iter().flat_map(|number| commit_of(*number).writes) {
        match value {
            Some(value) => state.insert(key, value),
            None => state.remove(&key),
        };
    }
    state.into_iter().collect()
}

impl Story {
    /// Commits the next number.
    pub(super) fn commit(
        &mut self,
        storage: &impl Storage,
        durability: Durability,
    ) -> Result<(), StorageError> {
        self.last += 1;
        let mut commit = commit_of(self.last);
        commit.durability = durability;
        match storage.commit(commit) {
            Ok(at) => {
                same(at, self.end(), "the position of a commit");
                self.keep(self.last, durability);
                Ok(())
            }
            Err(error) => {
                if matches!(error, StorageError::Indeterminate { .. }) {
                    same(self.unknown, None, "a commit whose outcome is unknown, before this one");
                    self.unknown = Some((self.last, durability));
                }
                Err(error)
            }
        }
    }

    /// Commits so many numbers, of which every one must succeed; some upkeep among them.
    pub(super) fn go_on(&mut self, storage: &impl Storage, commits: u64, durability: Durability) {
        for commit in 0..commits {
            must(self.commit(storage, durability), "committing");
            if commit.is_multiple_of(4) {
                while must(storage.upkeep(), "upkeep") == Upkeep::More {}
            }
        }
    }

    fn end(&self) -> Position {
        Position::FIRST.plus(log_after(&self.there).len() as u64)
    }

    fn keep(&mut self, number: u64, durability: Durability) {
        self.there.push(number);
        if durability == Durability::Synced {
            self.durable = self.there.len();
        }
    }

    /// What is acknowledged is there. So may be the commit of which nobody knew; but what was once
    /// shown has to stay as if it had been acknowledged, for somebody may have acted upon it.
    pub(super) fn check(&mut self, storage: &impl Storage, when: &str) {
        let found = read_from(storage, Position::FIRST);
        let state = must(storage.scan(b"", None, usize::MAX), "scan");
        if let Some((number, durability)) = self.unknown {
            let with_it = [&self.there[..], &[number]].concat();
            if log_after(&with_it) == found && state_after(&with_it) == state {
                self.unknown = None;
                self.keep(number, durability);
            }
        }
        let expected = log_after(&self.there);
        assert!(found == expected, "{when}, the log has {}", differs(&found, &expected));
        same(storage.end(), self.end(), &format!("{when}, the end"));
        same(state, state_after(&self.there), &format!("{when}, the state"));
    }

    /// Ends the life of the store, opens it again, and finds out which commits are left: whole ones,
    /// none before one that is gone, none that was acknowledged for longer than this.
    pub(super) fn crash<F: StorageFixture>(
        &mut self,
        fixture: &F,
        faults: &dyn StorageFaults,
        crash: Crash,
    ) -> F::Storage {
        faults.crash(crash);
        faults.heal();
        self.reopen(fixture, crash)
    }

    /// The same, after what ended the life.
    pub(super) fn reopen<F: StorageFixture>(&mut self, fixture: &F, crash: Crash) -> F::Storage {
        let storage = open(fixture);
        let least = if crash == Crash::Process { self.there.len() } else { self.durable };
        let mut may_be_there = self.there.clone();
        may_be_there.extend(self.unknown.take().map(|(number, _)| number));
        let found = read_from(&storage, Position::FIRST);
        let state = must(storage.scan(b"", None, usize::MAX), "scan");
        let is_left = |count: &usize| {
            let numbers = &may_be_there[..*count];
            log_after(numbers) == found && state_after(numbers) == state
        };
        let Some(count) = (0..=may_be_there.len()).rev().find(is_left) else {
            let of = log_after(&may_be_there);
            panic!(
                "after {crash:?} no row of whole commits is left: the log has {}, the state {state:?}",
                differs(&found, &of)
            );
        };
        assert!(
            count >= least,
            "after {crash:?} {count} commits are left, though {least} were acknowledged for longer"
        );
        self.there = may_be_there[..count].to_vec();
        if crash != Crash::Process {
            self.durable = count; // the disk had them
        }
        same(storage.end(), self.end(), "the end after a crash");
        storage
    }
}

fn differs(found: &[Record], expected: &[Record]) -> String {
    let alike = found.iter().zip(expected).take_while(|(found, expected)| found == expected);
    let (found, alike, expected) = (found.len(), alike.count(), expected.len());
    format!("{found} records, of which the first {alike} are right; {expected} were expected")
}
