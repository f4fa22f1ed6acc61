//! Lies told on top of a storage that is in order.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use tidings::{
    Durability, Envelope, Headers, Position,
    storage::{
        Commit, FileStorage, KeyValue, Page, Precondition, Query, Record, Storage, StorageError,
        Trim,
    },
    storage_conformance,
    testing::conformance::{self, STORAGE_CHECKS},
};

use super::pretender::{Fixture, Honest, Lie};
use crate::is_found;

storage_conformance!(honest, Fixture::<Honest>::default());

/// The check fails that is about the lie.
#[track_caller]
fn finds<L: Lie>(check: &str) {
    let run = |check: &str| conformance::storage_check(check, Fixture::<L>::default);
    is_found(std::any::type_name::<L>(), check, STORAGE_CHECKS, run);
}

/// A test of each lie: one that .. is found by the check that ..
macro_rules! lies {
    ($($test:ident: $lie:ident, $check:ident;)*) => {
        $(#[test]
        fn $test() {
            finds::<$lie>(stringify!($check));
        })*
    };
}

lies! {
    one_that_acknowledges_early: AcknowledgesEarly, a_synced_commit_survives_a_power_loss;
    one_that_tears_commits: TearsCommits, a_commit_that_fails_is_there_whole_or_not_at_all;
    one_that_writes_state_later: WritesStateLater, a_commit_becomes_visible_as_a_whole;
    one_that_shows_halves: ShowsHalves, a_commit_becomes_visible_as_a_whole;
    one_that_shows_gaps: ShowsGaps, a_position_never_becomes_visible_after_a_higher_one;
    one_that_is_ahead_of_itself: IsAheadOfItself, a_position_never_becomes_visible_after_a_higher_one;
    one_that_reorders_records: ReordersRecords, a_commits_records_are_adjacent_and_in_order;
    one_that_forgets_preconditions: ForgetsPreconditions, a_conflict_names_the_precondition_and_changes_nothing;
    one_that_checks_too_early: ChecksTooEarly, of_commits_with_the_same_precondition_one_happens;
    one_that_checks_too_late: ChecksTooLate, preconditions_look_at_the_state_before_the_commit;
    one_that_keeps_the_first_write: KeepsTheFirstWrite, the_last_write_to_a_key_wins;
    one_that_drops_headers: DropsHeaders, an_envelope_comes_back_with_every_field;
    one_that_ignores_filters: IgnoresFilters, a_filter_finds_what_matches_and_nothing_else;
    one_that_ignores_limits: IgnoresLimits, reading_begins_anywhere_and_keeps_its_limits;
    one_that_scans_from_the_start: ScansFromTheStart, a_scan_keeps_prefix_start_and_limit;
    one_that_trims_too_much: TrimsTooMuch, trimming_drops_the_oldest_records_and_no_others;
    one_that_stays_open: StaysOpen, a_closed_storage_refuses_everything;
    one_that_loses_the_last: LosesTheLast, a_restart_loses_nothing_and_adds_nothing;
    one_that_goes_on_after_failure: GoesOnAfterFailure, after_a_failed_write_nothing_is_accepted_and_reads_go_on;
    one_that_shows_what_failed: ShowsWhatFailed, after_a_failed_write_nothing_is_accepted_and_reads_go_on;
}

/// Says that a commit is synced, and has only written it.
#[derive(Debug, Default)]
struct AcknowledgesEarly;

impl Lie for AcknowledgesEarly {
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Result<Position, StorageError> {
        commit.durability = Durability::Buffered;
        truth.commit(commit)
    }
}

/// Makes two commits of one: the records, then the writes.
#[derive(Debug, Default)]
struct TearsCommits;

impl Lie for TearsCommits {
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Result<Position, StorageError> {
        let writes = std::mem::take(&mut commit.writes);
        let durability = commit.durability;
        let at = truth.commit(commit)?;
        truth.commit(Commit { writes, durability, ..Commit::default() })?;
        Ok(at)
    }
}

/// The same, and others have their turn in between.
#[derive(Debug, Default)]
struct WritesStateLater;

