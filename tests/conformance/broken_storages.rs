//! Storages that lie, each in one way, and the check that finds it.

mod concurrent;
mod crashes;
mod lifecycle;
mod log;
mod planted;
mod pretender;
mod state;

use tidings::{
    Position,
    storage::{Page, StorageError},
    storage_conformance,
    testing::conformance::{self, STORAGE_CHECKS},
};

use self::pretender::{Fixture, Honest, Lie};
use crate::is_found;

type Committed = Result<Position, StorageError>;
type Read = Result<Page, StorageError>;
type Value = Result<Option<Vec<u8>>, StorageError>;

storage_conformance!(honest, Fixture::<Honest>::default());

#[test]
fn every_check_finds_a_liar() {
    let found_by = [
        concurrent::FOUND_BY,
        crashes::FOUND_BY,
        lifecycle::FOUND_BY,
        log::FOUND_BY,
        planted::FOUND_BY,
        state::FOUND_BY,
    ];
    crate::every_check_finds_a_liar(STORAGE_CHECKS, &found_by);
}

/// The check fails that is about the lie.
#[track_caller]
#[allow(clippy::needless_pass_by_value)] // the lie says of which type it is, and no more
fn finds<L: Lie>(_: L, check: &str) {
    let run = |check: &str| conformance::storage_check(check, Fixture::<L>::default);
    is_found(std::any::type_name::<L>(), check, STORAGE_CHECKS, run);
}

/// So long that others come in between.
fn linger() {
    std::thread::sleep(std::time::Duration::from_micros(50));
}
