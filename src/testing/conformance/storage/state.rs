//! Checks of the state and of preconditions.

use super::{StorageFixture, must, of_records, open, position, read_from, records, same};
use crate::{
    message::Position,
    storage::{Commit, Precondition, Storage, StorageError, Write},
};

fn of_writes(writes: Vec<Write>) -> Commit {
    let mut commit = of_records(vec![]);
    commit.writes = writes;
    commit
}

fn state_is(key: &str, value: Option<&str>) -> Precondition {
    Precondition::State { key: key.into(), value: value.map(Into::into) }
}

#[track_caller]
fn value_is(storage: &impl Storage, key: &str, expected: Option<&str>) {
    let found = must(storage.get(key.as_bytes()), "get");
    same(found, expected.map(Into::into), key);
}

pub(super) fn state_is_put_replaced_and_removed<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    must(storage.commit(of_writes(vec![Write::put("a", "1"), Write::put("b", "2")])), "put");
    value_is(&storage, "a", Some("1"));
    must(storage.commit(of_writes(vec![Write::put("a", "3"), Write::remove("b")])), "replace");
    value_is(&storage, "a", Some("3"));
    value_is(&storage, "b", None);
    must(storage.commit(of_writes(vec![Write::remove("b")])), "removing what is not there");
    value_is(&storage, "b", None);
}

pub(super) fn the_last_write_to_a_key_wins<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let writes = vec![
        Write::put("a", "1"),
        Write::put("a", "2"),
        Write::put("b", "1"),
        Write::remove("b"),
        Write::remove("c"),
        Write::put("c", "1"),
    ];
    must(storage.commit(of_writes(writes)), "committing");
    value_is(&storage, "a", Some("2"));
    value_is(&storage, "b", None);
    value_is(&storage, "c", Some("1"));
}

pub(super) fn keys_and_values_are_any_bytes<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let writes = vec![
        Write::put([], "empty key"),
        Write::put([0, 0xff, 0], []),
        Write::put(vec![b'k'; 5000], vec![0; 100_000]),
    ];
    must(storage.commit(of_writes(writes.clone())), "committing");
    for Write { key, value } in writes {
        assert!(must(storage.get(&key), "get") == value, "a value changed");
    }
}

pub(super) fn a_scan_keeps_prefix_start_and_limit<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let keys = ["a", "b", "b/1", "b/2", "b/3", "b0", "c"];
    let puts = keys.iter().rev().map(|key| Write::put(*key, *key)).collect();
    must(storage.commit(of_writes(puts)), "committing");
    let check = |prefix: &str, after: Option<&str>, max, expected: &[&str]| {
        let found = storage.scan(prefix.as_bytes(), after.map(str::as_bytes), max);
        let pair = |key: &&str| (key.as_bytes().to_vec(), key.as_bytes().to_vec());
        let expected: Vec<_> = expected.iter().map(pair).collect();
        let what = format!("a scan of `{prefix}` after {after:?}, at most {max}");
        same(must(found, "scan"), expected, &what);
    };
    check("", None, 100, &keys);
    check("", None, 2, &["a", "b"]);
    check("", None, 0, &[]);
    check("b/", None, 100, &["b/1", "b/2", "b/3"]);
    check("b/", Some("b/1"), 100, &["b/2", "b/3"]);
    check("b/", Some("b/1"), 1, &["b/2"]);
    check("b/", Some("b/10"), 100, &["b/2", "b/3"]);
    check("b/", Some("a"), 100, &["b/1", "b/2", "b/3"]);
    check("b/", Some("b/3"), 100, &[]);
    check("b/", Some("c"), 100, &[]);
    check("d", None, 100, &[]);
}

pub(super) fn a_commit_happens_while_its_preconditions_hold<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let mut commit = of_records(records(1..=2));
    commit.writes = vec![Write::put("key", "1")];
    commit.preconditions = vec![Precondition::End(Position::FIRST), state_is("key", None)];
    must(storage.commit(commit.clone()), "a commit whose preconditions hold");
    commit.preconditions = vec![Precondition::End(position(3)), state_is("key", Some("1"))];
    must(storage.commit(commit), "a commit whose preconditions hold");
    same(storage.end(), position(5), "the end");
}

pub(super) fn a_conflict_names_the_precondition_and_changes_nothing<F: StorageFixture>(
    fixture: &F,
) {
    let storage = open(fixture);
    let mut first = of_records(records([1]));
    first.writes = vec![Write::put("key", "1")];
    must(storage.commit(first), "committing");
    let failing = [
        Precondition::End(Position::FIRST),
        Precondition::End(position(3)),
        state_is("key", None),
        state_is("key", Some("2")),
        state_is("other", Some("1")),
        state_is("other", Some("")),
    ];
    for precondition in failing {
        let mut commit = of_records(records([2]));
        commit.writes = vec![Write::put("key", "2"), Write::put("other", "2")];
        commit.preconditions = vec![state_is("key", Some("1")), precondition.clone()];
        match storage.commit(commit) {
            Err(StorageError::Conflict(named)) => same(named, precondition, "the named one"),
            Err(error) => panic!("{precondition:?} failed otherwise: {error}"),
            Ok(_) => panic!("{precondition:?} does not hold, yet the commit happened"),
        }
        same(read_from(&storage, Position::FIRST), records([1]), "records after a conflict");
        value_is(&storage, "key", Some("1"));
        value_is(&storage, "other", None);
    }
    must(storage.commit(of_records(records([2]))), "committing after conflicts");
}

pub(super) fn preconditions_look_at_the_state_before_the_commit<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let mut commit = of_writes(vec![Write::put("key", "1")]);
    commit.preconditions = vec![state_is("key", Some("1"))];
    let refused = matches!(storage.commit(commit), Err(StorageError::Conflict(_)));
    assert!(refused, "a precondition saw the commit's own write");
    let mut commit = of_records(vec![]);
    commit.preconditions = vec![Precondition::End(position(9))];
    let refused = matches!(storage.commit(commit), Err(StorageError::Conflict(_)));
    assert!(refused, "a commit that is nothing but a failing precondition happened");
}
