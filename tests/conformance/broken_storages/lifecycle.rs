//! Lies about closing and restarting.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use tidings::{
    Position,
    storage::{Commit, FileStorage, Query, Storage, StorageError},
};

use super::{Committed, Lie, Read, Value, finds};

lies! {
    one_that_stays_open: StaysOpen, a_closed_storage_refuses_everything;
    one_that_fails_to_close_twice: FailsToCloseTwice::default(), closing_twice_is_fine;
    one_that_keeps_its_lock: StaysOpen, a_store_can_be_opened_again_at_once;
    one_that_loses_the_last: LosesTheLast::default(), a_restart_loses_nothing_and_adds_nothing;
}

lie! {
    StaysOpen;
    fn close(&self, _: &FileStorage) -> Result<(), StorageError> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct FailsToCloseTwice(AtomicBool);

impl Lie for FailsToCloseTwice {
    fn close(&self, truth: &FileStorage) -> Result<(), StorageError> {
        if self.0.swap(true, Ordering::AcqRel) {
            return Err(StorageError::Closed);
        }
        truth.close()
    }
}

/// Keeps the newest commit in memory until the next one comes, and does not think of it when it is
/// closed.
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

    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        self.write(truth)?;
        let end = truth.end();
        *self.0.lock().unwrap() = Some(commit);
        Ok(end)
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        self.write(truth)?;
        truth.read(query)
    }

    fn get(&self, truth: &FileStorage, key: &[u8]) -> Value {
        self.write(truth)?;
        truth.get(key)
    }
}
