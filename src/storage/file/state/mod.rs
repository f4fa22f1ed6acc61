//! The key-value state: writes in memory over sorted runs in files.
//!
//! The log is the truth. What the runs hold is what its batches wrote up to one seq; the overlay
//! holds what later ones wrote. A checkpoint moves the overlay into a new run, merged with those
//! that are not much larger, so that their number grows with the logarithm of the state.

mod cache;
mod inspect;
mod merge;
mod overlay;
mod run;
mod writer;

use std::{ops::Bound, sync::Arc};

use cache::Cache;
pub(super) use inspect::{each_entry, entry_of, inspect};
use merge::Merge;
pub(super) use overlay::Overlay;
pub(super) use run::Run;
use writer::RunWriter;

use super::{directory::Directory, manifest::RunEntry, planted::Mistake, segment::StoreId};
use crate::storage::{KeyValue, Precondition, StorageError, Write};

/// A key and what was last written to it; `None`: it was removed.
type Entry = (Vec<u8>, Option<Vec<u8>>);

/// The most runs that are kept.
const MOST_RUNS: usize = 8;

/// The state as of the last commit.
#[derive(Debug, Default)]
pub(super) struct State {
    active: Overlay,
    /// Being written into a run.
    frozen: Option<Arc<Overlay>>,
    files: Files,
}

/// The part of the state that is in files. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    /// Newest first.
    runs: Arc<Vec<Arc<Run>>>,
    cache: Arc<Cache>,
}

impl State {
    pub(super) fn new(runs: Vec<Arc<Run>>) -> Self {
        let files = Files { runs: Arc::new(runs), cache: Arc::default() };
        Self { files, ..Self::default() }
    }

    /// Applies writes in order.
    pub(super) fn apply(&mut self, writes: impl IntoIterator<Item = Write>) {
        self.active.apply(writes);
    }

    /// How much memory the writes take that are in no file, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.active.bytes()
    }

    /// The value of a key if memory knows it, and otherwise where to look.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Files> {
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.get(key));
        match self.active.get(key).or_else(frozen) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => Err(self.files.clone()),
        }
    }

    /// See [`Storage::scan`](crate::storage::Storage::scan).
    pub(super) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut merge = Merge::new();
        merge.overlay(self.active.from(start));
        if let Some(frozen) = &self.frozen {
            merge.overlay(frozen.from(start));
        }
        for run in self.files.runs.iter() {
            merge.run(run, after.unwrap_or(prefix).max(prefix))?;
        }
        let mut found = Vec::new();
        while found.len() < max {
            let Some((key, value)) = merge.next()? else { break };
            let early = match start {
                Bound::Excluded(after) => &*key <= after,
                _ => &*key < prefix,
            };
            if early {
                continue;
            }
            if !key.starts_with(prefix) {
                break;
            }
            found.extend(value.map(|value| (key, value)));
        }
        Ok(found)
    }

    /// Fails with the first precondition that does not hold where the log ends at `end`.
    pub(super) fn check(
        &self,
        preconditions: &[Precondition],
        end: u64,
    ) -> Result<(), StorageError> {
        for precondition in preconditions {
            let holds = match precondition {
                Precondition::End(expected) => expected.get() == end,
                Precondition::State { key, value } => self.read(key)? == *value,
            };
            if !holds {
                return Err(StorageError::Conflict(precondition.clone()));
            }
        }
        Ok(())
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(key).map_or_else(|files| files.get(key), Ok)
    }

    /// Begins a checkpoint: what memory holds now stays as it is until it is in a run. Goes on with
    /// an earlier one that failed; true where it is a new one.
    pub(super) fn freeze(&mut self) -> bool {
        if self.frozen.is_some() {
            return false;
        }
        self.frozen = Some(Arc::new(std::mem::take(&mut self.active)));
        true
    }

    /// Whether a checkpoint has begun and not ended.
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// What is to be written.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let frozen = self.frozen.clone().unwrap_or_default();
        let runs = &self.files.runs;
        let mut size = frozen.bytes() as u64;
        let mut merged = 0;
        if !frozen.is_empty() {
            let small = |run: &Arc<Run>, size, merged| {
                run.entry.len <= 2 * size || runs.len() - merged >= MOST_RUNS
            };
            while let Some(run) = runs.get(merged).filter(|run| small(run, size, merged)) {
                size += run.entry.len;
                merged += 1;
            }
        }
        Checkpoint { frozen, runs: Arc::clone(runs), merged }
    }

    /// Ends a checkpoint: these runs contain what was frozen.
    pub(super) fn thaw(&mut self, runs: Vec<Arc<Run>>) {
        self.frozen = None;
        self.files.runs = Arc::new(runs);
    }
}

impl Files {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        for run in self.runs.iter() {
            if let Some(value) = self.cache.get(run, key)? {
                return Ok(value);
            }
        }
        Ok(None)
    }
}

/// The part of the state that is to become a run, and the runs that it takes the place of.
#[derive(Debug)]
pub(super) struct Checkpoint {
    frozen: Arc<Overlay>,
    runs: Arc<Vec<Arc<Run>>>,
    /// How many of the runs, newest first.
    merged: usize,
}

impl Checkpoint {
    /// Whether there is anything to write.
    pub(super) fn is_empty(&self) -> bool {
        self.frozen.is_empty()
    }

    /// Writes the run, and makes its bytes durable.
    pub(super) fn write(
        &self,
        dir: &Directory,
        store: &StoreId,
        id: u64,
    ) -> Result<RunEntry, StorageError> {
        let mut merge = Merge::new();
        merge.overlay(self.frozen.from(Bound::Unbounded));
        for run in self.runs.iter().take(self.merged) {
            merge.run(run, &[])?;
        }
        // What was removed must hide older values, while there are any.
        let oldest = self.merged == self.runs.len() || dir.makes(Mistake::ForgetRemovals);
        let mut writer = RunWriter::create(dir, store, id)?;
        while let Some((key, value)) = merge.next()? {
            if value.is_some() || !oldest {
                writer.push(&key, value.as_deref())?;
            }
        }
        writer.finish(!dir.makes(Mistake::RunUnsynced))
    }

    /// All runs once the new one is there, newest first.
    pub(super) fn with(&self, new: Option<Arc<Run>>) -> Vec<Arc<Run>> {
        new.into_iter().chain(self.runs.iter().skip(self.merged).cloned()).collect()
    }

    /// The runs whose place the new one takes.
    pub(super) fn replaced(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.runs.iter().take(self.merged)
    }
}

/// The name of the run with this id.
pub(super) fn file_name(id: u64) -> String {
    format!("{id:020}.run")
}

/// The id of the run with this name, or `None` if it is another file.
pub(super) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".run")?;
    let id = digits.parse().ok()?;
    (file_name(id) == name).then_some(id)
}
