//! Files of another version, another store, or in another's place.

use std::path::{Path, PathBuf};

use tidings::{
    Durability, Position,
    storage::{FileReader, Storage, StorageError, Trim, file::Disk},
    testing::{Call, Fault, MemoryDisk},
};

use crate::{
    model::{numbered, open, whole_commits},
    sample::{Outcome, damaged, image, newest_len, outcome, segments, three_segments},
};

#[test]
fn missing_swapped_and_foreign_segments_are_refused() {
    let (disk, _) = three_segments(true);
    let files = segments(&disk);
    for path in &files {
        let disk = disk.copy();
        disk.lose(path);
        assert!(matches!(outcome(&disk), Outcome::Refused), "without {}", path.display());
        for other in files.iter().filter(|other| *other != path) {
            let bytes = disk.contents(other).unwrap();
            disk.set_contents(path, bytes);
            assert!(matches!(outcome(&disk), Outcome::Refused), "{} again", other.display());
        }
    }
    let disk = disk.copy();
    for path in &files {
        disk.lose(path);
    }
    assert!(matches!(outcome(&disk), Outcome::Refused), "no segment at all");

    let foreign = MemoryDisk::new();
    foreign.set_contents("/elsewhere", ""); // other random numbers from here on
    let storage = open(&foreign).unwrap();
    for n in 1..=40 {
        storage.commit(numbered(n, Durability::Synced)).unwrap();
    }
    let (ours, _) = three_segments(false);
    for path in segments(&ours) {
        let copy = ours.copy();
        copy.set_contents(&path, foreign.contents(&path).unwrap());
        assert!(matches!(outcome(&copy), Outcome::Refused), "foreign {}", path.display());
    }
}

#[test]
fn without_its_manifest_a_store_is_refused_whatever_else_is_damaged() {
    let disk = MemoryDisk::new();
    let storage = open(&disk).unwrap();
    storage.commit(numbered(1, Durability::Synced)).unwrap();
    storage.commit(numbered(2, Durability::Synced)).unwrap();
    disk.kill();
    disk.lose("/store/MANIFEST");
    let read = FileReader::open_on(disk.clone(), "/store");
    assert!(matches!(read, Err(StorageError::Corrupt { .. })), "{read:?}");
    let path = segments(&disk).pop().unwrap();
    for at in 0..newest_len(&disk) {
        let found = damaged(&disk, &path, |bytes| bytes[at] ^= 1 << (at % 8));
        assert!(matches!(found, Outcome::Refused), "flipped at {at}");
    }
    assert!(matches!(damaged(&disk, &path, |bytes| bytes[..96].fill(0)), Outcome::Refused));
}

#[test]
fn a_segment_with_commits_that_the_manifest_does_not_know_is_refused() {
    let (disk, count) = three_segments(false);
    let older = disk.copy();
    let storage = open(&disk).unwrap();
    for number in count + 1.. {
        storage.commit(numbered(number, Durability::Synced)).unwrap();
        if segments(&disk).len() > 3 {
            break;
        }
    }
    for path in segments(&disk) {
        older.set_contents(&path, disk.contents(&path).unwrap());
    }
    assert_eq!(segments(&disk).len(), segments(&older).len());
    let path = segments(&disk).pop().unwrap();
    assert!(matches!(outcome(&older), Outcome::Refused), "an older manifest");
    for at in 96..newest_len(&disk) {
        let found = damaged(&older, &path, |bytes| bytes[at] ^= 1 << (at % 8));
        assert!(matches!(found, Outcome::Refused), "flipped at {at}");
    }
}

#[test]
fn a_segment_without_a_header_is_set_aside_not_deleted() {
    let (disk, count) = three_segments(false);
    let path = "/store/segments/00000000000000000004.log";
    disk.set_contents(path, "tidings\n\x01\0\0\0half a header");
    let storage = open(&disk).unwrap();
    assert_eq!(whole_commits(&storage), count);
    let [aside] = &*storage.recovery().set_aside else { panic!("set aside") };
    assert_eq!(aside, Path::new("/store/quarantine/00000000000000000004.log.0"));
    assert_eq!(disk.contents(aside).unwrap(), b"tidings\n\x01\0\0\0half a header");
    assert_eq!(disk.contents(path), None);
}

#[test]
fn a_file_of_zeros_for_the_next_segment_is_removed() {
    let (disk, count) = three_segments(false);
    let path = "/store/segments/00000000000000000004.log";
    disk.set_contents(path, vec![0; 5000]);
    let storage = open(&disk).unwrap();
    assert_eq!(whole_commits(&storage), count);
    assert_eq!((storage.recovery().set_aside.len(), disk.contents(path)), (0, None));
}

