//! Going on after a call has panicked, and a crash after that.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tidings::{
    storage::{FileStorage, Storage, StorageError},
    testing::{Fault, MemoryDisk},
};

use crate::{
    failures::quiet,
    losses::{Dice, any_loss},
    model::{Known, Op, whole_commits},
    setup::Setup,
};

/// Does one thing. True: it succeeded.
fn step(storage: &FileStorage, known: &mut Known, op: Op) -> bool {
    let commit = op.is_commit().then(|| known.begin(op));
    let run = || match (op, commit) {
        (_, Some(commit)) => storage.commit(commit).map(|_| ()),
        (Op::Close, _) => storage.close(),
        _ => storage.upkeep().map(|_| ()),
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) if op.is_commit() => known.acknowledge(),
        Ok(Ok(())) => {}
        Ok(Err(StorageError::Poisoned | StorageError::Closed)) if op.is_commit() => {
            known.begun.pop();
        }
        _ => return false,
    }
    true
}

/// The first one panics at a call, the next one is cut short at another. `None`: the first one was
/// over before the call.
fn panic_then_crash(
    setup: &Setup,
    ops: [Op; 2],
    panic: u64,
    crash: u64,
) -> Option<(MemoryDisk, Known)> {
    let (disk, mut known) = (setup.disk.copy(), setup.known.clone());
    let storage = setup.open(disk.clone()).unwrap();
    assert!(step(&storage, &mut known, Op::Batch));
    let before = disk.io_count();
    disk.fail(Fault::at(panic).once().panic());
    step(&storage, &mut known, ops[0]);
    if disk.io_count() < before + panic {
        return None;
    }
    disk.fail(Fault::at(crash).stop());
    step(&storage, &mut known, ops[1]);
    disk.heal();
    Some((disk, known))
}

fn all(setup: &Setup, ops: [Op; 2]) {
    let mut dice = Dice::new(5);
    for panic in 1.. {
        for crash in 1..40 {
            let Some((disk, known)) = panic_then_crash(setup, ops, panic, crash) else { return };
            let killed = (disk.after_kill(), known.acknowledged);
            for (after, least) in [killed, (any_loss(&disk, &mut dice), known.synced)] {
                let found = setup
                    .open(after)
                    .map_err(|error| format!("refused: {error}"))
                    .and_then(|storage| whole_commits(&storage, &known))
                    .unwrap_or_else(|error| panic!("{ops:?}, {panic}, {crash}: {error}"));
                assert!(found >= least, "{ops:?}, {panic}, {crash}: {found} of {least}");
            }
        }
    }
}

#[test]
fn nothing_is_built_on_a_manifest_that_was_being_replaced_when_a_call_panicked() {
    quiet();
    for setup in [Setup::fresh(true), Setup::grown(true)] {
        for first in [Op::Upkeep, Op::Close] {
            for next in [Op::Upkeep, Op::Large, Op::Synced] {
                all(&setup, [first, next]);
            }
        }
    }
}
