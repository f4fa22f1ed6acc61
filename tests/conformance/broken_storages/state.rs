//! Lies about the state and about preconditions.

use tidings::storage::{Commit, FileStorage, KeyValue, Precondition, Storage, StorageError, Write};

use super::{Committed, Lie, Value, finds};

lies! {
    one_that_keeps_what_is_removed: KeepsWhatIsRemoved, state_is_put_replaced_and_removed;
    one_that_keeps_the_first_write: KeepsTheFirstWrite, the_last_write_to_a_key_wins;
    one_that_takes_text_alone: TakesTextAlone, keys_and_values_are_any_bytes;
    one_that_scans_from_the_start: ScansFromTheStart, a_scan_keeps_prefix_start_and_limit;
    one_that_refuses_what_is_absent: RefusesWhatIsAbsent, a_commit_happens_while_its_preconditions_hold;
    one_that_writes_in_spite_of_it: WritesInSpiteOfIt, a_conflict_names_the_precondition_and_changes_nothing;
    one_that_checks_too_late: ChecksTooLate, preconditions_look_at_the_state_before_the_commit;
    one_that_scans_one_too_few: ScansOneTooFew, another_random_run_matches_the_model;
}

lie! {
    KeepsWhatIsRemoved;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        commit.writes.retain(|write| write.value.is_some());
        truth.commit(commit)
    }
}

lie! {
    KeepsTheFirstWrite;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        commit.writes.reverse();
        truth.commit(commit)
    }
}

lie! {
    /// Keeps keys as text, with whatever is no text replaced.
    TakesTextAlone;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
        for Write { key, .. } in &mut commit.writes {
            *key = String::from_utf8_lossy(key).into_owned().replace('\0', "").into_bytes();
        }
        truth.commit(commit)
    }
    fn get(&self, truth: &FileStorage, key: &[u8]) -> Value {
        truth.get(key)
    }
}

lie! {
    /// Shows the entry after which a scan was to begin.
    ScansFromTheStart;
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

lie! {
    /// Cannot tell a key that is absent from one that has another value.
    RefusesWhatIsAbsent;
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        let absent = |it: &&Precondition| matches!(it, Precondition::State { value: None, .. });
        match commit.preconditions.iter().find(absent) {
            Some(absent) => Err(StorageError::Conflict(absent.clone())),
            None => truth.commit(commit),
        }
    }
}

lie! {
    /// Does the writes of a commit whose preconditions do not hold.
    WritesInSpiteOfIt;
    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        let writes = commit.writes.clone();
        let outcome = truth.commit(commit);
        if let Err(StorageError::Conflict(_)) = outcome {
            truth.commit(Commit { writes, ..Commit::default() })?;
        }
        outcome
    }
}

lie! {
    /// Takes what the commit writes itself for what was there.
    ChecksTooLate;
    fn commit(&self, truth: &FileStorage, mut commit: Commit) -> Committed {
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

lie! {
    /// Leaves the last of three entries out.
    ScansOneTooFew;
    fn scan(
        &self,
        truth: &FileStorage,
        (prefix, after, max): (&[u8], Option<&[u8]>, usize),
    ) -> Result<Vec<KeyValue>, StorageError> {
        truth.scan(prefix, after, if max == 3 { 2 } else { max })
    }
}