impl Lie for WritesStateLater {
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Result<Position, StorageError> {
        let writes = std::mem::take(&mut commit.writes);
        let at = truth.commit(commit)?;
        std::thread::yield_now();
        truth.commit(Commit { writes, ..Commit::default() })?;
        Ok(at)
    }
}

/// Shows the first records of a commit before the others.
#[derive(Debug, Default)]
struct ShowsHalves(Mutex<()>);

impl Lie for ShowsHalves {
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Result<Position, StorageError> {
        let _alone = self.0.lock().unwrap();
        let rest = commit.records.split_off(commit.records.len() / 2);
        let first = Commit {
            records: std::mem::take(&mut commit.records),
            preconditions: std::mem::take(&mut commit.preconditions),
            ..Commit::default()
        };
        let at = truth.commit(first)?;
        std::thread::yield_now();
        commit.records = rest;
        truth.commit(commit)?;
        Ok(at)
    }
}

/// Shows every seventh commit a while later than those behind it.
#[derive(Debug, Default)]
struct ShowsGaps {
    commits: AtomicU64,
    hidden: Mutex<Option<(Position, Position)>>,
}

impl Lie for ShowsGaps {
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Result<Position, StorageError> {
        let count = commit.records.len() as u64;
        let mut hidden = self.hidden.lock().unwrap();
        let at = truth.commit(commit)?;
        let hides = self.commits.fetch_add(1, Ordering::Relaxed).is_multiple_of(7);
        *hidden = hides.then_some((at, at.plus(count)));
        drop(hidden);
        std::thread::yield_now();
        Ok(at)
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Result<Page, StorageError> {
        let hidden = *self.hidden.lock().unwrap();
        let mut page = truth.read(query)?;
        if let Some((from, to)) = hidden {
            page.records.retain(|(at, _)| *at < from || *at >= to);
        }
        Ok(page)
    }
}

/// Says that there is one more than can be read.
#[derive(Debug, Default)]
struct IsAheadOfItself(AtomicU64);

impl Lie for IsAheadOfItself {
    fn end(&self, truth: &FileStorage) -> Position {
        truth.end().plus(self.0.load(Ordering::Relaxed))
    }

