//! Checks of several threads at once: nothing is seen too early, in part, or out of order.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    StorageFixture, must, of_records, open, position, read, read_from, record, records, same,
};
use crate::{
    message::Position,
    storage::{Commit, Precondition, Record, Storage, StorageError, Write},
    testing::conformance::run_threads,
};

const THREADS: u64 = 4;
const COMMITS: u64 = 25;

/// Three adjacent records of one commit: which, and which part.
fn records_of(thread: u64, nth: u64) -> Vec<Record> {
    records((0..3).map(|part| thread << 32 | nth << 8 | part))
}

/// These, and what the thread has come to.
fn commit_of(thread: u64, nth: u64) -> Commit {
    let mut commit = of_records(records_of(thread, nth));
    commit.writes = vec![Write::put(thread.to_be_bytes(), nth.to_be_bytes())];
    commit
}

/// Which commit of which of so many threads these records are, given how many of each came before.
#[track_caller]
fn next_commit(found: &[Record], threads: u64, counts: &BTreeMap<u64, u64>) -> (u64, u64) {
    let next_of = |thread| (thread, counts.get(&thread).copied().unwrap_or(0));
    let mut next = (0..threads).map(next_of);
    match next.find(|(thread, nth)| found == records_of(*thread, *nth)) {
        Some(next) => next,
        None => panic!("commits are torn, or out of the order in which a thread made them"),
    }
}

/// How many commits of a thread its own key tells of.
#[track_caller]
fn told(storage: &impl Storage, thread: u64) -> u64 {
    let value = must(storage.get(&thread.to_be_bytes()), "get");
    let nth = value.map(|value| <[u8; 8]>::try_from(value).map(u64::from_be_bytes));
    match nth {
        None => 0,
        Some(Ok(nth)) => nth + 1,
        Some(Err(value)) => panic!("a value has come back as {value:?}"),
    }
}

pub(super) fn commits_of_several_threads_stay_whole_and_dense<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    run_threads(THREADS, &|thread| {
        for nth in 0..COMMITS {
            let at = must(storage.commit(commit_of(thread, nth)), "committing");
            let found = read(&storage, at, 3, 1 << 20);
            same(found, records_of(thread, nth), "one's own commit");
        }
    });
    same(storage.end(), position(THREADS * COMMITS * 3 + 1), "the end");
    let mut counts = BTreeMap::new();
    for found in read_from(&storage, Position::FIRST).chunks(3) {
        let (thread, nth) = next_commit(found, THREADS, &counts);
        counts.insert(thread, nth + 1);
    }
    for thread in 0..THREADS {
        same(told(&storage, thread), COMMITS, "how many commits a thread's key tells of");
    }
}

pub(super) fn reads_go_on_while_others_commit<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    run_threads(THREADS, &|thread| {
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
    });
}

pub(super) fn a_position_never_becomes_visible_after_a_higher_one<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let committers = 3;
    run_threads(committers + 2, &|thread| {
        if thread < committers {
            for nth in 0..COMMITS {
                must(storage.commit(commit_of(thread, nth)), "committing");
            }
            return;
        }
        let mut seen: Vec<Record> = Vec::new();
        while seen.len() < usize::try_from(committers * COMMITS * 3).unwrap_or(0) {
            let next = position(seen.len() as u64 + 1);
            // What is below the end can be read, now and without a gap.
            let end = storage.end().max(next);
            let found = read_until(&storage, next, end);
            seen.extend(found);
            // What was read is there for everybody, and nothing has come in between.
            let from = seen.len().saturating_sub(12);
            let again = read_until(&storage, position(from as u64 + 1), end);
            same(&again[..], &seen[from..], "what is read again");
        }
    });
}

/// All records from a position up to another, of which every one must be there.
fn read_until(storage: &impl Storage, from: Position, to: Position) -> Vec<Record> {
    let mut found = Vec::new();
    while from.plus(found.len() as u64) < to {
        let left = usize::try_from(to.since(from)).unwrap_or(usize::MAX) - found.len();
        let more = read(storage, from.plus(found.len() as u64), left, 1 << 20);
        assert!(!more.is_empty(), "position {to} was said to be the end, and less can be read");
        found.extend(more);
    }
    found
}

pub(super) fn a_commit_becomes_visible_as_a_whole<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let committers = 2;
    run_threads(committers + 2, &|thread| {
        if thread < committers {
            for nth in 0..2 * COMMITS {
                must(storage.commit(commit_of(thread, nth)), "committing");
            }
            return;
        }
        let mut counts = BTreeMap::new();
        let mut next = Position::FIRST;
        while next < position(committers * 2 * COMMITS * 3 + 1) {
            let told_before: Vec<_> = (0..committers).map(|of| told(&storage, of)).collect();
            let found = read(&storage, next, 3000, 1 << 20);
            next = next.plus(found.len() as u64);
            same(found.len() % 3, 0, "records of a part of a commit");
            for commit in found.chunks(3) {
                let (of, nth) = next_commit(commit, committers, &counts);
                counts.insert(of, nth + 1);
            }
            for (of, told_before) in (0..).zip(told_before) {
                let read = counts.get(&of).copied().unwrap_or(0);
                assert!(told_before <= read, "state is visible before the events of its commit");
                let told_after = told(&storage, of);
                assert!(read <= told_after, "events are visible before the state of their commit");
            }
        }
    });
}

pub(super) fn of_commits_with_the_same_precondition_one_happens<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    for round in 0..COMMITS {
        let end = position(round + 1);
        let key = b"owner".to_vec();
        let value = must(storage.get(&key), "get");
        let happened = AtomicU64::new(0);
        run_threads(THREADS, &|thread| {
            let mut commit = of_records(vec![record(thread)]);
            commit.writes = vec![Write::put("owner", (round * THREADS + thread).to_be_bytes())];
            commit.preconditions = vec![if round.is_multiple_of(2) {
                Precondition::End(end)
            } else {
                Precondition::State { key: key.clone(), value: value.clone() }
            }];
            match storage.commit(commit) {
                Ok(at) => {
                    same(at, end, "the position of the one that happens");
                    happened.fetch_add(1, Ordering::AcqRel);
                }
                Err(StorageError::Conflict(_)) => {}
                Err(error) => panic!("a commit failed otherwise: {error}"),
            }
        });
        same(happened.into_inner(), 1, "how many of these commits happened");
        same(storage.end(), end.next(), "the end");
    }
}
