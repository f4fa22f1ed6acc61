//! Flipped bits and cut files.

use proptest::{collection::vec, prelude::*};
use tidings::{
    Durability, Position,
    storage::{Commit, FileStorage, Storage, StorageError, Write},
    testing::MemoryDisk,
};

use crate::{
    model::{model, open, read},
    sample::{Outcome, batch_starts, damaged, outcome, segments, three_segments},
};

#[test]
fn after_a_clean_close_no_damage_to_the_log_goes_unnoticed() {
    let (disk, count) = three_segments(true);
    let files = segments(&disk);
    for path in &files {
        let newest = files.last() == Some(path);
        let bytes = disk.contents(path).unwrap();
        let used = *batch_starts(&bytes).last().unwrap();
        for at in 0..bytes.len() {
            let cut = damaged(&disk, path, |bytes| bytes.truncate(at));
            let flip = damaged(&disk, path, |bytes| bytes[at] ^= 1 << (at % 8));
            for (found, what) in [(cut, "cut"), (flip, "flipped")] {
                match found {
                    Outcome::Refused => {}
                    // Zeros after a sealed segment, or writes that a file of the state has as well.
                    Outcome::Opened { commits, reported: false } if commits == count => {
                        assert!(!newest, "{} {what} at {at}", path.display());
                        assert!(what == "flipped" || at >= used, "cut at {at} of {used}");
                    }
                    Outcome::Opened { .. } => panic!("{} {what} at {at}", path.display()),
                }
            }
        }
    }
}

#[test]
fn without_a_close_or_a_checkpoint_older_segments_are_verified_by_opening() {
    let (disk, count) = three_segments(false);
    for path in segments(&disk).split_last().unwrap().1 {
        let bytes = disk.contents(path).unwrap();
        let used = *batch_starts(&bytes).last().unwrap();
        for at in 0..bytes.len() {
            let cut = damaged(&disk, path, |bytes| bytes.truncate(at));
            let flip = damaged(&disk, path, |bytes| bytes[at] ^= 1 << (at % 8));
            for found in [cut, flip] {
                match found {
                    Outcome::Refused => assert!(at < used, "{} at {at}", path.display()),
                    Outcome::Opened { commits, reported } => {
                        assert!(at >= used && commits == count && !reported, "at {at} of {used}");
                    }
                }
            }
        }
    }
}

#[test]
fn without_a_close_only_the_last_commit_is_ambiguous() {
    let (disk, count) = three_segments(false);
    let newest = segments(&disk).pop().unwrap();
    let bytes = disk.contents(&newest).unwrap();
    let starts = batch_starts(&bytes);
    let (used, last) = (starts[starts.len() - 1], starts[starts.len() - 2]);
    for at in 0..bytes.len() {
        let cut = damaged(&disk, &newest, |bytes| bytes.truncate(at));
        assert!(matches!(cut, Outcome::Refused), "files of the log never get shorter: {at}");
        // Later batches vouch for all but the last one.
        match damaged(&disk, &newest, |bytes| bytes[at] ^= 1 << (at % 8)) {
            Outcome::Refused => assert!(at < last, "flipped at {at}"),
            Outcome::Opened { commits, reported } => {
                assert!(at >= last && reported, "flipped at {at}");
                assert_eq!(commits, if at < used { count - 1 } else { count });
            }
        }
    }
}

#[test]
fn zeros_instead_of_the_last_commits_look_like_commits_that_never_were() {
    let (disk, count) = three_segments(false);
    let newest = segments(&disk).pop().unwrap();
    let bytes = disk.contents(&newest).unwrap();
    let starts = batch_starts(&bytes);
    let older = count - (starts.len() as u64 - 1);
    for at in 0..bytes.len() {
        let is_lost = |range: &[u8]| range.iter().any(|byte| *byte != 0);
        let mut ends = starts.iter().skip(1);
        let whole = ends.position(|end| at < *end && is_lost(&bytes[at..*end]));
        let whole = whole.unwrap_or(starts.len() - 1);
        match damaged(&disk, &newest, |bytes| bytes[at..].fill(0)) {
            Outcome::Refused => assert!(at < 96, "zeros from {at}"),
            Outcome::Opened { commits, reported } => {
                assert_eq!(commits, older + whole as u64, "zeros from {at}");
                assert_eq!(reported, at > starts[whole] && whole + 1 < starts.len(), "at {at}");
            }
        }
    }
}

