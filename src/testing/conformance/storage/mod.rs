//! What every storage must do.

mod concurrent;
mod crashes;
mod faults;
mod lifecycle;
mod log;
mod model;
mod state;
mod story;

use std::sync::Arc;

pub use self::faults::{Crash, StorageFaults};
use super::{Check, run, same};
use crate::{
    event::Durability,
    message::{Envelope, MessageId, Position},
    storage::{Commit, Query, Record, Storage, StorageError},
};

/// One store, empty at first, that can be opened again after it was closed.
pub trait StorageFixture {
    /// The storage under test.
    type Storage: Storage;

    /// Opens the store. Opening it again after [`Storage::close`] is a restart.
    ///
    /// # Errors
    /// Whatever the storage says; the suite reports it as a failure.
    fn open(&self) -> Result<Self::Storage, StorageError>;

    /// Whether the store keeps what it holds across a restart.
    fn persistent(&self) -> bool;

    /// How what lies below the store can be made to fail and to lose power, where it can. Without it
    /// the checks of failures and crashes pass without a look, and say so on standard error.
    fn faults(&self) -> Option<&dyn StorageFaults> {
        None
    }
}

/// Makes a test of every check that a storage has to pass, named after what it proves.
///
/// `storage_conformance!(name, fixture)` is a module of that name with one `#[test]` a check. The
/// fixture is any expression that makes a [`StorageFixture`](crate::testing::conformance::StorageFixture)
/// of a new, empty store; it is evaluated for each check, and sees what the module around it sees. Attributes in
/// front of the name go to every test.
///
/// ```
/// use tidings::{
///     storage::{MemoryStorage, StorageError},
///     storage_conformance,
///     testing::conformance::StorageFixture,
/// };
///
/// struct Memory(MemoryStorage);
///
/// impl StorageFixture for Memory {
///     type Storage = MemoryStorage;
///
///     fn open(&self) -> Result<MemoryStorage, StorageError> {
///         Ok(self.0.reopened())
///     }
///
///     fn persistent(&self) -> bool {
///         true
///     }
/// }
///
/// storage_conformance!(memory, Memory(MemoryStorage::new()));
/// storage_conformance!(#[ignore = "takes long"] memory_again, Memory(MemoryStorage::new()));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! storage_conformance {
    ($(#[$attribute:meta])* $name:ident, $fixture:expr $(,)?) => {
        $crate::__storage_checks! {
            [$crate::__conformance_tests]
            storage_check [$(#[$attribute])*] $name, $fixture,
        }
    };
}

/// Every check of a storage by its name, which is a test's, handed to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __storage_checks {
    ([$($then:tt)*] $($arguments:tt)*) => {
        $($then)* ! {
            $($arguments)*
            log: {
                a_new_store_is_empty
                positions_are_dense_from_1
                a_commits_records_are_adjacent_and_in_order
                a_commit_without_records_has_the_next_position
                reading_begins_anywhere_and_keeps_its_limits
                reading_at_or_past_the_end_yields_nothing
                a_read_stops_before_a_position
                a_filter_finds_what_matches_and_nothing_else
                a_visit_shows_what_a_read_returns_until_told_to_stop
                trimming_drops_the_oldest_records_and_no_others
                trimming_to_a_size_keeps_what_fits
                an_envelope_comes_back_with_every_field
                records_of_many_shapes_share_a_commit
                empty_and_large_payloads_come_back
                a_commit_that_is_too_large_changes_nothing
            }
            state: {
                state_is_put_replaced_and_removed
                the_last_write_to_a_key_wins
                keys_and_values_are_any_bytes
                a_scan_keeps_prefix_start_and_limit
                a_commit_happens_while_its_preconditions_hold
                a_conflict_names_the_precondition_and_changes_nothing
                preconditions_look_at_the_state_before_the_commit
            }
            lifecycle: {
                a_closed_storage_refuses_everything
                closing_twice_is_fine
                a_store_can_be_opened_again_at_once
                a_restart_loses_nothing_and_adds_nothing
            }
            concurrent: {
                commits_of_several_threads_stay_whole_and_dense
                reads_go_on_while_others_commit
                a_position_never_becomes_visible_after_a_higher_one
                a_commit_becomes_visible_as_a_whole
                of_commits_with_the_same_precondition_one_happens
            }
            crashes: {
                a_synced_commit_survives_a_power_loss
                a_buffered_commit_survives_the_end_of_the_process
                a_power_loss_leaves_whole_commits_in_order
                a_commit_that_fails_is_there_whole_or_not_at_all
                after_a_failed_write_nothing_is_accepted_and_reads_go_on
                what_comes_after_a_failed_write_is_not_acknowledged_and_lost
                an_opening_that_fails_harms_nothing
            }
            model: {
                a_random_run_matches_the_model
                another_random_run_matches_the_model
            }
        }
    };
}

macro_rules! table {
    ($fixture:ident, $($area:ident: { $($check:ident)* })*) => {
        [$($((stringify!($check), $area::$check as Check<$fixture>),)*)*]
    };
}

macro_rules! names {
    ($($area:ident: { $($check:ident)* })*) => {
        &[$($(stringify!($check),)*)*]
    };
}

/// The names of all checks of a storage.
pub const STORAGE_CHECKS: &[&str] = __storage_checks!([names]);

/// Runs every check of a storage, each on a store of its own. The same as
/// [`storage_conformance!`](crate::storage_conformance), in one test.
///
/// ```
/// # use tidings::{
/// #     storage::{MemoryStorage, StorageError},
/// #     testing::conformance::{self, StorageFixture},
/// # };
/// # struct Memory(MemoryStorage);
/// # impl StorageFixture for Memory {
/// #     type Storage = MemoryStorage;
/// #     fn open(&self) -> Result<MemoryStorage, StorageError> { Ok(self.0.reopened()) }
/// #     fn persistent(&self) -> bool { true }
/// # }
/// // In a test of yours:
/// conformance::storage(|| Memory(MemoryStorage::new()));
/// ```
///
/// # Panics
/// A check failed; the message says which, and what was expected.
pub fn storage<F: StorageFixture>(fresh: impl Fn() -> F) {
    for (name, check) in checks() {
        run("storage", name, check, &fresh());
    }
}

/// Runs one check of a storage, one of [`STORAGE_CHECKS`].
///
/// # Panics
/// The check failed, or there is none of that name.
pub fn storage_check<F: StorageFixture>(name: &str, fresh: impl FnOnce() -> F) {
    let mut checks = checks().into_iter();
    let Some((name, check)) = checks.find(|(known, _)| *known == name) else {
        panic!("there is no check `{name}` of a storage");
    };
    run("storage", name, check, &fresh());
}

fn checks<F: StorageFixture>() -> impl IntoIterator<Item = (&'static str, Check<F>)> {
    __storage_checks!([table] F,)
}

/// The value, or a panic that says what was being done.
#[track_caller]
fn must<T>(result: Result<T, StorageError>, doing: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{doing} failed: {error}"),
    }
}

