//! All runs of up to four operations.

use crate::{check::Checker, model::Op, run::crashes, setup::Setup};

pub(crate) const OPS: [Op; 7] =
    [Op::Synced, Op::Buffered, Op::Batch, Op::Large, Op::Upkeep, Op::Close, Op::Reopen];

/// Those that drop something or copy it, and what they get along with.
pub(crate) const DROPPING: [Op; 8] =
    [Op::Trim, Op::Compact, Op::Backup, Op::Buffered, Op::Large, Op::Huge, Op::Upkeep, Op::Reopen];

/// Goes through all runs that begin with these operations.
pub(crate) fn runs(
    checker: &mut Checker<'_>,
    all: &[Op],
    ops: &mut Vec<Op>,
    more: usize,
) -> Result<(), String> {
    let said = |error, ops: &[Op]| format!("{ops:?}: {error}");
    for crash in crashes(checker.setup, ops).map_err(|error| said(error, ops))? {
        checker.crash(&crash).map_err(|error| said(error, ops))?;
    }
    for op in all.iter().copied().take(if more > 0 { all.len() } else { 0 }) {
        if ops.last() == Some(&Op::Close) && op != Op::Reopen {
            continue;
        }
        ops.push(op);
        runs(checker, all, ops, more - 1)?;
        ops.pop();
    }
    Ok(())
}

/// Goes through all runs of so many operations, with every file torn at the multiples of `tear`.
fn all(setup: &Setup, tear: u64, length: usize, least: u64) {
    all_of(&OPS, setup, tear, length, least);
}

fn all_of(ops: &[Op], setup: &Setup, tear: u64, length: usize, least: u64) {
    setup.disk.set_tear(tear);
    let mut checker = Checker::new(setup, 1);
    if let Err(error) = runs(&mut checker, ops, &mut Vec::new(), length) {
        panic!("{error}");
    }
    let Checker { states, distinct, nested, .. } = checker;
    println!("{states} states, {distinct} of them distinct, {nested} more of crashed recoveries");
    assert!(states >= least, "only {states} states");
}

#[test]
fn a_fresh_store_survives_every_crash() {
    all(&Setup::fresh(false), 512, 4, 60_000);
}

#[test]
fn a_fresh_store_that_is_eager_survives_every_crash() {
    all(&Setup::fresh(true), 512, 4, 60_000);
}

#[test]
fn a_grown_store_survives_every_crash() {
    all(&Setup::grown(false), 512, 4, 70_000);
}

#[test]
fn a_grown_store_that_is_eager_survives_every_crash() {
    all(&Setup::grown(true), 512, 4, 70_000);
}

#[test]
fn a_store_survives_every_crash_that_tears_what_is_smaller_than_a_sector() {
    all(&Setup::fresh(true), 100, 3, 50_000);
    all(&Setup::grown(false), 40, 2, 10_000);
}

#[test]
fn g4_a_store_from_which_things_are_dropped_survives_every_crash() {
    all_of(&DROPPING, &Setup::wide(true), 512, 2, 80_000);
    all_of(&DROPPING, &Setup::wide(false), 512, 2, 80_000);
}

#[test]
fn a_fresh_store_from_which_things_are_dropped_survives_every_crash() {
    all_of(&DROPPING, &Setup::fresh(false), 512, 3, 10_000);
}
