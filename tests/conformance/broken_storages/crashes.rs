//! Lies that show when something fails.

use std::sync::Mutex;

use tidings::{
    Durability,
    storage::{Commit, FileStorage, Query, Record, Storage, StorageError},
};

use super::{Committed, Lie, Read, finds};

lies! {
    one_that_acknowledges_early: AcknowledgesEarly, a_synced_commit_survives_a_power_loss;
    one_that_buffers_in_memory: BuffersInMemory::default(), a_buffered_commit_survives_the_end_of_the_process;
    one_that_tears_commits: TearsCommits, a_commit_that_fails_is_there_whole_or_not_at_all;
    one_that_goes_on: GoesOn, after_a_failed_write_nothing_is_accepted_and_reads_go_on;
    one_that_shows_what_failed: ShowsWhatFailed::default(), after_a_failed_write_nothing_is_accepted_and_reads_go_on;
}

lie! {
    /// Says that a commit is synced, and has only written it.
    AcknowledgesEarly;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        commit.durability = Durability::Buffered;
        truth.commit(commit)
    }
}

/// Keeps buffered commits to itself until one is to be synced.
#[derive(Debug, Default)]
struct BuffersInMemory(Mutex<Vec<Commit>>);

impl Lie for BuffersInMemory {
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        let mut kept = self.0.lock().unwrap();
        let records: usize = kept.iter().map(|commit| commit.records.len()).sum();
        let at = truth.end().plus(records as u64);
        let is_synced = commit.durability == Durability::Synced;
        kept.push(commit);
        if is_synced {
            for commit in kept.drain(..) {
                truth.commit(commit)?;
            }
        }
        Ok(at)
    }
}

lie! {
    /// Makes two commits of one: the records, then the writes.
    TearsCommits;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        let (writes, durability) = (std::mem::take(&mut commit.writes), commit.durability);
        let at = truth.commit(commit)?;
        truth.commit(Commit { writes, durability, ..Commit::default() })?;
        Ok(at)
    }
}

lie! {
    /// Takes commits after a failure, as if nothing had happened.
    GoesOn;
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        match truth.commit(commit) {
            Err(StorageError::Poisoned) => Ok(truth.end()),
            outcome => outcome,
        }
    }
}

/// Shows the records of a commit that failed, once, though they may be gone after a restart.
#[derive(Debug, Default)]
struct ShowsWhatFailed(Mutex<Vec<Record>>);

impl Lie for ShowsWhatFailed {
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        let records = commit.records.clone();
        let outcome = truth.commit(commit);
        if let Err(StorageError::Indeterminate { .. }) = outcome {
            *self.0.lock().unwrap() = records;
        }
        outcome
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        let mut page = truth.read(query)?;
        if page.next == truth.end() {
            for record in self.0.lock().unwrap().drain(..) {
                page.records.push((page.next, record));
                page.next = page.next.next();
            }
        }
        Ok(page)
    }
}
