//! What every storage must do, as tests that anybody can run against their own.

mod lifecycle;
mod log;
mod model;
mod state;

use std::{fmt::Debug, sync::Arc};

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
}

/// Runs the whole suite, each check on a store of its own.
///
/// ```
/// use tidings::{
///     storage::{MemoryStorage, StorageError},
///     testing::conformance::{self, StorageFixture},
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
/// // In a test of yours:
/// conformance::storage(|| Memory(MemoryStorage::new()));
/// ```
///
/// # Panics
/// A check failed; the message says which, and what was expected.
pub fn storage<F: StorageFixture>(fresh: impl Fn() -> F) {
    let checks = [log::checks(), state::checks(), lifecycle::checks(), model::checks()];
    for (name, check) in checks.into_iter().flatten() {
        let running = Running(name);
        check(&fresh());
        drop(running);
    }
}

/// A check with the sentence that it proves.
type Check<F> = (&'static str, fn(&F));

/// Says which check it was when one panics.
struct Running(&'static str);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("storage conformance: this does not hold: {}", self.0);
        }
    }
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
#[allow(clippy::needless_pass_by_value)] // reads better where it is called
fn same<T: PartialEq + Debug>(found: T, expected: T, what: &str) {
    assert!(found == expected, "{what}: expected {expected:?}, found {found:?}");
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
