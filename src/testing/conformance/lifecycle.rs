//! Checks of closing, restarting, and several threads at once.

use std::collections::BTreeMap;

use super::{
    Check, StorageFixture, must, of_records, open, position, read, read_from, record, records, same,
};
use crate::{
    event::Durability,
    message::Position,
    storage::{Query, Record, Storage, StorageError, Write},
};

const THREADS: u64 = 4;
const COMMITS: u64 = 25;

pub(super) fn checks<F: StorageFixture>() -> Vec<Check<F>> {
    vec![
        ("a closed storage refuses everything", closed),
        ("closing twice is fine", closed_twice),
        ("a store can be opened again at once", reopened),
        ("a restart loses nothing and adds nothing", restarted),
        ("commits of several threads stay whole and dense", concurrent),
        ("reads go on while others commit", reading_meanwhile),
    ]
}

fn closed<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    must(storage.commit(of_records(records([1]))), "committing");
    must(storage.close(), "closing");
    let outcomes = [
        storage.commit(of_records(records([2]))).err(),
        storage.read(&Query::from(Position::FIRST)).err(),
        storage.get(b"key").err(),
        storage.scan(b"", None, 1).err(),
    ];
    for (call, outcome) in ["commit", "read", "get", "scan"].iter().zip(outcomes) {
        let refused = matches!(outcome, Some(StorageError::Closed));
        assert!(refused, "{call} after close: expected `Closed`, found {outcome:?}");
    }
}

fn closed_twice<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    must(storage.close(), "closing");
    must(storage.close(), "closing again");
}

fn reopened<F: StorageFixture>(fixture: &F) {
    for _ in 0..5 {
        let storage = open(fixture);
        must(storage.commit(of_records(records([1]))), "committing");
        must(storage.close(), "closing");
        let again = open(fixture); // while the closed one still exists
        must(again.close(), "closing");
    }
}

fn restarted<F: StorageFixture>(fixture: &F) {
    if !fixture.persistent() {
        return;
    }
    for round in 0..5_u64 {
        let storage = open(fixture);
        same(storage.end(), position(round * 4 + 1), "the end after a restart");
        let found = read_from(&storage, Position::FIRST);
        same(found, records(1..=round * 4), "the records after a restart");
        let last = round.checked_sub(1).map(|last| last.to_be_bytes().to_vec());
        same(must(storage.get(b"round"), "get"), last, "the state after a restart");
        same(must(storage.get(b"gone"), "get"), None, "a key that was removed");

        let mut commit = of_records(records(round * 4 + 1..=round * 4 + 3));
        commit.writes = vec![Write::put("round", round.to_be_bytes()), Write::put("gone", "")];
        must(storage.commit(commit), "a buffered commit");
        let mut commit = of_records(records([round * 4 + 4]));
        commit.durability = Durability::Synced;
        commit.writes = vec![Write::remove("gone")];
        must(storage.commit(commit), "a synced commit");
        must(storage.close(), "closing");
    }
}

/// Three adjacent records of one commit: which, and which part.
fn commit_of(thread: u64, nth: u64) -> Vec<Record> {
    records((0..3).map(|part| thread << 32 | nth << 8 | part))
}

fn concurrent<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let work = |thread: u64| {
        for nth in 0..COMMITS {
            let mut commit = of_records(commit_of(thread, nth));
            commit.writes = vec![Write::put(thread.to_be_bytes(), nth.to_be_bytes())];
            let at = must(storage.commit(commit), "committing");
            let found = read(&storage, at, 3, 1 << 20);
            same(found, commit_of(thread, nth), "one's own commit");
        }
    };
    run_threads(&work);
    same(storage.end(), position(THREADS * COMMITS * 3 + 1), "the end");
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    for found in read_from(&storage, Position::FIRST).chunks(3) {
        let thread = (0..THREADS).find(|thread| {
            let nth = next.get(thread).copied().unwrap_or(0);
            found == commit_of(*thread, nth)
        });
        let Some(thread) = thread else {
            panic!("commits are torn or out of their thread's order");
        };
        *next.entry(thread).or_default() += 1;
    }
    for thread in 0..THREADS {
        let found = must(storage.get(&thread.to_be_bytes()), "get");
        same(found, Some((COMMITS - 1).to_be_bytes().to_vec()), "a thread's last write");
    }
}

#[allow(clippy::disallowed_methods)] // the storage's threads are not under test, the caller's are
fn run_threads(work: &(impl Fn(u64) + Sync)) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || work(thread));
        }
    });
}

fn reading_meanwhile<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let work = |thread: u64| {
        if thread == 0 {
            for number in 1..=100 {
                must(storage.commit(of_records(vec![record(number)])), "committing");
            }
            return;
        }
        let mut next = 1;
        while next <= 100 {
            let found = read(&storage, position(next), 7, 1 << 20);
            let expected = records(next..next + found.len() as u64);
            next += found.len() as u64;
            same(found, expected, "what is read meanwhile");
        }
    };
    run_threads(&work);
}
