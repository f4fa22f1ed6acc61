//! Checks of failing writes and syncs, of crashes, and of what is left after them.

use super::{Crash, StorageFaults, StorageFixture, must, open, story::Story};
use crate::{
    event::Durability,
    storage::{Storage, StorageError},
    testing::conformance::skip,
};

/// Power losses a check.
const SEEDS: u64 = 12;

/// A commit of a few records makes no more calls than this.
const MOST_CALLS: u64 = 200;

/// Neither does an opening.
const MOST_CALLS_OF_OPENING: u64 = 100_000;

/// The part of the fixture that makes it fail.
fn faults<F: StorageFixture>(fixture: &F) -> Option<&dyn StorageFaults> {
    if fixture.faults().is_none() {
        skip("the fixture cannot make the store fail");
    }
    fixture.faults()
}

pub(super) fn a_synced_commit_survives_a_power_loss<F: StorageFixture>(fixture: &F) {
    let Some(faults) = faults(fixture) else { return };
    let mut story = Story::default();
    let mut storage = open(fixture);
    for seed in 0..SEEDS {
        story.go_on(&storage, 1 + seed % 4, Durability::Buffered);
        story.go_on(&storage, 1 + seed % 3, Durability::Synced);
        storage = story.crash(fixture, faults, Crash::Power { seed });
    }
}

pub(super) fn a_buffered_commit_survives_the_end_of_the_process<F: StorageFixture>(fixture: &F) {
    let Some(faults) = faults(fixture) else { return };
    let mut story = Story::default();
    let mut storage = open(fixture);
    for life in 0..SEEDS {
        story.go_on(&storage, 1 + life % 6, Durability::Buffered);
        storage = story.crash(fixture, faults, Crash::Process);
    }
}

pub(super) fn a_power_loss_leaves_whole_commits_in_order<F: StorageFixture>(fixture: &F) {
    let Some(faults) = faults(fixture) else { return };
    let mut story = Story::default();
    let mut storage = open(fixture);
    for seed in 0..4 * SEEDS {
        story.go_on(&storage, 1 + seed % 9, Durability::Buffered);
        storage = story.crash(fixture, faults, Crash::Power { seed });
    }
}

/// Has a commit fail at its first call, then at its second, and so on until it succeeds; each time in
/// a life of its own. `then` sees what the failed commit left, and ends that life.
fn at_every_call<F: StorageFixture>(
    fixture: &F,
    durability: &[Durability],
    then: impl Fn(&F::Storage, &mut Story, &dyn StorageFaults, &StorageError, u64) -> F::Storage,
) {
    let Some(faults) = faults(fixture) else { return };
    let mut story = Story::default();
    let mut storage = open(fixture);
    for durability in durability {
        let mut nth = 0;
        loop {
            nth += 1;
            story.go_on(&storage, 2, Durability::Buffered);
            faults.fail_from(nth);
            let outcome = story.commit(&storage, *durability);
            faults.heal();
            let Err(error) = outcome else { break };
            assert!(nth < MOST_CALLS, "a commit of a few records makes {nth} calls");
            storage = then(&storage, &mut story, faults, &error, nth);
        }
        assert!(nth > 1, "a commit succeeds though every call below it fails");
        story.check(&storage, "after a commit that did not fail");
    }
}

pub(super) fn a_commit_that_fails_is_there_whole_or_not_at_all<F: StorageFixture>(fixture: &F) {
    let both = [Durability::Buffered, Durability::Synced];
    at_every_call(fixture, &both, |_, story, faults, _, nth| {
        let crash = if nth % 3 == 0 { Crash::Process } else { Crash::Power { seed: nth } };
        story.crash(fixture, faults, crash)
    });
}

pub(super) fn after_a_failed_write_nothing_is_accepted_and_reads_go_on<F: StorageFixture>(
    fixture: &F,
) {
    at_every_call(fixture, &[Durability::Synced], |storage, story, faults, error, _| {
        story.check(storage, "after a commit that failed");
        let next = story.commit(storage, Durability::Buffered);
        match (error, next) {
            (_, Err(StorageError::Poisoned)) => {}
            (StorageError::Indeterminate { .. }, next) => {
                panic!("after `{error}` the next commit came out as {next:?}, not `Poisoned`");
            }
            (_, Err(next)) => panic!("after `{error}`, which changed nothing: {next}"),
            (_, Ok(())) => {}
        }
        story.check(storage, "after the commit that came next");
        story.crash(fixture, faults, Crash::Process)
    });
}

pub(super) fn what_comes_after_a_failed_write_is_not_acknowledged_and_lost<F: StorageFixture>(
    fixture: &F,
) {
    at_every_call(fixture, &[Durability::Synced], |storage, story, faults, _, nth| {
        for _ in 0..3 {
            // It may be refused; what is accepted must be kept.
            if story.commit(storage, Durability::Synced).is_err() {
                break;
            }
        }
        story.crash(fixture, faults, Crash::Power { seed: nth })
    });
}

pub(super) fn an_opening_that_fails_harms_nothing<F: StorageFixture>(fixture: &F) {
    let Some(faults) = faults(fixture) else { return };
    let mut story = Story::default();
    let mut storage = open(fixture);
    let mut nth = 1;
    while nth < MOST_CALLS_OF_OPENING {
        story.go_on(&storage, 2, Durability::Buffered);
        story.go_on(&storage, 1, Durability::Synced);
        story.go_on(&storage, 2, Durability::Buffered);
        let crash = Crash::Power { seed: nth };
        faults.crash(crash);
        faults.fail_from(nth);
        let opened = fixture.open();
        faults.heal();
        if let Ok(opened) = opened {
            faults.crash(crash);
            drop(opened);
            let opened = story.reopen(fixture, crash);
            must(opened.close(), "closing");
            return;
        }
        storage = story.crash(fixture, faults, Crash::Power { seed: !nth });
        nth += 1 + nth / 16; // the first ones are of more interest than the thousandth
    }
    panic!("opening makes {MOST_CALLS_OF_OPENING} calls and more");
}