#[test]
fn damaged_or_missing_files_of_the_state_and_manifests_are_refused() {
    let (disk, _) = three_segments(true);
    let mut files = disk.files();
    files.retain(|path| path.extension() == Some("run".as_ref()) || path.ends_with("MANIFEST"));
    assert_eq!(files.len(), 2);
    for path in &files {
        for at in 0..disk.contents(path).unwrap().len() {
            let flip = damaged(&disk, path, |bytes| bytes[at] ^= 1 << (at % 8));
            assert!(matches!(flip, Outcome::Refused), "{} flipped at {at}", path.display());
            let cut = damaged(&disk, path, |bytes| bytes.truncate(at));
            assert!(matches!(cut, Outcome::Refused), "{} cut at {at}", path.display());
        }
        let without = disk.copy();
        without.lose(path);
        assert!(matches!(outcome(&without), Outcome::Refused), "without {}", path.display());
    }
}

#[test]
fn damage_that_appears_later_is_found_when_reading() {
    let (disk, count) = three_segments(true);
    let all = model(count).0.len();
    for path in segments(&disk) {
        for at in (96..disk.contents(&path).unwrap().len()).step_by(3) {
            let disk = disk.copy();
            let storage = open(&disk).unwrap();
            disk.rot(&path, at, 1 << (at % 8));
            let mut found = Vec::new();
            let error = loop {
                match read(&storage, Position::FIRST.plus(found.len() as u64), 5) {
                    Ok(more) if more.is_empty() => break None,
                    Ok(more) => found.extend(more),
                    Err(error) => break Some(error),
                }
            };
            assert!(model(count).0.starts_with(&found), "{} rotten at {at}", path.display());
            match error {
                // What was hit is not a record.
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
    for zeros in [1, 7, 8, 47, 48, 49, 5000] {
        let found = damaged(&disk, &path, |bytes| bytes.resize(bytes.len() + zeros, 0));
        assert!(matches!(found, Outcome::Opened { commits, reported: false } if commits == count));
    }
}

/// A store with one large segment: a small commit, one with so many bytes, and a small one.
fn one_segment(large: usize) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let storage = FileStorage::builder("/store").disk(disk.clone()).open().unwrap();
    for bytes in [8, large, 8] {
        let writes = vec![Write::put("key", vec![7; bytes])];
        let commit = Commit { writes, durability: Durability::Synced, ..Commit::default() };
        storage.commit(commit).unwrap();
    }
    disk.kill();
    disk
}

#[test]
fn a_commit_that_vouches_for_a_lost_one_is_found_however_far_away_it_is() {
    // What is looked through comes in pieces of 64 KiB, and a header may lie across their border.
    for large in (65_300..65_700).step_by(8).chain([200_000, 600_000]) {
        let disk = one_segment(large);
        let path = &segments(&disk)[0];
        let second = batch_starts(&disk.contents(path).unwrap())[1];
        let found = damaged(&disk, path, |bytes| bytes[second] ^= 1);
        assert!(matches!(found, Outcome::Refused), "{large} bytes");
    }
}

#[test]
fn a_byte_far_behind_the_log_is_told() {
    let disk = one_segment(8);
    let path = segments(&disk).remove(0);
    let end = *batch_starts(&disk.contents(&path).unwrap()).last().unwrap();
    for at in [end + 200, 31_999, 70_000, 300_000, 700_001] {
        let disk = disk.copy();
        let mut bytes = disk.contents(&path).unwrap();
        bytes[at] = 1;
        disk.set_contents(&path, bytes);
        let storage = FileStorage::builder("/store").disk(disk.clone()).open().unwrap();
        let report = storage.recovery();
        assert_eq!(report.reason, Some("zeros with something after them"), "at {at}");
        assert_eq!(report.discarded_bytes, (at + 1 - end) as u64);
        assert_eq!(storage.get(b"key").unwrap(), Some(vec![7; 8]));
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
        files.push("/store/MANIFEST".into());
        let found = damaged(&disk, &files[file], |bytes| {
            let end = bytes.len().max(at + mess.len());
            bytes.resize(end, 0);
            bytes[at..at + mess.len()].copy_from_slice(&mess);
        });
        if let Outcome::Opened { commits, reported } = found {
            prop_assert!(commits <= count);
            prop_assert!(commits == count || (file == 2 && !closed && reported));
        }
    }
}
