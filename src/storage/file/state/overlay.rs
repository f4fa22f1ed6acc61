//! State writes in memory that no file of the state contains yet.

use std::{collections::BTreeMap, ops::Bound};

use super::Entry;
use crate::storage::Write;

/// What an entry costs beside its bytes, roughly.
const ENTRY: usize = 96;

/// The newest write to each key; `None` removes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::storage::file) struct Overlay {
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Overlay {
    /// Roughly how much memory it takes.
    pub(in crate::storage::file) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Applies writes in order.
    pub(super) fn apply(&mut self, writes: impl IntoIterator<Item = Write>) {
        for Write { key, value } in writes {
            let (key_len, len) = (key.len(), value.as_ref().map_or(0, Vec::len));
            self.bytes += len;
            match self.entries.insert(key, value) {
                None => self.bytes += key_len + ENTRY,
                Some(before) => self.bytes -= before.map_or(0, |value| value.len()),
            }
        }
    }

    /// What it says about a key, if anything.
    #[allow(clippy::option_option)] // the outer one is "nothing"
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.entries.get(key).map(Option::as_deref)
    }

    /// The entries from a key on, in order.
    pub(super) fn from(&self, start: Bound<&[u8]>) -> impl Iterator<Item = Entry> {
        let range = self.entries.range::<[u8], _>((start, Bound::Unbounded));
        range.map(|(key, value)| (key.clone(), value.clone()))
    }
}
