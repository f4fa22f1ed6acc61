//! What verifying says of damage.

use std::{io::ErrorKind, path::Path};

use proptest::{collection::vec, prelude::*};
use tidings::{
    storage::{
        Commit, FileStorage, Storage, StorageError, Write,
        file::{Verdict, Verification, verify_on},
    },
    testing::{Call, Fault, MemoryDisk},
};

use crate::sample::{Sample, batches, commit, open, position, range, runs, segments};

#[test]
fn what_is_whole_is_clean() {
    for closed in [false, true] {
        let sample = Sample::new(closed);
        let before = sample.image();
        let found = sample.verify();
        assert_eq!((found.verdict, &found.problems), (Verdict::Clean, &Vec::new()));
        assert_eq!((found.records, found.end.get()), (sample.count, sample.count + 1));
        assert_eq!(found.commits, sample.count, "each has one record");
        assert!(found.segments >= 4 && found.entries > 0);
        let files = segments(&sample.disk).into_iter().chain(runs(&sample.disk));
        let bytes = files.map(|path| sample.disk.contents(&path).unwrap().len() as u64);
        assert_eq!(found.bytes, bytes.sum::<u64>());
        assert_eq!(sample.image(), before);
    }
}

#[test]
fn progress_is_told_commit_by_commit_and_ends_with_the_whole() {
    let sample = Sample::new(true);
    let mut told = Vec::new();
    let found = verify_on(sample.disk.clone(), "/store", |it| told.push((it.done, it.total)));
    let total = found.unwrap().bytes;
    let expected: Vec<_> = sample.ends().map(|done| (done, total)).collect();
    assert_eq!(told[..expected.len()], expected, "of the log");
    assert!(told.is_sorted());
    assert_eq!(told.last(), Some(&(total, total)));
}

#[test]
fn it_works_beside_whoever_has_the_store_open() {
    let sample = Sample::new(false);
    let storage = open(&sample.disk, "/store");
    for number in 1..200 {
        storage.commit(commit(sample.count + number)).unwrap();
        while storage.wants_upkeep() {
            storage.upkeep().unwrap();
        }
        let found = sample.verify();
        assert_eq!(found.verdict, Verdict::Clean, "{:?}", found.problems);
        assert_eq!(found.records, sample.count + number);
    }
}

#[test]
fn every_flipped_bit_of_the_log_is_found_where_it_is() {
    let sample = Sample::new(true);
    for path in segments(&sample.disk) {
        let bytes = sample.disk.contents(&path).unwrap();
        let batches = batches(&bytes);
        let valid = batches.last().unwrap().1;
        for at in (0..valid).step_by(3) {
            let found = sample.change(&path, |bytes| bytes[at] ^= 1 << (at % 8)).verify();
            assert_eq!(found.verdict, Verdict::Corrupt, "{} at {at}", path.display());
            let problem = found.losses().next().unwrap();
            assert_eq!(problem.file, path, "at {at}");
            assert!(problem.bytes.contains(&(at as u64)), "at {at}: {problem:?}");
            let Some(batch) = batches.iter().find(|batch| (batch.0..batch.1).contains(&at)) else {
                assert_eq!(found.records, sample.count, "a header is made up for");
                continue;
            };
            assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
            if batch.1 - batch.0 == 48 {
                assert_eq!((&problem.positions, problem.commits), (&None, 1), "it has no records");
                continue;
            }
            assert_eq!(found.records, sample.count - 1, "{problem:?}");
            let positions = problem.positions.clone().unwrap();
            assert!(positions.contains(&position(batch.2)));
            assert!(positions == range(batch.2, batch.2) || !problem.exact, "{problem:?}");
        }
    }
}

