//! Calls fail as they are told to, and a full disk is full.

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use tidings::{
    storage::file::{Disk, DiskFile},
    testing::{Fault, MemoryDisk},
};

use super::{FILE, disk, synced};

fn list(disk: &MemoryDisk) -> io::Result<Vec<String>> {
    disk.list(Path::new("/d"))
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_fault_is_once_or_for_ever_until_healed() {
    let works = |fault: Fault| {
        let disk = disk();
        list(&disk).unwrap();
        disk.fail(fault);
        let works: Vec<bool> = (0..4).map(|_| list(&disk).is_ok()).collect();
        disk.heal();
        list(&disk).unwrap();
        works
    };
    assert_eq!(works(Fault::at(2)), [true, false, false, false]);
    assert_eq!(works(Fault::at(2).once()), [true, false, true, true]);
    assert_eq!(works(Fault::at(0)), [false; 4]);
    assert_eq!(works(Fault::at(0).once()), works(Fault::at(1).once()));
    assert_eq!(works(Fault::at(2).once().stop()), [true, false, false, false]);
    assert_eq!(works(Fault::at(u64::MAX)), [true; 4]);
}

#[test]
fn the_error_is_of_the_kind_asked_for() {
    let disk = disk();
    disk.fail(Fault::at(1));
    assert_eq!(kind(list(&disk)), ErrorKind::Other);
    for expected in [ErrorKind::StorageFull, ErrorKind::Interrupted, ErrorKind::PermissionDenied] {
        disk.fail(Fault::at(1).kind(expected));
        assert_eq!(kind(list(&disk)), expected, "a later fault replaces an earlier one");
    }
}

#[test]
fn a_panic_comes_once_and_later_calls_return_errors() {
    let (disk, file) = synced(b"");
    disk.fail(Fault::at(1).panic());
    assert!(catch_unwind(AssertUnwindSafe(|| file.sync_data())).is_err());
    assert_eq!(kind(file.sync_data()), ErrorKind::Other);
    disk.fail(Fault::at(1).panic().once());
    assert!(catch_unwind(AssertUnwindSafe(|| list(&disk))).is_err());
    list(&disk).unwrap();
    file.sync_data().unwrap();
}

#[test]
fn a_stop_leaves_the_disk_as_it_was() {
    let (disk, file) = synced(b"old");
    file.write_all_at(b"new", 0).unwrap();
    let atoms = disk.atoms();
    disk.fail(Fault::at(1).stop());
    for _ in 0..20 {
        file.write_all_at(b"worse", 0).unwrap_err();
        file.set_len(0).unwrap_err();
        file.sync_data().unwrap_err();
        disk.open(Path::new("/d/more"), true).unwrap_err();
        disk.remove(Path::new(FILE)).unwrap_err();
    }
    assert_eq!((disk.atoms(), disk.contents(FILE).unwrap()), (atoms, b"new".to_vec()));
    assert_eq!(disk.after_power_loss(|_| false).contents(FILE).unwrap(), b"old");
}

/// What calls that fail leave, by chance: what reads see, and what a power loss leaves.
fn leftovers(calls: impl Fn(&MemoryDisk, &dyn DiskFile)) -> BTreeSet<(String, String)> {
    let text = |disk: &MemoryDisk| String::from_utf8(disk.contents(FILE).unwrap()).unwrap();
    let after = |earlier| {
        let (disk, file) = synced(b"old");
        // chance is another after another count of calls
        (0..earlier).for_each(|_| drop(list(&disk).unwrap()));
        calls(&disk, &*file);
        (text(&disk), text(&disk.after_power_loss(|_| true)))
    };
    (0..200).map(after).collect()
}

#[test]
fn a_failed_write_or_length_may_have_happened() {
    let found = leftovers(|disk, file| {
        disk.fail(Fault::at(1).once());
        file.write_all_at(b"new", 0).unwrap_err();
    });
    let same = |text: &str| (text.to_owned(), text.to_owned());
    assert_eq!(found, ["old", "nld", "ned", "new"].map(same).into());
    let found = leftovers(|disk, file| {
        disk.fail(Fault::at(1).once());
        file.set_len(1).unwrap_err();
    });
    assert_eq!(found, ["old", "o"].map(same).into());
}

#[test]
fn a_failed_sync_leaves_bytes_that_only_another_write_makes_durable() {
    let failed_sync = |disk: &MemoryDisk, file: &dyn DiskFile| {
        file.write_all_at(b"new", 0).unwrap();
        disk.fail(Fault::at(1).once());
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        assert_eq!(disk.atoms(), 0, "what was not made durable is forgotten");
    };
    let found = leftovers(failed_sync);
    for durable in ["old", "new", "ned", "olw"] {
        assert!(found.contains(&("new".to_owned(), durable.to_owned())), "{durable}");
    }
    assert!(found.iter().all(|(seen, _)| seen == "new"), "reads see the cache");
    let found = leftovers(|disk, file| {
        failed_sync(disk, file);
        file.write_all_at(b"new", 0).unwrap();
        file.sync_data().unwrap();
    });
    assert_eq!(found, [("new".to_owned(), "new".to_owned())].into());
}

#[test]
fn names_can_be_synced_after_a_failed_sync() {
    let disk = disk();
    disk.open(Path::new(FILE), true).unwrap();
    disk.fail(Fault::at(1).once());
    disk.sync_dir(Path::new("/d")).unwrap_err();
    assert_eq!(disk.atoms(), 1);
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(disk.after_power_loss(|_| false).files(), [Path::new(FILE)]);
}

#[test]
fn a_full_disk_takes_what_fits_and_whatever_needs_no_room() {
    let (disk, file) = synced(b"1234");
    disk.set_capacity(Some(6));
    assert_eq!(kind(file.write_all_at(b"567890", 4)), ErrorKind::StorageFull);
    assert_eq!(disk.contents(FILE).unwrap(), b"123456");
    file.write_all_at(b"abcdef", 0).unwrap();
    assert_eq!(kind(file.write_all_at(b"x", 9)), ErrorKind::StorageFull);
    let other = disk.open(Path::new("/d/other"), true).unwrap();
    assert_eq!(kind(other.write_all_at(b"x", 0)), ErrorKind::StorageFull);
    assert_eq!(disk.contents(FILE).unwrap(), b"abcdef");
    assert_eq!(disk.contents("/d/other").unwrap(), b"");
}

#[test]
fn room_is_made_by_removing_replacing_and_shortening() {
    let (disk, file) = synced(b"1234");
    disk.set_contents("/d/a", "12");
    disk.set_contents("/d/b", "12");
    disk.set_capacity(Some(8));
    disk.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
    file.write_all_at(b"56", 4).unwrap();
    disk.remove(Path::new("/d/b")).unwrap();
    file.set_len(8).unwrap();
    assert_eq!(kind(file.set_len(9)), ErrorKind::StorageFull);
    file.set_len(1).unwrap();
    file.write_all_at(b"2345678", 1).unwrap();
    disk.set_capacity(Some(2));
    file.set_len(7).unwrap();
    assert_eq!(kind(file.write_all_at(b"8", 7)), ErrorKind::StorageFull);
    disk.set_capacity(None);
    file.write_all_at(b"89", 7).unwrap();
    assert_eq!(disk.contents(FILE).unwrap(), b"123456789");
}
