//! What happened in a run that its history does not tell.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// Counts by name, and what is wrong. A clone is the same.
#[derive(Debug, Default, Clone)]
pub(crate) struct Notes {
    counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    /// For handlers, whose panics the bus catches.
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Notes {
    pub(crate) fn note(&self, name: &'static str) {
        self.add(name, 1);
    }

    pub(crate) fn add(&self, name: &'static str, count: u64) {
        *self.counts.lock().entry(name).or_default() += count;
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }

    pub(crate) fn demand(&self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.lock().push(otherwise());
        }
    }

    pub(crate) fn assert_nothing_wrong(&self) {
        let wrong = self.wrong.lock();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