    fn commit(&self, truth: &FileStorage, commit: Commit) -> Result<Position, StorageError> {
        let count = commit.records.len() as u64;
        self.0.fetch_add(count, Ordering::Relaxed);
        std::thread::yield_now();
        let at = truth.commit(commit);
        self.0.fetch_sub(count, Ordering::Relaxed);
        at
    }
}

#[derive(Debug, Default)]
struct ReordersRecords;

impl Lie for ReordersRecords {
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Result<Position, StorageError> {
        commit.records.reverse();
        truth.commit(commit)
    }
}

/// Does what it can of a commit whose preconditions do not hold.
#[derive(Debug, Default)]
struct ForgetsPreconditions;

impl Lie for ForgetsPreconditions {
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Result<Position, StorageError> {
        let writes = commit.writes.clone();
        let outcome = truth.commit(commit);
        if let Err(StorageError::Conflict(_)) = outcome {
            truth.commit(Commit { writes, ..Commit::default() })?;
        }
        outcome
    }
}

/// Checks the preconditions, and then commits.
#[derive(Debug, Default)]
struct ChecksTooEarly;

impl Lie for ChecksTooEarly {
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Result<Position, StorageError> {
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
        std::thread::sleep(std::time::Duration::from_micros(50));
        truth.commit(commit)
    }
}

/// Checks a precondition of what the commit writes itself against that.
#[derive(Debug, Default)]
struct ChecksTooLate;

impl Lie for ChecksTooLate {
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Result<Position, StorageError> {
        let writes = commit.writes.clone();
        commit.preconditions.retain(|precondition| match precondition {
            Precondition::State { key, value } => {
                !writes.iter().any(|write| write.key == *key && write.value == *value)
            }
            _ => true,
        });
        truth.commit(commit)
    }
}

#[derive(Debug, Default)]
struct KeepsTheFirstWrite;

impl Lie for KeepsTheFirstWrite {
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Result<Position, StorageError> {
        commit.writes.reverse();
        truth.commit(commit)
    }
}

#[derive(Debug, Default)]
struct DropsHeaders;

impl Lie for DropsHeaders {
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Result<Position, StorageError> {
        for record in &mut commit.records {
            let mut envelope: Envelope = (*record.envelope).clone();
            envelope.headers = Headers::default();
            *record = Record { envelope: envelope.into(), payload: record.payload.clone() };
        }
        truth.commit(commit)
    }
}

#[derive(Debug, Default)]
struct IgnoresFilters;

impl Lie for IgnoresFilters {
    fn read(&self, truth: &FileStorage, query: &Query) -> Result<Page, StorageError> {
        let all = Query::from(query.from).to(query.to).records(query.max_records);
        truth.read(&all.bytes(query.max_bytes))
    }
}

#[derive(Debug, Default)]
struct IgnoresLimits;

impl Lie for IgnoresLimits {
    fn read(&self, truth: &FileStorage, query: &Query) -> Result<Page, StorageError> {
        truth.read(&query.clone().records(query.max_records.saturating_add(1)))
    }
}

/// Shows the entry after which a scan was to begin.
#[derive(Debug, Default)]
struct ScansFromTheStart;

impl Lie for ScansFromTheStart {
    fn scan(
        &self,
        truth: &FileStorage,
        (prefix, after, max): (&[u8], Option<&[u8]>, usize),
    ) -> Result<Vec<KeyValue>, StorageError> {
        let mut found = truth.scan(prefix, None, usize::MAX)?;
        found.retain(|(key, _)| after.is_none_or(|after| &**key >= after));
        found.truncate(max);
        Ok(found)
    }
}

/// Drops what a trim was to keep for its age.
#[derive(Debug, Default)]
struct TrimsTooMuch(Mutex<Option<Position>>);

impl Lie for TrimsTooMuch {
    fn trim(&self, truth: &FileStorage, trim: &Trim) -> Result<Position, StorageError> {
        let first = trim.before.min(truth.end());
        *self.0.lock().unwrap() = Some(first);
        Ok(first)
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Result<Page, StorageError> {
        match *self.0.lock().unwrap() {
            Some(first) if query.from < first => {
                Err(StorageError::Truncated { wanted: query.from, first })
            }
            _ => truth.read(query),
        }
    }
}

#[derive(Debug, Default)]
struct StaysOpen;

impl Lie for StaysOpen {
    fn close(&self, _: &FileStorage) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Keeps the newest commit in memory until the next one comes, and does not think of it when closed.
#[derive(Debug, Default)]
struct LosesTheLast(Mutex<Option<Commit>>);

impl LosesTheLast {
    fn write(&self, truth: &FileStorage) -> Result<(), StorageError> {
        self.0.lock().unwrap().take().map_or(Ok(()), |commit| truth.commit(commit).map(drop))
    }
}

impl Lie for LosesTheLast {
    fn end(&self, truth: &FileStorage) -> Position {
        self.write(truth).unwrap();
        truth.end()
    }

    fn commit(&self, truth: &FileStorage, commit: Commit) -> Result<Position, StorageError> {
        self.write(truth)?;
        let end = truth.end();
        *self.0.lock().unwrap() = Some(commit);
        Ok(end)
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Result<Page, StorageError> {
        self.write(truth)?;
        truth.read(query)
    }

    fn get(&self, truth: &FileStorage, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.write(truth)?;
        truth.get(key)
    }
}

/// Takes commits into memory after a failure, as if nothing had happened.
#[derive(Debug, Default)]
struct GoesOnAfterFailure;

impl Lie for GoesOnAfterFailure {
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Result<Position, StorageError> {
        match truth.commit(commit) {
            Err(StorageError::Poisoned) => Ok(truth.end()),
            outcome => outcome,
        }
    }
}

/// Shows the records of a commit that failed, though they may be gone after a restart.
#[derive(Debug, Default)]
struct ShowsWhatFailed(Mutex<Vec<Record>>);

impl Lie for ShowsWhatFailed {
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Result<Position, StorageError> {
        let records = commit.records.clone();
        let outcome = truth.commit(commit);
        if let Err(StorageError::Indeterminate { .. }) = outcome {
            *self.0.lock().unwrap() = records;
        }
        outcome
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Result<Page, StorageError> {
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
