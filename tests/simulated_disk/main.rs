//! The simulated disk loses what a power loss may take, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod faults;
mod power_loss;
mod real;
mod trace;

use std::{collections::BTreeSet, path::Path, sync::Arc};

use tidings::{
    storage::file::{Disk, DiskFile, LockError},
    testing::MemoryDisk,
};

const FILE: &str = "/d/file";

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk
}

/// A disk with one file, all of it durable.
fn synced(bytes: &[u8]) -> (MemoryDisk, Arc<dyn DiskFile>) {
    let disk = disk();
    disk.set_contents(FILE, bytes);
    let file = disk.open(Path::new(FILE), false).unwrap();
    (disk, file)
}

/// All that different seeds leave of a file.
fn outcomes(disk: &MemoryDisk) -> BTreeSet<Option<Vec<u8>>> {
    let crashed = |seed| {
        let disk = disk.copy();
        disk.crash(seed);
        disk.contents(FILE)
    };
    (0..500).map(crashed).collect()
}

#[test]
fn what_was_synced_stays() {
    let disk = disk();
    let file = disk.open(Path::new(FILE), true).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    file.sync_data().unwrap();
    assert!(outcomes(&disk).contains(&None), "the name was not synced");
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(outcomes(&disk), [Some(b"abc".to_vec())].into());
}

#[test]
fn what_was_not_synced_is_kept_lost_or_torn() {
    let disk = disk();
    let file = disk.open(Path::new(FILE), true).unwrap();
    file.write_all_at(b"ab", 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b"cd", 2).unwrap();
    let found = outcomes(&disk);
    for expected in [&b"ab"[..], b"abc", b"abcd", b"ab\0", b"ab\0\0", b"abc\0", b"ab\0d"] {
        assert!(found.contains(&Some(expected.to_vec())), "{expected:?} never happens");
    }
    assert!(found.iter().flatten().all(|bytes| bytes.starts_with(b"ab")));
}

#[test]
fn a_kill_keeps_everything_and_a_crash_is_the_same_for_a_seed() {
    let disk = disk();
    let file = disk.open(Path::new(FILE), true).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    let (one, two) = (disk.copy(), disk.copy());
    one.crash(5);
    two.crash(5);
    assert_eq!(one.contents(FILE), two.contents(FILE));
    disk.kill();
    assert_eq!(disk.contents(FILE).unwrap(), b"abc");
    assert!(file.size().is_err(), "an open file outlived the crash");
}

#[test]
fn a_rename_happens_whole_or_not_at_all() {
    let disk = disk();
    for (name, text) in [(FILE, "old"), ("/d/new", "new")] {
        let file = disk.open(Path::new(name), true).unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
        file.sync_data().unwrap();
    }
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.rename(Path::new("/d/new"), Path::new(FILE)).unwrap();
    assert_eq!(outcomes(&disk), [Some(b"old".to_vec()), Some(b"new".to_vec())].into());
}

#[test]
fn rot_flips_bits_durably_and_under_whoever_has_the_file_open() {
    let (disk, file) = synced(&[0b1100; 3]);
    disk.rot(FILE, 1, 0b1010);
    disk.rot(FILE, 3, 1);
    disk.rot("/d/missing", 0, 1);
    let mut bytes = [0; 4];
    assert_eq!((file.read_at(&mut bytes, 0).unwrap(), bytes), (3, [0b1100, 0b0110, 0b1100, 0]));
    assert_eq!(outcomes(&disk), [Some(vec![0b1100, 0b0110, 0b1100])].into());
}

#[test]
fn a_failed_sync_forgets_what_it_did_not_write() {
    let disk = disk();
    disk.open(Path::new(FILE), true).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    let mut found = BTreeSet::new();
    for _ in 0..50 {
        let copy = disk.copy();
        let file = copy.open(Path::new(FILE), false).unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        copy.fail_after(1);
        assert!(file.sync_data().is_err());
        copy.heal();
        file.sync_data().unwrap();
        assert_eq!(copy.contents(FILE).unwrap(), b"abc", "reads see the cache");
        copy.crash(0);
        found.insert(copy.contents(FILE).unwrap());
        disk.list(Path::new("/d")).unwrap(); // another count, so that chance decides anew
    }
    assert!(found.len() > 1, "a later sync made up for the failed one");
}

#[test]
fn calls_fail_from_the_chosen_one_on_until_healed() {
    let disk = disk();
    let before = disk.io_count();
    disk.fail_after(3);
    let results: Vec<bool> = (0..4).map(|_| disk.list(Path::new("/d")).is_ok()).collect();
    assert_eq!(results, [true, true, false, false]);
    disk.heal();
    disk.list(Path::new("/d")).unwrap();
    assert_eq!(disk.io_count() - before, 5);
}

#[test]
fn a_lock_has_one_holder_until_dropped_or_crashed() {
    let (disk, path) = (disk(), Path::new("/d/LOCK"));
    let lock = disk.lock(path).unwrap();
    assert!(matches!(disk.clone().lock(path), Err(LockError::Held(_))));
    drop(lock);
    let old = disk.lock(path).unwrap();
    disk.kill();
    let new = disk.lock(path).unwrap();
    drop(old);
    assert!(matches!(disk.lock(path), Err(LockError::Held(_))), "the dead holder let go of it");
    drop(new);
}
