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

/// Commits that are tried in the same way.
const FEW: u64 = 4;

/// An opening makes no more calls than this.
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

/// Sees what a failed commit left, and ends its life.
type Then<'a, S> = &'a dyn Fn(&S, &mut Story, &dyn StorageFaults, &StorageError, u64) -> S;

/// Lives of a store, in each of which one commit may fail.
struct Lives<'a, F: StorageFixture> {
    fixture: &'a F,
    faults: &'a dyn StorageFaults,
    story: Story,
    storage: F::Storage,
    then: Then<'a, F::Storage>,
}

impl<F: StorageFixture> Lives<'_, F> {
    /// A few of them, whose commits differ in what they hold and so in the calls that they make.
    /// Returns how many commits succeeded.
    fn few(&mut self, durability: Durability, nth: u64, fail: impl Fn(&dyn StorageFaults)) -> u64 {
        let mut successes = 0;
        for _ in 0..FEW {
            self.story.go_on(&self.storage, 2, Durability::Buffered);
            fail(self.faults);
            let outcome = self.story.commit(&self.storage, durability);
            self.faults.heal();
            successes += u64::from(outcome.is_ok());
            self.storage = match &outcome {
                Err(error) => (self.then)(&self.storage, &mut self.story, self.faults, error, nth),
                Ok(()) => self.end(durability, nth),
            };
        }
        successes
    }

    /// The worst end that a commit of this durability has to survive.
    fn end(&mut self, durability: Durability, seed: u64) -> F::Storage {
        self.story.check(&self.storage, "after a commit that did not fail");
        let is_synced = durability == Durability::Synced;
        let crash = if is_synced { Crash::Power { seed } } else { Crash::Process };
        self.story.crash(self.fixture, self.faults, crash)
    }
}

/// Has commits fail at their first call, then at their second, and so on until they succeed; each in a
/// life of its own. First at all calls from that one on, and then at that one alone.
fn at_every_call<F: StorageFixture>(
    fixture: &F,
    durability: &[Durability],
    then: Then<'_, F::Storage>,
) {
    let Some(faults) = faults(fixture) else { return };
    let (story, storage) = (Story::default(), open(fixture));
    let mut lives = Lives { fixture, faults, story, storage, then };
    for durability in durability {
        let mut calls = 1;
        while lives.few(*durability, calls, |faults| faults.fail_from(calls)) < FEW {
            assert!(calls < MOST_CALLS, "a commit of a few records makes {calls} calls");
            calls += 1;
        }
        assert!(calls > 1, "commits succeed though every call below them fails");
        for nth in 1..=calls {
            lives.few(*durability, nth, |faults| faults.fail_once(nth));
        }
    }
}

pub(super) fn a_commit_that_fails_is_there_whole_or_not_at_all<F: StorageFixture>(fixture: &F) {
    let both = [Durability::Buffered, Durability::Synced];
    at_every_call(fixture, &both, &|_, story, faults, _, nth| {
        let crash = if nth % 3 == 0 { Crash::Process } else { Crash::Power { seed: nth } };
        story.crash(fixture, faults, crash)
    });
}

pub(super) fn after_a_failed_write_nothing_is_accepted_and_reads_go_on<F: StorageFixture>(
    fixture: &F,
) {
    at_every_call(fixture, &[Durability::Synced], &|storage, story, faults, error, _| {
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
    at_every_call(fixture, &[Durability::Synced], &|storage, story, faults, _, nth| {
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
