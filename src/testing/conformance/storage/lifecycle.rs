//! Checks of closing and restarting.

use super::{StorageFixture, must, of_records, open, position, read_from, records, same};
use crate::{
    event::Durability,
    message::Position,
    storage::{Query, Storage, StorageError, Write},
};

pub(super) fn a_closed_storage_refuses_everything<F: StorageFixture>(fixture: &F) {
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

pub(super) fn closing_twice_is_fine<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    must(storage.close(), "closing");
    must(storage.close(), "closing again");
}

pub(super) fn a_store_can_be_opened_again_at_once<F: StorageFixture>(fixture: &F) {
    for _ in 0..5 {
        let storage = open(fixture);
        must(storage.commit(of_records(records([1]))), "committing");
        must(storage.close(), "closing");
        let again = open(fixture); // while the closed one still exists
        must(again.close(), "closing");
    }
}

pub(super) fn a_restart_loses_nothing_and_adds_nothing<F: StorageFixture>(fixture: &F) {
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
