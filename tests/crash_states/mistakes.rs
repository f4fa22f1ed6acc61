//! Mistakes planted in the protocol: each of them is found.

use std::io::ErrorKind;

use tidings::storage::file::Mistake;

use crate::{
    check::Checker,
    damage::commits_again,
    enumeration::{DROPPING, OPS, runs},
    failures::every_call,
    golden::{Count, Golden, Left},
    model::Op,
    setup::Setup,
    suspicions::crash_twice,
    together::{commits_during_a_checkpoint, commits_during_a_compaction},
};

fn setups(mistake: Mistake) -> Vec<Setup> {
    let all = [Setup::fresh(true), Setup::grown(true), Setup::fresh(false), Setup::grown(false)];
    all.into_iter().map(|setup| setup.with(mistake)).collect()
}

fn crashes(mistake: Mistake, length: usize) -> Result<(), String> {
    for setup in setups(mistake) {
        runs(&mut Checker::new(&setup, 1), &OPS, &mut Vec::new(), length)?;
    }
    Ok(())
}

/// Crashes where things are dropped or copied.
fn dropping(mistake: Mistake, setups: &[Setup], length: usize) -> Result<(), String> {
    for setup in setups {
        let setup = setup.clone().with(mistake);
        runs(&mut Checker::new(&setup, 1), &DROPPING, &mut Vec::new(), length)?;
    }
    Ok(())
}

fn failures(mistake: Mistake) -> Result<(), String> {
    for setup in setups(mistake) {
        for once in [true, false] {
            every_call(&setup, ErrorKind::Other, once, false)?;
        }
    }
    Ok(())
}

fn damage(mistake: Mistake) -> Result<(), String> {
    commits_again().with_mistake(mistake).repeats(&mut Count::default())?;
    for left in [Left::Closed, Left::Vouched, Left::Killed] {
        Golden::new(Setup::grown(true), &[Op::Synced], left).with_mistake(mistake).all()?;
    }
    Ok(())
}

fn crashes_of_recovery(mistake: Mistake) -> Result<(), String> {
    for setup in setups(mistake) {
        crash_twice(&setup, &[Op::Batch, Op::Close])?;
    }
    Ok(())
}

/// Who finds it first, and what that says.
fn find(mistake: Mistake) -> Option<(&'static str, String)> {
    let by = |name, result: Result<(), String>| result.err().map(|error| (name, error));
    by("crashes in 1 operation", crashes(mistake, 1))
        .or_else(|| by("crashes in 2 operations", crashes(mistake, 2)))
        .or_else(|| by("commits during a checkpoint", commits_during_a_checkpoint(Some(mistake))))
        .or_else(|| by("failing calls", failures(mistake)))
        .or_else(|| by("crashes of recovery", crashes_of_recovery(mistake)))
        .or_else(|| by("damage", damage(mistake)))
        .or_else(|| by("crashes in 3 operations", crashes(mistake, 3)))
        .or_else(|| by("crashes in 4 operations", crashes(mistake, 4)))
}

fn all_are_found(mistakes: &[Mistake]) {
    let mut missed = Vec::new();
    for mistake in mistakes {
        match find(*mistake) {
            Some((name, error)) => println!("{mistake:?}: {name}: {error}"),
            None => missed.push(mistake),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn mistakes_in_commits_and_segments_are_found() {
    all_are_found(&[
        Mistake::AcknowledgeUnsynced,
        Mistake::ClaimTooMuch,
        Mistake::ForgetFailedSync,
        Mistake::ForgetFailedWrite,
        Mistake::RollUnsynced,
        Mistake::HeaderUnsynced,
        Mistake::SegmentNameUnsynced,
        Mistake::ManifestBeforeSegment,
        Mistake::ManifestUnsynced,
        Mistake::ManifestNameUnsynced,
        Mistake::ManifestForgotten,
        Mistake::WatermarkTooHigh,
    ]);
}

#[test]
fn mistakes_in_recovery_state_and_close_are_found() {
    all_are_found(&[
        Mistake::AppendAfterDebris,
        Mistake::ExposeUnproven,
        Mistake::TrustHeaders,
        Mistake::IgnoreOrder,
        Mistake::AlwaysDebris,
        Mistake::RunUnsynced,
        Mistake::RunNameUnsynced,
        Mistake::RunAheadOfLog,
        Mistake::CheckpointTooMuch,
        Mistake::ForgetRemovals,
        Mistake::RemoveRunsFirst,
        Mistake::RemoveTooSoon,
        Mistake::CloseUnsynced,
        Mistake::CloseInAdvance,
    ]);
}

#[test]
fn mistakes_in_dropping_segments_and_events_are_found() {
    let wide = [Setup::wide(true), Setup::wide(false)];
    let fresh = [Setup::fresh(false)];
    for mistake in [
        Mistake::RemoveSegmentsFirst,
        Mistake::RecycleUnzeroed,
        Mistake::TrimUncovered,
        Mistake::RewriteUnsynced,
        Mistake::RewriteNameUnsynced,
        Mistake::RemoveOriginalFirst,
        Mistake::CompactAheadOfLog,
    ] {
        let found = dropping(mistake, &wide, 1)
            .and_then(|()| commits_during_a_compaction(Some(mistake)))
            .and_then(|()| dropping(mistake, &fresh, 3));
        println!("{mistake:?}: {}", found.expect_err("nobody finds it"));
    }
}
