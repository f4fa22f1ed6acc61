//! Lies about the log: positions, reads, envelopes.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use tidings::{
    Envelope, Headers, Position,
    storage::{Commit, FileStorage, Query, Record, RecordRef, Storage, StorageError, Trim},
};

use super::{Committed, Lie, Read, finds};

lies! {
    one_that_begins_at_two: BeginsAtTwo, a_new_store_is_empty;
    one_that_counts_commits: CountsCommits, positions_are_dense_from_1;
    one_that_reorders_records: ReordersRecords, a_commits_records_are_adjacent_and_in_order;
    one_that_names_the_last: NamesTheLast, a_commit_without_records_has_the_next_position;
    one_that_ignores_limits: IgnoresLimits, reading_begins_anywhere_and_keeps_its_limits;
    one_that_fails_past_the_end: FailsPastTheEnd, reading_at_or_past_the_end_yields_nothing;
    one_that_reads_on: ReadsOn, a_read_stops_before_a_position;
    one_that_ignores_filters: IgnoresFilters, a_filter_finds_what_matches_and_nothing_else;
    one_that_shows_on: ShowsOn, a_visit_shows_what_a_read_returns_until_told_to_stop;
    one_that_trims_too_much: TrimsTooMuch::default(), trimming_drops_the_oldest_records_and_no_others;
    one_that_trims_what_fits: TrimsTooMuch::default(), trimming_to_a_size_keeps_what_fits;
    one_that_drops_headers: DropsHeaders, an_envelope_comes_back_with_every_field;
    one_that_shares_versions: SharesVersions, records_of_many_shapes_share_a_commit;
    one_that_cuts_payloads: CutsPayloads, empty_and_large_payloads_come_back;
    one_that_does_half_of_it: DoesHalfOfIt, a_commit_that_is_too_large_changes_nothing;
    one_that_drops_what_is_much: DropsWhatIsMuch, a_random_run_matches_the_model;
}

lie! {
    /// Is one position ahead.
    BeginsAtTwo;
    fn end(&self, truth: &FileStorage) -> Position {
        truth.end().next()
    }
}

lie! {
    /// Has the positions of a commit's records be one.
    CountsCommits;
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        truth.commit(commit).map(|at| Position::new(at.get() / 2 + 1).unwrap())
    }
}

lie! {
    ReordersRecords;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        commit.records.reverse();
        truth.commit(commit)
    }
}

lie! {
    /// Gives a commit without records the position of the last record.
    NamesTheLast;
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        let is_empty = commit.records.is_empty();
        let at = truth.commit(commit)?;
        Ok(Position::new(at.get() - u64::from(is_empty)).unwrap_or(at))
    }
}

lie! {
    IgnoresLimits;
    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        truth.read(&query.clone().records(query.max_records.saturating_add(1)))
    }
}

lie! {
    FailsPastTheEnd;
    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        if query.from > truth.end() {
            return Err(StorageError::Truncated { wanted: query.from, first: truth.end() });
        }
        truth.read(query)
    }
}

lie! {
    ReadsOn;
    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        truth.read(&query.clone().to(Position::LAST))
    }
}

lie! {
    IgnoresFilters;
    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        let all = Query::from(query.from).to(query.to).records(query.max_records);
        truth.read(&all.bytes(query.max_bytes))
    }
}

lie! {
    /// Goes on when it is told to stop.
    ShowsOn;
    fn visit(
        &self,
        truth: &FileStorage,
        query: &Query,
        visit: &mut dyn FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Committed {
        truth.visit(query, &mut |record| {
            _ = visit(record);
            ControlFlow::Continue(())
        })
    }
}

/// Drops what a trim was to keep for its age, or because it fits.
#[derive(Debug, Default)]
struct TrimsTooMuch(Mutex<Option<Position>>);

impl Lie for TrimsTooMuch {
    fn trim(&self, truth: &FileStorage, trim: &Trim) -> Committed {
        let first = trim.before.min(truth.end());
        *self.0.lock().unwrap() = Some(first);
        Ok(first)
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        match *self.0.lock().unwrap() {
            Some(first) if query.from < first => {
                Err(StorageError::Truncated { wanted: query.from, first })
            }
            _ => truth.read(query),
        }
    }
}

fn with_envelopes(mut commit: Commit, change: impl Fn(&mut Envelope)) -> Commit {
    for record in &mut commit.records {
        change(Arc::make_mut(&mut record.envelope));
    }
    commit
}

lie! {
    DropsHeaders;
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        truth.commit(with_envelopes(commit, |envelope| envelope.headers = Headers::default()))
    }
}

lie! {
    /// Has all records of a commit be of the version of the first.
    SharesVersions;
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        let version = commit.records.first().map_or(1, |record| record.envelope.version);
        truth.commit(with_envelopes(commit, |envelope| envelope.version = version))
    }
}

lie! {
    /// As a length of 16 bits.
    CutsPayloads;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        for Record { payload, .. } in &mut commit.records {
            payload.truncate(0xffff);
        }
        truth.commit(commit)
    }
}

lie! {
    /// Does the writes of a commit whose records are too large.
    DoesHalfOfIt;
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        let writes = commit.writes.clone();
        let outcome = truth.commit(commit);
        if let Err(StorageError::TooLarge { .. }) = outcome {
            truth.commit(Commit { writes, ..Commit::default() })?;
        }
        outcome
    }
}

lie! {
    /// Drops the writes of a commit that has several of both.
    DropsWhatIsMuch;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        if commit.records.len() == 3 && commit.writes.len() == 3 {
            commit.writes.pop();
        }
        truth.commit(commit)
    }
}
