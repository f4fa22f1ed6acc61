//! Flipped bits and cut files.

use std::path::Path;

use proptest::{collection::vec, prelude::*};
use tidings::{
    Position,
    storage::{Storage, StorageError},
};

use crate::{
    model::{model, open},
    sample::{Outcome, batch_starts, damaged, outcome, segments, three_segments},
};

#[test]
fn after_a_clean_close_any_damage_to_the_log_is_refused() {
    let (disk, _) = three_segments(true);
    for path in segments(&disk) {
        let length = disk.contents(&path).unwrap().len();
        for at in 0..length {
            let cut = damaged(&disk, &path, |bytes| bytes.truncate(at));
            assert!(matches!(cut, Outcome::Refused), "{} cut at {at}", path.display());
            let flip = damaged(&disk, &path, |bytes| bytes[at] ^= 1 << (at % 8));
            assert!(matches!(flip, Outcome::Refused), "{} flipped at {at}", path.display());
        }
    }
}

#[test]
fn without_a_close_only_the_end_of_the_log_is_ambiguous() {
    let (disk, count) = three_segments(false);
    let files = segments(&disk);
    let (newest, older) = files.split_last().unwrap();
    for path in older {
        for at in 0..disk.contents(path).unwrap().len() {
            let cut = damaged(&disk, path, |bytes| bytes.truncate(at));
            assert!(matches!(cut, Outcome::Refused), "{} cut at {at}", path.display());
            let flip = damaged(&disk, path, |bytes| bytes[at] ^= 1 << (at % 8));
            assert!(matches!(flip, Outcome::Refused), "{} flipped at {at}", path.display());
        }
    }
    let bytes = disk.contents(newest).unwrap();
    let starts = batch_starts(&bytes);
    assert_eq!(*starts.last().unwrap(), bytes.len());
    let in_newest = starts.len() as u64 - 1;
    let last = starts[starts.len() - 2];
    for at in 0..bytes.len() {
        // Nothing is left that says there was more: indistinguishable from commits that never were.
        let whole = starts.iter().filter(|start| **start <= at).count().saturating_sub(1) as u64;
        match damaged(&disk, newest, |bytes| bytes.truncate(at)) {
            Outcome::Opened { commits, reported } => {
                assert_eq!(commits, count - in_newest + whole, "cut at {at}");
                assert_eq!(reported, !starts.contains(&at), "cut at {at}");
            }
            Outcome::Refused => panic!("a newest segment cut at {at} was refused"),
        }
        // Later batches vouch for all but the last one.
        match damaged(&disk, newest, |bytes| bytes[at] ^= 1 << (at % 8)) {
            Outcome::Refused => assert!(at < last, "flipped at {at}"),
            Outcome::Opened { commits, reported } => {
                assert!(at >= last && reported, "flipped at {at}");
                assert_eq!(commits, count - 1);
            }
        }
    }
}

#[test]
fn a_damaged_or_missing_snapshot_is_rebuilt_from_the_log() {
    let (disk, count) = three_segments(true);
    let path = Path::new("/store/state.snapshot");
    let check = |found, what: &str| match found {
        Outcome::Opened { commits, reported: false } => assert_eq!(commits, count, "{what}"),
        Outcome::Opened { .. } => panic!("{what}: something was discarded"),
        // The version is looked at before the checksum.
        Outcome::Refused => assert!(what.starts_with("version"), "{what}: refused"),
    };
    for at in 0..disk.contents(path).unwrap().len() {
        let what = if (8..12).contains(&at) { "version" } else { "flip" };
        let flip = damaged(&disk, path, |bytes| bytes[at] ^= 1 << (at % 8));
        check(flip, &format!("{what} at {at}"));
        check(damaged(&disk, path, |bytes| bytes.truncate(at)), &format!("cut at {at}"));
    }
    let without = disk.copy();
    without.lose(path);
    check(outcome(&without), "missing");
}

#[test]
fn damage_that_appears_later_is_found_when_reading() {
    let (disk, count) = three_segments(true);
    let all = model(count).0.len();
    for path in segments(&disk) {
        for at in (64..disk.contents(&path).unwrap().len()).step_by(3) {
            let disk = disk.copy();
            let storage = open(&disk).unwrap();
            disk.rot(&path, at, 1 << (at % 8));
            let mut found = Vec::new();
            let error = loop {
                match storage.read(Position::FIRST.plus(found.len() as u64), 5, 10_000) {
                    Ok(more) if more.is_empty() => break None,
                    Ok(more) => found.extend(more),
                    Err(error) => break Some(error),
                }
            };
            assert!(model(count).0.starts_with(&found), "{} rotten at {at}", path.display());
            match error {
                // Only the state was hit, and that is held in memory.
                None => assert_eq!(found.len(), all),
                Some(StorageError::Corrupt { file, .. }) => assert_eq!(file, path),
                Some(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn zeros_after_the_log_are_no_commits() {
    let (disk, count) = three_segments(false);
    let path = segments(&disk).pop().unwrap();
    for zeros in [1, 47, 48, 49, 5000] {
        let found = damaged(&disk, &path, |bytes| bytes.resize(bytes.len() + zeros, 0));
        assert!(matches!(found, Outcome::Opened { commits, reported: true } if commits == count));
    }
}

proptest! {
    #[test]
    fn any_mess_is_refused_or_a_loss_at_the_end(
        file in 0_usize..4,
        at in 0_usize..1100,
        mess in vec(any::<u8>(), 1..200),
        closed in any::<bool>(),
    ) {
        let (disk, count) = three_segments(closed);
        let mut files = segments(&disk);
        files.push("/store/state.snapshot".into());
        let found = damaged(&disk, &files[file], |bytes| {
            let end = bytes.len().max(at + mess.len());
            bytes.resize(end, 0);
            bytes[at..at + mess.len()].copy_from_slice(&mess);
        });
        if let Outcome::Opened { commits, .. } = found {
            prop_assert!(commits <= count);
            prop_assert!(commits == count || (file == 2 && !closed));
        }
    }
}