#[test]
fn a_damaged_body_costs_exactly_what_its_header_says() {
    for closed in [false, true] {
        let sample = Sample::new(closed);
        for path in segments(&sample.disk) {
            let mut held = batches(&sample.disk.contents(&path).unwrap());
            held.retain(|batch| batch.1 - batch.0 > 48);
            for (start, _, at) in held.into_iter().filter(|batch| closed || batch.2 < sample.count)
            {
                let found = sample.change(&path, |bytes| bytes[start + 60] ^= 1).verify();
                let [ref loss] = *found.problems else { panic!("{:?}", found.problems) };
                assert_eq!((&loss.positions, loss.exact), (&Some(range(at, at)), true), "{loss:?}");
                assert_eq!((loss.commits, found.end.get()), (1, sample.count + 1));
            }
        }
    }
}

/// A disk may write to another place than it was told.
#[test]
fn a_batch_in_the_place_of_another_is_not_taken_for_what_follows() {
    let sample = Sample::new(true);
    let path = &segments(&sample.disk)[1];
    let held = batches(&sample.disk.contents(path).unwrap());
    let copy = |bytes: &mut Vec<u8>, from: usize, to: usize| {
        assert_eq!(held[from].1 - held[from].0, held[to].1 - held[to].0);
        bytes.copy_within(held[from].0..held[from].1, held[to].0);
    };
    for from in [2, 9] {
        let found = sample.change(path, |bytes| copy(bytes, from, 4)).verify();
        let [ref loss] = *found.problems else { panic!("{from}: {:?}", found.problems) };
        assert_eq!(loss.positions, Some(range(held[4].2, held[4].2)), "{from}");
        let damaged = sample.change(path, |bytes| {
            bytes[held[4].0] ^= 1;
            copy(bytes, from, 5);
        });
        let [ref loss] = *damaged.verify().problems else { panic!("{:?}", damaged.verify()) };
        assert_eq!(loss.positions, Some(range(held[4].2, held[5].2)), "{from}");
    }
}

#[test]
fn a_file_of_the_log_that_got_shorter_is_told() {
    for closed in [false, true] {
        let sample = Sample::new(closed);
        let path = segments(&sample.disk).pop().unwrap();
        let found = sample.change(&path, |bytes| bytes.truncate(bytes.len() - 1)).verify();
        let [ref problem] = *found.problems else { panic!("{:?}", found.problems) };
        assert_eq!((found.verdict, &problem.file), (Verdict::Corrupt, &path));
        assert_eq!((problem.bytes.clone(), &problem.positions), (2047..2048, &None));
        assert_eq!(found.records, sample.count);
    }
}

#[test]
fn what_follows_a_long_damage_is_found_wherever_it_begins() {
    for bytes in (65_200..65_700).step_by(32) {
        let disk = MemoryDisk::new();
        let storage = FileStorage::builder("/store").disk(disk.clone()).open().unwrap();
        for (number, bytes) in [(1, bytes), (2, 10), (3, 10)] {
            let mut commit = commit(number);
            commit.records[0].payload = vec![7; bytes];
            storage.commit(commit).unwrap();
        }
        storage.close().unwrap();
        disk.kill();
        let path = &segments(&disk)[0];
        let sample = Sample { disk, count: 3 }.change(path, |bytes| bytes[96] ^= 1);
        let found = sample.verify();
        let [ref loss] = *found.problems else { panic!("{:?}", found.problems) };
        assert_eq!((&loss.positions, found.records), (&Some(range(1, 1)), 2), "{bytes} bytes");
    }
}

#[test]
fn every_flipped_bit_of_the_state_is_found() {
    let sample = Sample::new(true);
    for path in runs(&sample.disk) {
        for at in 0..sample.disk.contents(&path).unwrap().len() {
            let found = sample.change(&path, |bytes| bytes[at] ^= 1 << (at % 8)).verify();
            assert_eq!(found.verdict, Verdict::Corrupt);
            assert_eq!(found.problems[0].file, path, "at {at}");
            assert!(found.problems[0].bytes.contains(&(at as u64)), "at {at}");
        }
    }
}

