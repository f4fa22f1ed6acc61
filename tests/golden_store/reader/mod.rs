//! A reader of the format, written from `docs/format.md`. It uses nothing of the crate, and is not
//! lenient: whatever is not as described is an error.

mod bytes;
mod index;
mod manifest;
mod run;
mod segment;

use std::collections::BTreeMap;

use bytes::{append, masked};
use manifest::Manifest;

use crate::{entry::Entry, files::Files};

pub(crate) struct Store {
    pub(crate) records: Vec<Entry>,
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) closed: bool,
    /// How many segments have an index.
    pub(crate) indexes: usize,
    /// How many segments were written anew.
    pub(crate) rewritten: usize,
    /// How many entries of runs say that a key was removed.
    pub(crate) removals: usize,
}

pub(crate) fn read(files: &Files) -> Store {
    let manifest = manifest::read(&files["MANIFEST"]);
    let mut removals = 0;
    let mut state = BTreeMap::new();
    for entry in manifest.runs.iter().rev() {
        let bytes = &files[&format!("state/{:020}.run", entry.id)];
        for (key, value) in run::read(bytes, &manifest.store, entry) {
            removals += usize::from(value.is_none());
            apply(&mut state, key, value);
        }
    }
    let first = manifest.segments.first().unwrap().position;
    let mut store = Store {
        records: Vec::new(),
        state,
        first,
        end: first,
        closed: manifest.phase.0 == 1,
        indexes: 0,
        rewritten: manifest.segments.iter().filter(|segment| segment.rewritten > 0).count(),
        removals,
    };
    log(files, &manifest, &mut store);
    store
}

fn log(files: &Files, manifest: &Manifest, store: &mut Store) {
    for (at, entry) in manifest.segments.iter().enumerate() {
        let name = match entry.rewritten {
            0 => format!("segments/{:020}.log", entry.id),
            times => format!("segments/{:020}-{times}.log", entry.id),
        };
        let before = at.checked_sub(1).map(|at| &manifest.segments[at]);
        assert_eq!(store.end, entry.position);
        let segment = segment::read(&files[&name], manifest, entry, before);
        if let Some(index) = files.get(&format!("segments/{:020}.idx", entry.id)) {
            index::check(index, manifest, entry, &segment);
            store.indexes += 1;
        }
        store.end = segment.end;
        for (seq, key, value) in segment.writes {
            if seq > manifest.state_seq {
                apply(&mut store.state, key, value);
            }
        }
        let last = at + 1 == manifest.segments.len();
        if last && manifest.phase.0 != 0 {
            assert_eq!(manifest.phase.1, (segment.len, segment.seq - 1, segment.crc));
        }
        store.records.extend(segment.records.into_iter().map(|(_, record)| record));
    }
}

fn apply(state: &mut BTreeMap<Vec<u8>, Vec<u8>>, key: Vec<u8>, value: Option<Vec<u8>>) {
    match value {
        Some(value) => state.insert(key, value),
        None => state.remove(&key),
    };
}
