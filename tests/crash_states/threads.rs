//! Commits, upkeep, reads and a close on threads of their own.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tidings::{
    Position,
    storage::{FileStorage, Query, Storage, StorageError},
    testing::Fault,
};

use crate::{
    losses::{Dice, any_loss},
    model::{Known, Op, whole_commits},
    setup::Setup,
};

/// Commits until one fails for good.
fn commit(storage: &FileStorage, mut known: Known, mut dice: Dice) -> Known {
    const OPS: [Op; 4] = [Op::Synced, Op::Buffered, Op::Batch, Op::Large];
    for _ in 0..40 {
        let op = OPS[usize::try_from(dice.below(4)).unwrap()];
        match storage.commit(known.begin(op)) {
            Ok(_) => known.acknowledge(),
            Err(StorageError::Indeterminate { .. }) => return known,
            Err(StorageError::Poisoned | StorageError::Closed) => {
                known.begun.pop();
                return known;
            }
            Err(StorageError::Io { .. } | StorageError::Full { .. }) => {
                known.begun.pop();
            }
            Err(error) => panic!("{error}"),
        }
    }
    known
}

/// Reads whatever there is, until told to stop.
fn read(storage: &FileStorage, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let read = storage.read(&Query::from(Position::FIRST).records(1000));
        let scan = storage.scan(b"", None, 10);
        for error in [read.err(), scan.err()].into_iter().flatten() {
            assert!(matches!(error, StorageError::Io { .. } | StorageError::Closed), "{error}");
        }
    }
}

fn keep_up(storage: &FileStorage, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match storage.upkeep() {
            Err(error @ (StorageError::Corrupt { .. } | StorageError::Conflict(_))) => {
                panic!("upkeep: {error}")
            }
            _ => thread::yield_now(),
        }
    }
}

fn round(seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let setup = Setup::fresh(seed.is_multiple_of(2));
    let disk = setup.disk.clone();
    let storage = setup.open(disk.clone()).unwrap();
    if dice.below(2) == 0 {
        disk.fail(Fault::at(dice.below(600)).once());
    }
    let (stop, asked) = (AtomicBool::new(false), dice.below(3) == 0);
    let commits = Dice::new(dice.bits());
    let (mut known, closed) = thread::scope(|scope| {
        scope.spawn(|| keep_up(&storage, &stop));
        scope.spawn(|| read(&storage, &stop));
        let commits = scope.spawn(|| commit(&storage, Known::default(), commits));
        let closed = asked && {
            (0..dice.below(200)).for_each(|_| thread::yield_now());
            storage.close().is_ok()
        };
        let known = commits.join();
        stop.store(true, Ordering::Relaxed);
        (known.unwrap(), closed)
    });
    if closed {
        known.synced = known.acknowledged;
    }
    disk.heal();
    for (after, least) in
        [(disk.after_kill(), known.acknowledged), (any_loss(&disk, &mut dice), known.synced)]
    {
        let storage = setup.open(after).map_err(|error| format!("refused: {error}"))?;
        let found = whole_commits(&storage, &known)?;
        if found < least {
            return Err(format!("{found} commits of {least}"));
        }
    }
    Ok(())
}

#[test]
fn commits_upkeep_reads_and_a_close_at_once_neither_hang_nor_lose_anything() {
    for seed in 0..400 {
        round(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
