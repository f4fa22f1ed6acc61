//! What a store must show: nothing but what was committed, at its place.

use std::collections::BTreeMap;

use super::golden::Golden;
use crate::{
    message::Position,
    storage::{Commit, Filter, KeyValue, Page, Record},
};

/// What was committed and not discarded as debris.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The first one is at position 1.
    records: Vec<Record>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    /// The commits of a store up to a position, which must be between two of them.
    pub(super) fn of(golden: &Golden, end: Position) -> Self {
        let mut model = Self::default();
        for commit in &golden.commits {
            if model.end() == end.get() {
                break;
            }
            model.apply(commit);
        }
        assert_eq!(model.end(), end.get(), "a commit is there in part, or there are too many");
        model
    }

    pub(super) fn apply(&mut self, commit: &Commit) {
        self.records.extend_from_slice(&commit.records);
        for write in &commit.writes {
            match &write.value {
                Some(value) => self.state.insert(write.key.clone(), value.clone()),
                None => self.state.remove(&write.key),
            };
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.records.len() as u64 + 1
    }

    /// Checks that a page holds what it must.
    pub(super) fn check_page(&self, from: u64, filter: &Filter, page: &Page) {
        let next = page.next.get();
        assert!(next >= from && next <= self.end().max(from), "{from}, {next}");
        let expected = self.between(from, next, filter);
        assert_eq!(page.records, expected);
    }

    /// The records from a position to before another that match.
    pub(super) fn between(&self, from: u64, to: u64, filter: &Filter) -> Vec<(Position, Record)> {
        let numbered = self.records.iter().zip(1..);
        let wanted = numbered
            .filter(|(record, at)| (from..to).contains(at) && filter.matches(&record.envelope));
        wanted.filter_map(|(record, at)| Some((Position::new(at)?, record.clone()))).collect()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.state.get(key).map(Vec::as_slice)
    }

    pub(super) fn scan(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Vec<KeyValue> {
        let entries = self.state.iter().filter(|(key, _)| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after)
        });
        entries.take(max).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}
