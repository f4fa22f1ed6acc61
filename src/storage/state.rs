//! The key-value state in memory, shared by both storages.

use std::{collections::BTreeMap, ops::Bound};

use super::{KeyValue, Precondition, StorageError, Write};

/// The key-value state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State(BTreeMap<Vec<u8>, Vec<u8>>);

impl State {
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// Applies writes in order.
    pub(super) fn apply(&mut self, writes: Vec<Write>) {
        for Write { key, value } in writes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    /// See [`Storage::scan`](super::Storage::scan).
    pub(super) fn scan(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Vec<KeyValue> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.0
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(max)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Fails with the first precondition that does not hold where the log ends at `end`.
    pub(super) fn check(
        &self,
        preconditions: &[Precondition],
        end: u64,
    ) -> Result<(), StorageError> {
        let holds = |precondition: &Precondition| match precondition {
            Precondition::End(expected) => expected.get() == end,
            Precondition::State { key, value } => self.get(key) == value.as_deref(),
        };
        match preconditions.iter().find(|precondition| !holds(precondition)) {
            Some(failed) => Err(StorageError::Conflict(failed.clone())),
            None => Ok(()),
        }
    }
}
