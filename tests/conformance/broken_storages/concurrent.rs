//! Lies that show when several threads are at it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use tidings::{
    Position,
    storage::{Commit, FileStorage, Precondition, Query, Storage, StorageError},
};

use super::{Committed, Lie, Read, finds, linger};

lies! {
    one_that_splits_commits: SplitsCommits, commits_of_several_threads_stay_whole_and_dense;
    one_that_cannot_do_both: CannotDoBoth::default(), reads_go_on_while_others_commit;
    one_that_shows_gaps: ShowsGaps::default(), a_position_never_becomes_visible_after_a_higher_one;
    one_that_is_ahead: IsAhead::default(), a_position_never_becomes_visible_after_a_higher_one;
    one_that_shows_halves: SplitsCommits, a_commit_becomes_visible_as_a_whole;
    one_that_writes_state_later: WritesStateLater, a_commit_becomes_visible_as_a_whole;
    one_that_checks_too_early: ChecksTooEarly, of_commits_with_the_same_precondition_one_happens;
}

lie! {
    /// Makes two commits of one, with others in between.
    SplitsCommits;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        let half = commit.records.len() / 2;
        let records = commit.records.drain(..half).collect();
        let preconditions = std::mem::take(&mut commit.preconditions);
        let at = truth.commit(Commit { records, preconditions, ..Commit::default() })?;
        linger();
        truth.commit(commit)?;
        Ok(at)
    }
}

/// Refuses to read while it writes.
#[derive(Debug, Default)]
struct CannotDoBoth(AtomicU64);

impl Lie for CannotDoBoth {
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        self.0.fetch_add(1, Ordering::AcqRel);
        linger();
        let outcome = truth.commit(commit);
        self.0.fetch_sub(1, Ordering::AcqRel);
        outcome
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        if self.0.load(Ordering::Acquire) == 0 {
            return truth.read(query);
        }
        let source = Arc::new(std::io::ErrorKind::WouldBlock.into());
        Err(StorageError::Io { doing: "reading", path: "it".into(), source })
    }
}

/// Shows every seventh commit a while later than those behind it.
#[derive(Debug, Default)]
struct ShowsGaps {
    commits: AtomicU64,
    hidden: Mutex<Option<(Position, Position)>>,
}

impl Lie for ShowsGaps {
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        let count = commit.records.len() as u64;
        let mut hidden = self.hidden.lock().unwrap();
        let at = truth.commit(commit)?;
        let hides = self.commits.fetch_add(1, Ordering::Relaxed).is_multiple_of(7);
        *hidden = hides.then_some((at, at.plus(count)));
        drop(hidden);
        linger();
        Ok(at)
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        let hidden = *self.hidden.lock().unwrap();
        let mut page = truth.read(query)?;
        if let Some((from, to)) = hidden {
            page.records.retain(|(at, _)| *at < from || *at >= to);
        }
        Ok(page)
    }
}

/// Says where the log will end, before there is anything to be read there.
#[derive(Debug, Default)]
struct IsAhead(AtomicU64);

impl Lie for IsAhead {
    fn end(&self, truth: &FileStorage) -> Position {
        truth.end().plus(self.0.load(Ordering::Acquire))
    }

    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        let count = commit.records.len() as u64;
        self.0.fetch_add(count, Ordering::AcqRel);
        linger();
        let at = truth.commit(commit);
        self.0.fetch_sub(count, Ordering::AcqRel);
        at
    }
}

lie! {
    /// Commits the records, and then the writes.
    WritesStateLater;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        let writes = std::mem::take(&mut commit.writes);
        let at = truth.commit(commit)?;
        linger();
        truth.commit(Commit { writes, ..Commit::default() })?;
        Ok(at)
    }
}

lie! {
    /// Checks the preconditions, and then commits.
    ChecksTooEarly;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        for precondition in std::mem::take(&mut commit.preconditions) {
            let holds = match &precondition {
                Precondition::End(end) => truth.end() == *end,
                Precondition::State { key, value } => truth.get(key)? == *value,
                _ => true,
            };
            if !holds {
                return Err(StorageError::Conflict(precondition));
            }
        }
        linger();
        truth.commit(commit)
    }
}
