//! Crashes at any moment, again and again.

use tidings::{
    Durability,
    storage::{FileStorage, Storage, StorageError},
    testing::MemoryDisk,
};

use crate::{
    model::{Dice, numbered, open, whole_commits},
    sample::{Outcome, damaged, image, newest_len, outcome, segments},
};

/// What is known about a store from what it acknowledged.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Commits that a power loss cannot take.
    synced: u64,
    /// Commits that the crash of the process cannot take.
    acknowledged: u64,
    /// Commits that were begun.
    begun: u64,
}

/// Commits until something fails or the round is over.
fn work(storage: &FileStorage, known: &mut Known, dice: &mut Dice) {
    for _ in 0..dice.below(25) {
        let durability = if dice.below(2) == 0 { Durability::Synced } else { Durability::Buffered };
        known.begun = known.acknowledged + 1;
        match storage.commit(numbered(known.begun, durability)) {
            Ok(_) => known.acknowledged = known.begun,
            Err(StorageError::Indeterminate { .. }) => {
                let after = storage.commit(numbered(known.begun, durability));
                assert!(matches!(after, Err(StorageError::Poisoned)));
                return;
            }
            Err(StorageError::Io { .. } | StorageError::Full { .. }) => {
                known.begun = known.acknowledged;
                return;
            }
            Err(error) => panic!("{error}"),
        }
        if durability == Durability::Synced {
            known.synced = known.acknowledged;
        }
    }
    if dice.below(6) == 0 && storage.close().is_ok() {
        known.synced = known.acknowledged;
    }
}

fn down(disk: &MemoryDisk, known: &mut Known, dice: &mut Dice) {
    disk.heal();
    if dice.below(3) == 0 {
        disk.kill();
    } else {
        disk.crash(dice.below(u64::MAX));
        known.acknowledged = known.synced;
    }
}

fn crash_rounds(seed: u64) {
    let (disk, mut known, mut dice) = (MemoryDisk::new(), Known::default(), Dice::new(seed));
    for round in 0..4 {
        let opened = open(&disk).unwrap_or_else(|error| panic!("{seed}, {round}: {error}"));
        let found = whole_commits(&opened);
        let least = known.acknowledged;
        assert!(found >= least && found <= known.begun, "{seed}, {round}: {found} of {known:?}");
        // What is shown once is durable.
        known = Known { synced: found, acknowledged: found, begun: found };
        if dice.below(4) > 0 {
            disk.fail_after(1 + dice.below(40));
        }
        work(&opened, &mut known, &mut dice);
        down(&disk, &mut known, &mut dice);
        // Crashes while the crash is recovered from.
        for _ in 0..dice.below(3) {
            disk.fail_after(1 + dice.below(30));
            if let Ok(opened) = open(&disk) {
                disk.heal();
                let found = whole_commits(&opened);
                assert!(found >= known.acknowledged && found <= known.begun, "{seed}, {round}");
                known = Known { synced: found, acknowledged: found, begun: found };
            }
            down(&disk, &mut known, &mut dice);
        }
    }
}

#[test]
fn e8_no_crash_loses_or_tears_what_was_promised() {
    for seed in 0..1500 {
        crash_rounds(seed);
    }
}

#[test]
fn a_failure_at_every_call_loses_nothing_acknowledged() {
    for n in 1..=200 {
        for power_loss in [false, true] {
            let (disk, mut known) = (MemoryDisk::new(), Known::default());
            disk.fail_after(n);
            let mut dice = Dice::new(77);
            if let Ok(storage) = open(&disk) {
                work(&storage, &mut known, &mut dice);
            }
            disk.heal();
            if power_loss {
                disk.crash(n);
                known.acknowledged = known.synced;
            } else {
                disk.kill();
            }
            let found = whole_commits(&open(&disk).unwrap());
            assert!(found >= known.acknowledged && found <= known.begun, "{n}: {found}, {known:?}");
        }
    }
}

#[test]
fn commits_after_a_torn_tail_survive_the_next_restart() {
    let disk = MemoryDisk::new();
    let storage = open(&disk).unwrap();
    storage.commit(numbered(1, Durability::Synced)).unwrap();
    let path = segments(&disk).pop().unwrap();
    let whole = newest_len(&disk);
    storage.commit(numbered(2, Durability::Synced)).unwrap();
    disk.kill();
    let mut torn = disk.contents(&path).unwrap();
    torn[whole + 50..].fill(0);
    disk.set_contents(&path, torn.clone());

    let storage = open(&disk).unwrap();
    assert_eq!(whole_commits(&storage), 1);
    assert_eq!(storage.recovery().discarded_bytes, 50);
    assert!(storage.recovery().reason.is_some());
    assert_eq!(storage.recovery().segments, 2);
    storage.commit(numbered(2, Durability::Synced)).unwrap();
    storage.commit(numbered(3, Durability::Synced)).unwrap();
    disk.crash(1);
    let storage = open(&disk).unwrap();
    assert_eq!(whole_commits(&storage), 3);
    assert_eq!(storage.recovery().discarded_bytes, 0);
    assert!(disk.contents(&path).unwrap() == torn, "the torn bytes are left where they are");
}

#[test]
fn recovery_tells_how_much_it_went_through() {
    let disk = MemoryDisk::new();
    let storage = open(&disk).unwrap();
    let mut records = 0;
    for number in 1..=5 {
        let commit = numbered(number, Durability::Synced);
        records += commit.records.len() as u64;
        storage.commit(commit).unwrap();
    }
    disk.kill();
    let storage = open(&disk).unwrap();
    let report = storage.recovery();
    assert_eq!((report.closed, report.segments, report.discarded_bytes), (false, 1, 0));
    assert_eq!((report.batches, report.records), (5, records));
    assert!(records > 5);
}

#[test]
fn a_clean_close_is_known_after_a_power_loss() {
    for seed in 0..20 {
        let disk = MemoryDisk::new();
        let storage = open(&disk).unwrap();
        storage.commit(numbered(1, Durability::Buffered)).unwrap();
        storage.close().unwrap();
        disk.crash(seed);
        let path = segments(&disk).pop().unwrap();
        let cut = damaged(&disk, &path, |bytes| bytes.truncate(bytes.len() - 1));
        assert!(matches!(cut, Outcome::Refused), "{seed}");
        assert!(matches!(outcome(&disk), Outcome::Opened { commits: 1, reported: false }));
    }
}

#[test]
fn a_storage_of_before_the_crash_touches_nothing() {
    let disk = MemoryDisk::new();
    let before = open(&disk).unwrap();
    before.commit(numbered(1, Durability::Synced)).unwrap();
    disk.kill();
    let after = open(&disk).unwrap();
    after.commit(numbered(2, Durability::Synced)).unwrap();
    let image_before = image(&disk);
    assert!(before.close().is_err());
    assert!(image(&disk) == image_before, "it touched something");
    assert!(matches!(open(&disk), Err(StorageError::InUse { .. })), "its lock is not ours to drop");
    after.close().unwrap();
    assert_eq!(whole_commits(&open(&disk).unwrap()), 2);
}