#[test]
fn damage_to_the_state_costs_the_entries_of_its_block() {
    let disk = MemoryDisk::new();
    let storage = open(&disk, "/store");
    for number in 0..500_u64 {
        let writes = vec![Write::put(number.to_be_bytes(), vec![7; 100])];
        storage.commit(Commit { writes, ..Commit::default() }).unwrap();
    }
    storage.close().unwrap();
    disk.kill();
    let sample = Sample { disk, count: 0 };
    assert_eq!(sample.verify().entries, 500);
    let run = &runs(&sample.disk)[0];
    for at in (100..50_000).step_by(1999) {
        let found = sample.change(run, |bytes| bytes[at] ^= 1).verify();
        let [ref problem] = *found.problems else { panic!("{:?}", found.problems) };
        assert!(problem.bytes.contains(&(at as u64)), "{at}: {problem:?}");
        assert!(problem.bytes.end - problem.bytes.start < 20_000, "{at}: {problem:?}");
        assert!((300..500).contains(&found.entries), "{at}: {}", found.entries);
    }
}

#[test]
fn what_is_wrong_with_a_file_of_the_state_is_told() {
    let sample = Sample::new(true);
    let run = &runs(&sample.disk)[0];
    let reason = |damaged: Sample| {
        let reason = damaged.verify().problems[0].reason;
        assert_eq!(damaged.salvage_all().problems[0].reason, reason);
        reason
    };
    assert_eq!(reason(sample.without(run)), "a file of the state is missing");
    let cut = sample.change(run, |bytes| bytes.truncate(90));
    assert_eq!(reason(cut), "a file of the state has another length than it was given");
    let other = sample.change(run, |bytes| bytes[8] = 9);
    assert_eq!(reason(other), "a file of the state has another version");
    let footer = sample.change(run, |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert_eq!(reason(footer), "a state file's index is damaged");
}

#[test]
fn several_problems_are_all_told() {
    let sample = Sample::new(true);
    let files = segments(&sample.disk);
    let mut damaged = sample.without(&files[1]);
    for (path, at) in [(&files[0], 200), (&files[0], 600), (&files[2], 300)] {
        damaged = damaged.change(path, |bytes| bytes[at] ^= 4);
    }
    let run = &runs(&sample.disk)[0];
    damaged = damaged.change(run, |bytes| bytes[50] ^= 4);
    let found = damaged.verify();
    let files = |path: &Path| found.problems.iter().filter(|problem| problem.file == path).count();
    assert_eq!(files(&segments(&sample.disk)[0]), 2);
    assert!(files(&segments(&sample.disk)[1]) >= 1);
    assert_eq!(files(&segments(&sample.disk)[2]), 1);
    assert_eq!(files(run), 1);
}

#[test]
fn what_a_crash_tears_is_no_corruption() {
    let sample = Sample::new(false);
    let path = segments(&sample.disk).pop().unwrap();
    let (start, end, at) = *batches(&sample.disk.contents(&path).unwrap()).last().unwrap();
    for from in start..end {
        let found = sample.change(&path, |bytes| bytes[from..end].fill(0)).verify();
        assert_ne!(found.verdict, Verdict::Corrupt, "from {from}: {:?}", found.problems);
        assert_eq!(found.end.get(), if found.records == sample.count { at + 1 } else { at });
    }
    let closed = Sample::new(true);
    let found = closed.change(&path, |bytes| bytes[end - 8..end].fill(0xff)).verify();
    assert_eq!(found.verdict, Verdict::Corrupt);
}

#[test]
fn a_missing_or_damaged_manifest_is_one_problem() {
    let sample = Sample::new(true);
    let manifest = Path::new("/store/MANIFEST");
    for damaged in [sample.without(manifest), sample.change(manifest, |bytes| bytes[30] ^= 1)] {
        let found = damaged.verify();
        assert_eq!((found.verdict, found.problems.len()), (Verdict::Corrupt, 1));
        assert_eq!((found.records, found.end.get()), (sample.count, sample.count + 1));
    }
}

#[test]
fn what_is_no_store_is_said_so() {
    let sample = Sample::new(true);
    let verify = |path| verify_on(sample.disk.clone(), path, |_| ());
    assert!(matches!(verify("/nowhere"), Err(StorageError::NotAStore { .. })));
    sample.disk.set_contents("/other/file", "text");
    assert!(matches!(verify("/other"), Err(StorageError::NotAStore { .. })));
    let manifest = Path::new("/store/MANIFEST");
    let mut newer = sample.change(manifest, |bytes| bytes[8] = 9);
    let found = newer.verify();
    assert_eq!(found.verdict, Verdict::Corrupt, "the segments say that it is this version");
    for path in segments(&sample.disk) {
        newer = newer.change(&path, |bytes| bytes[8] = 9);
    }
    for newer in [newer.without(manifest), newer] {
        let found = verify_on(newer.disk.clone(), "/store", |_| ());
        assert!(matches!(found, Err(StorageError::Format { found: 9, .. })), "{found:?}");
    }
}

#[test]
fn where_the_disk_fails_the_rest_is_read() {
    let sample = Sample::new(true);
    let calls = {
        let before = sample.disk.io_count();
        sample.verify();
        sample.disk.io_count() - before
    };
    for call in 0..calls {
        let disk = sample.disk.copy();
        disk.fail(Fault::at(call).once());
        match verify_on(disk.clone(), "/store", |_| ()) {
            Ok(found) => assert!(found.records + 30 > sample.count, "call {call}: {found:?}"),
            Err(StorageError::Io { .. }) => {}
            Err(error) => panic!("call {call}: {error}"),
        }
    }
}

/// Verifies where one of the calls that open this file fails, each in turn.
fn verify_unopened(
    sample: &Sample,
    path: &Path,
    kind: ErrorKind,
) -> Vec<Result<Verification, StorageError>> {
    let disk = sample.disk.copy();
    disk.record_trace();
    verify_on(disk.clone(), "/store", |_| ()).unwrap();
    let calls = disk.trace();
    let opens = (0..calls.len()).filter(|at| calls[*at] == Call::OpenRead(path.into()));
    let verify = |at| {
        let disk = sample.disk.copy();
        disk.fail(Fault::at(at as u64 + 1).kind(kind).once());
        verify_on(disk, "/store", |_| ())
    };
    opens.map(verify).collect()
}

#[test]
fn a_segment_that_cannot_be_opened_is_not_taken_for_a_missing_one() {
    let sample = Sample::new(true);
    for path in segments(&sample.disk) {
        for found in verify_unopened(&sample, &path, ErrorKind::Other) {
            assert!(matches!(found, Err(StorageError::Io { .. })), "{found:?}");
        }
    }
}

#[test]
fn a_manifest_that_the_disk_cannot_read_is_a_problem_and_one_that_we_may_not_read_is_an_error() {
    let sample = Sample::new(true);
    let verify = |kind| {
        // First it is asked for the generation.
        let mut found = verify_unopened(&sample, Path::new("/store/MANIFEST"), kind).into_iter();
        found.nth(1).unwrap()
    };
    let found = verify(ErrorKind::Other).unwrap();
    assert_eq!(found.problems[0].reason, "the manifest cannot be read");
    assert_eq!((found.problems.len(), found.records), (1, sample.count));
    let refused = verify(ErrorKind::PermissionDenied);
    assert!(matches!(refused, Err(StorageError::Io { .. })), "{refused:?}");
}

proptest! {
    #[test]
    fn any_mess_is_told(
        file in 0_usize..6,
        at in 0_usize..2100,
        mess in vec(any::<u8>(), 1..300),
        closed in any::<bool>(),
    ) {
        let sample = Sample::new(closed);
        let mut files = segments(&sample.disk);
        files.extend(runs(&sample.disk));
        files.push("/store/MANIFEST".into());
        let path = &files[file % files.len()];
        let damaged = sample.change(path, |bytes| {
            let end = bytes.len().max(at + mess.len());
            bytes.resize(end, 0);
            bytes[at..at + mess.len()].copy_from_slice(&mess);
        });
        let found = damaged.verify();
        prop_assert!(found.records <= sample.count);
        prop_assert!(found.records == sample.count || found.verdict != Verdict::Clean);
    }
}