#[track_caller]
fn open<F: StorageFixture>(fixture: &F) -> F::Storage {
    must(fixture.open(), "opening the store")
}

#[track_caller]
fn position(number: u64) -> Position {
    match Position::new(number) {
        Some(position) => position,
        None => panic!("positions begin at 1"),
    }
}

/// A record that can be told from those with other numbers.
fn record(number: u64) -> Record {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Record {
        envelope: Arc::new(Envelope::new("conformance.record", 1, MessageId::from_bytes(id))),
        payload: number.to_string().into_bytes(),
    }
}

fn records(numbers: impl IntoIterator<Item = u64>) -> Vec<Record> {
    numbers.into_iter().map(record).collect()
}

fn of_records(records: Vec<Record>) -> Commit {
    Commit { records, durability: Durability::Buffered, ..Commit::default() }
}

/// The records of one page, whose positions must be consecutive.
#[track_caller]
fn read(storage: &impl Storage, from: Position, most: usize, bytes: usize) -> Vec<Record> {
    let page = must(storage.read(&Query::from(from).records(most).bytes(bytes)), "reading");
    let next = from.plus(page.records.len() as u64);
    same(page.next, next, "where a read says to go on");
    let numbered = (0..).zip(page.records);
    let records = numbered.map(|(at, (position, record))| {
        same(position, from.plus(at), "the position of a record");
        record
    });
    records.collect()
}

/// Everything from a position on, in as many reads as it takes.
#[track_caller]
fn read_from(storage: &impl Storage, from: Position) -> Vec<Record> {
    let mut found = Vec::new();
    loop {
        let next = from.plus(found.len() as u64);
        let more = read(storage, next, 100, 1 << 20);
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}
