//! A random run, compared with the simplest model after every step.

use std::collections::BTreeMap;

use super::{StorageFixture, must, open, read, read_from, record, same};
use crate::{
    event::Durability,
    message::Position,
    runtime::Random,
    storage::{Commit, Precondition, Record, Storage, StorageError, Write},
};

const STEPS: u64 = 300;

pub(super) fn a_random_run_matches_the_model<F: StorageFixture>(fixture: &F) {
    run(fixture, 1);
}

pub(super) fn another_random_run_matches_the_model<F: StorageFixture>(fixture: &F) {
    run(fixture, 2);
}

#[derive(Default)]
struct Model {
    records: Vec<Record>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    fn end(&self) -> Position {
        Position::FIRST.plus(self.records.len() as u64)
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::End(end) => *end == self.end(),
            Precondition::State { key, value } => self.state.get(key) == value.as_ref(),
        }
    }

    fn apply(&mut self, commit: Commit) {
        self.records.extend(commit.records);
        for Write { key, value } in commit.writes {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
    }
}

fn run<F: StorageFixture>(fixture: &F, seed: u64) {
    let mut random = Random::new(seed);
    let mut model = Model::default();
    let mut storage = open(fixture);
    for _ in 0..STEPS {
        match random.below(8) {
            0..4 => step_commit(&storage, &mut model, &mut random),
            4..6 => step_read(&storage, &model, &mut random),
            6 => step_scan(&storage, &model, &mut random),
            _ if fixture.persistent() && random.below(4) == 0 => {
                must(storage.close(), "closing");
                storage = open(fixture);
            }
            _ => {}
        }
        same(storage.end(), model.end(), "the end");
    }
    assert!(read_from(&storage, Position::FIRST) == model.records, "the log differs");
    let state = must(storage.scan(b"", None, usize::MAX), "scan");
    same(state, model.state.into_iter().collect(), "the state");
}

fn key(random: &mut Random) -> Vec<u8> {
    (0..random.below(3)).map(|_| b"ab"[usize::from(random.below(2) == 1)]).collect()
}

fn value(random: &mut Random) -> Option<Vec<u8>> {
    (random.below(3) > 0).then(|| random.below(4).to_string().into_bytes())
}

fn some_commit(model: &Model, random: &mut Random) -> Commit {
    let mut next = model.records.len() as u64;
    let mut numbered = || {
        next += 1;
        let mut record = record(next);
        let padding = usize::try_from(next * 37 % 300).unwrap_or(0);
        record.payload.resize(record.payload.len() + padding, b'.');
        record
    };
    let records = (0..random.below(4)).map(|_| numbered()).collect();
    let write = |random: &mut Random| Write { key: key(random), value: value(random) };
    let writes = (0..random.below(4)).map(|_| write(random)).collect();
    let precondition = |random: &mut Random| match random.below(2) {
        0 => Precondition::End(model.end().plus(random.below(4) / 3)),
        _ => Precondition::State { key: key(random), value: value(random) },
    };
    let preconditions = (0..random.below(5) / 3).map(|_| precondition(random)).collect();
    let durability = if random.below(4) == 0 { Durability::Synced } else { Durability::Buffered };
    Commit { records, writes, preconditions, durability }
}

fn step_commit(storage: &impl Storage, model: &mut Model, random: &mut Random) {
    let commit = some_commit(model, random);
    let failing = commit.preconditions.iter().find(|it| !model.holds(it));
    match (storage.commit(commit.clone()), failing) {
        (Ok(at), None) => {
            same(at, model.end(), "the position of a commit");
            model.apply(commit);
        }
        (Err(StorageError::Conflict(named)), Some(failing)) => {
            assert!(!model.holds(&named), "{named:?} holds, not so {failing:?}");
        }
        (outcome, _) => panic!("{commit:?} came out as {outcome:?}"),
    }
}

fn step_read(storage: &impl Storage, model: &Model, random: &mut Random) {
    let skip = random.below(model.records.len() as u64 + 2);
    let max = usize::try_from(random.below(9) + 1).unwrap_or(1);
    let found = read(storage, Position::FIRST.plus(skip), max, 1 << 20);
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    let rest = model.records.get(skip..).unwrap_or_default();
    assert!(found.is_empty() == rest.is_empty(), "a read found nothing, or something past the end");
    assert!(found.len() <= max, "a read found more than asked for");
    assert!(rest.starts_with(&found), "a read differs");
}

fn step_scan(storage: &impl Storage, model: &Model, random: &mut Random) {
    let prefix = key(random);
    let after = (random.below(2) == 0).then(|| key(random));
    let max = usize::try_from(random.below(5)).unwrap_or(0);
    let found = must(storage.scan(&prefix, after.as_deref(), max), "scan");
    let inside = model.state.iter().filter(|(key, _)| {
        key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after)
    });
    let expected = inside.take(max).map(|(key, value)| (key.clone(), value.clone()));
    same(found, expected.collect(), "a scan");
}
