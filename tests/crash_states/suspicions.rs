//! What could go wrong with the protocol, one suspicion at a time.

use crate::{
    check::Checker,
    failures::quiet,
    losses::{Dice, any_loss},
    model::{Known, Op},
    run::{Crash, crashes},
    setup::Setup,
};

/// Crashes everywhere in the last operation, and again everywhere in the recovery.
pub(crate) fn crash_twice(setup: &Setup, ops: &[Op]) -> Result<(), String> {
    let mut checker = Checker::new(setup, 2);
    for (at, crash) in crashes(setup, ops)?.iter().enumerate() {
        let result = checker.crash_every_recovery(crash);
        result.map_err(|error| format!("{ops:?}, crash {at}: {error}"))?;
    }
    println!("{} states", checker.nested);
    Ok(())
}

#[test]
fn nothing_is_removed_because_of_a_manifest_that_a_power_loss_could_take_back() {
    crash_twice(&Setup::grown(true), &[Op::Batch, Op::Upkeep]).unwrap();
    crash_twice(&Setup::grown(true), &[Op::Batch, Op::Upkeep, Op::Upkeep]).unwrap();
    crash_twice(&Setup::grown(false), &[Op::Batch, Op::Close]).unwrap();
}

#[test]
fn a_recovery_that_fails_is_no_worse_than_one_that_crashes() {
    quiet();
    let runs: [&[Op]; 5] = [
        &[Op::Buffered, Op::Buffered],
        &[Op::Buffered, Op::Batch],
        &[Op::Large, Op::Upkeep, Op::Large],
        &[Op::Batch, Op::Upkeep, Op::Upkeep],
        &[Op::Batch, Op::Close],
    ];
    for setup in [Setup::fresh(true), Setup::grown(true)] {
        for ops in runs {
            let mut checker = Checker::new(&setup, 3);
            let mut dice = Dice::new(4);
            for crash in crashes(&setup, ops).unwrap() {
                let torn = any_loss(&crash.disk, &mut dice);
                let known = Known { acknowledged: crash.known.synced, ..crash.known.clone() };
                for crash in [crash, Crash { disk: torn, known }] {
                    let result = checker.fail_every_recovery(&crash);
                    result.unwrap_or_else(|error| panic!("{ops:?}: {error}"));
                }
            }
        }
    }
}

#[test]
fn a_roll_and_the_recovery_from_its_crash_may_both_be_cut_short() {
    for eager in [false, true] {
        crash_twice(&Setup::fresh(eager), &[]).unwrap();
        crash_twice(&Setup::fresh(eager), &[Op::Buffered, Op::Large]).unwrap();
        crash_twice(&Setup::fresh(eager), &[Op::Large, Op::Upkeep, Op::Large]).unwrap();
        crash_twice(&Setup::fresh(eager), &[Op::Large, Op::Upkeep, Op::Buffered, Op::Huge])
            .unwrap();
    }
}

#[test]
fn a_close_and_the_opening_after_it_may_both_be_cut_short() {
    crash_twice(&Setup::fresh(false), &[Op::Buffered, Op::Buffered, Op::Close]).unwrap();
    crash_twice(&Setup::fresh(false), &[Op::Buffered, Op::Close, Op::Reopen]).unwrap();
    crash_twice(&Setup::fresh(false), &[Op::Large, Op::Upkeep, Op::Close]).unwrap();
}