/// Where there is no such segment, nothing else has what it holds.
#[test]
fn the_other_form_of_a_segment_that_is_not_there_is_set_aside() {
    let (disk, count) = three_segments(false);
    let rewritten = disk.contents(&segments(&disk)[0]).unwrap();
    disk.set_contents("/store/segments/00000000000000000004-1.log", rewritten.clone());
    let storage = open(&disk).unwrap();
    assert_eq!(whole_commits(&storage), count);
    let [aside] = &*storage.recovery().set_aside else { panic!("set aside") };
    assert_eq!(disk.contents(aside).unwrap(), rewritten);
}

#[test]
fn a_segment_of_another_store_beside_ours_is_set_aside() {
    let foreign = MemoryDisk::new();
    foreign.set_contents("/elsewhere", ""); // other random numbers from here on
    open(&foreign).unwrap().commit(numbered(1, Durability::Synced)).unwrap();
    let theirs = foreign.contents(&segments(&foreign)[0]).unwrap();
    let (disk, count) = three_segments(false);
    disk.set_contents("/store/segments/00000000000000000004.log", theirs.clone());
    let storage = open(&disk).unwrap();
    assert_eq!(whole_commits(&storage), count);
    let [aside] = &*storage.recovery().set_aside else { panic!("set aside") };
    assert_eq!(disk.contents(aside).unwrap(), theirs);
}

/// A power loss could bring back an older manifest, which may name it.
#[test]
fn a_file_is_set_aside_once_it_is_certain_that_no_manifest_names_it() {
    let (disk, _) = three_segments(false);
    let path = Path::new("/store/segments/00000000000000000004.log");
    disk.set_contents(path, "something");
    disk.record_trace();
    open(&disk).unwrap();
    let calls = disk.trace();
    let moved = calls.iter().position(|call| matches!(call, Call::Rename(from, _) if from == path));
    assert!(calls[..moved.unwrap()].contains(&Call::SyncDir("/store".into())), "{calls:?}");
}

#[test]
fn a_store_with_a_leftover_that_cannot_be_removed_is_not_opened() {
    let (disk, _) = three_segments(true);
    let leftover = "/store/state/00000000000000000099.run";
    disk.set_contents(leftover, "of a checkpoint that did not end");
    let mut refused = 0;
    for call in 1..100 {
        let disk = disk.copy();
        disk.fail(Fault::at(call).once());
        match open(&disk) {
            Ok(storage) => {
                assert_eq!(disk.contents(leftover), None, "call {call}");
                assert_eq!(storage.recovery().set_aside, [""; 0].map(PathBuf::from));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
}

#[test]
fn the_other_form_of_a_segment_that_was_dropped_goes_as_well() {
    let (disk, _) = three_segments(false);
    let storage = open(&disk).unwrap();
    let end = storage.end();
    assert!(storage.trim(&Trim::before(storage.end())).unwrap() > Position::FIRST);
    storage.close().unwrap();
    let leftovers = ["-1", "", "-2"].map(|suffix| format!("/store/segments/{:020}{suffix}.log", 1));
    for path in &leftovers {
        disk.set_contents(path, "it was there");
    }
    let storage = open(&disk).unwrap();
    assert_eq!(storage.recovery().set_aside, [""; 0].map(PathBuf::from));
    assert!(leftovers.iter().all(|path| disk.contents(path).is_none()));
    assert_eq!(storage.end(), end);
}

#[test]
fn another_format_version_is_refused_and_left_alone() {
    let (disk, _) = three_segments(true);
    for path in segments(&disk) {
        let disk = disk.copy();
        let mut bytes = disk.contents(&path).unwrap();
        bytes[8] = 2;
        disk.set_contents(&path, bytes);
        let before = image(&disk);
        match open(&disk) {
            Err(StorageError::Format { file, found: 2, supported: 1 }) => assert_eq!(file, path),
            other => panic!("expected `Format`, found {other:?}"),
        }
        assert!(image(&disk) == before, "a refusal modified something");
    }
}

#[test]
fn a_batch_of_another_store_or_segment_is_not_taken_for_ones_own() {
    let (ours, theirs) = (MemoryDisk::new(), MemoryDisk::new());
    theirs.entropy();
    let mut whole = Vec::new();
    for (disk, count) in [(&ours, 1), (&theirs, 2)] {
        let storage = open(disk).unwrap();
        for n in 1..=count {
            storage.commit(numbered(n, Durability::Synced)).unwrap();
        }
        disk.kill();
        whole.push(disk.contents(segments(disk).pop().unwrap()).unwrap());
    }
    let (own, foreign) = (newest_len(&ours), newest_len(&theirs));
    let path = segments(&ours).pop().unwrap();
    let with_foreign = damaged(&ours, &path, |bytes| {
        bytes[own..foreign].copy_from_slice(&whole[1][own..foreign]);
    });
    assert!(matches!(with_foreign, Outcome::Opened { commits: 1, reported: true }));
    let twice = damaged(&ours, &path, |bytes| bytes.copy_within(96..own, own));
    assert!(matches!(twice, Outcome::Opened { commits: 1, reported: true }));
}
