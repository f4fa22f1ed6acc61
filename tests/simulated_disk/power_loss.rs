//! Every state a power loss may leave is reached by some choice of atoms, and no other.

use std::{collections::BTreeSet, path::Path};

use tidings::{
    storage::file::Disk,
    testing::{Fault, MemoryDisk},
};

use super::{FILE, disk, synced};

const DIR: &str = "/d";

/// All disks that a power loss may leave.
fn survivors(disk: &MemoryDisk) -> Vec<MemoryDisk> {
    let atoms = disk.atoms();
    assert!(atoms <= 12, "{atoms} atoms are too many to try all of them");
    (0..1 << atoms).map(|kept: u32| disk.after_power_loss(|atom| kept >> atom & 1 == 1)).collect()
}

/// What a power loss may leave of a file.
fn remains(disk: &MemoryDisk) -> BTreeSet<String> {
    let text = |disk: &MemoryDisk| match disk.contents(FILE) {
        Some(bytes) => String::from_utf8(bytes).unwrap().replace('\0', "0"),
        None => "missing".to_owned(),
    };
    survivors(disk).iter().map(text).collect()
}

fn expect(disk: &MemoryDisk, expected: &[&str]) {
    assert_eq!(remains(disk), expected.iter().map(|&text| text.to_owned()).collect());
}

/// What a power loss may leave of a directory: names with contents.
fn directories(disk: &MemoryDisk) -> BTreeSet<String> {
    let entry = |disk: &MemoryDisk, path: &Path| {
        let text = String::from_utf8(disk.contents(path).unwrap()).unwrap();
        format!("{}={text}", path.display())
    };
    let entries = |disk: &MemoryDisk| -> Vec<String> {
        disk.files().iter().map(|path| entry(disk, path)).collect()
    };
    survivors(disk).iter().map(|disk| entries(disk).join(" ")).collect()
}

fn expect_directories(disk: &MemoryDisk, expected: &[&str]) {
    assert_eq!(directories(disk), expected.iter().map(|&text| text.to_owned()).collect());
}

#[test]
fn a_write_tears_where_the_file_is_divided_and_nowhere_else() {
    let (disk, file) = synced(b"......");
    file.write_all_at(b"abcd", 1).unwrap();
    assert_eq!(disk.atoms(), 1, "512 bytes is more than all of it");
    expect(&disk, &["......", ".abcd."]);
    disk.set_tear(4);
    assert_eq!(disk.atoms(), 2);
    expect(&disk, &["......", ".abc..", "....d.", ".abcd."]);
    disk.set_tear(1);
    assert_eq!((disk.atoms(), remains(&disk).len()), (4, 16), "any byte on its own");
    disk.set_tear(0);
    assert_eq!(disk.atoms(), 4, "no bytes is one byte");
    disk.set_tear(u64::MAX);
    assert_eq!(disk.atoms(), 1);
}

#[test]
fn a_file_grows_without_its_bytes_and_bytes_make_it_as_long_as_they_need() {
    let (disk, file) = synced(b"ab");
    disk.set_tear(2);
    file.write_all_at(b"cdef", 2).unwrap();
    assert_eq!(disk.atoms(), 3);
    expect(&disk, &["ab", "ab0000", "abcd", "abcd00", "ab00ef", "abcdef"]);
}

#[test]
fn a_write_beyond_the_end_leaves_zeros_between() {
    let (disk, file) = synced(b"ab");
    file.write_all_at(b"c", 4).unwrap();
    expect(&disk, &["ab", "ab000", "ab00c"]);
}

#[test]
fn later_writes_come_over_earlier_ones_and_may_come_without_them() {
    let (disk, file) = synced(b"...");
    file.write_all_at(b"aa", 0).unwrap();
    file.write_all_at(b"bb", 1).unwrap();
    expect(&disk, &["...", "aa.", ".bb", "abb"]);
}

#[test]
fn a_length_that_was_set_is_kept_or_lost_apart_from_writes() {
    let (disk, file) = synced(b"abcd");
    file.set_len(2).unwrap();
    assert_eq!(disk.atoms(), 1);
    expect(&disk, &["abcd", "ab"]);
    file.write_all_at(b"x", 0).unwrap();
    expect(&disk, &["abcd", "ab", "xbcd", "xb"]);
    file.sync_data().unwrap();
    expect(&disk, &["xb"]);
    file.set_len(4).unwrap();
    expect(&disk, &["xb", "xb00"]);
}

#[test]
fn what_was_cut_off_does_not_come_back_with_the_next_growth() {
    let (disk, file) = synced(b"abcd");
    file.set_len(1).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"z", 3).unwrap();
    expect(&disk, &["a", "a000", "a00z"]);
}

#[test]
fn what_was_synced_is_in_every_state() {
    let (disk, file) = synced(b"");
    file.write_all_at(b"ab", 0).unwrap();
    file.sync_data().unwrap();
    expect(&disk, &["ab"]);
    file.write_all_at(b"cd", 2).unwrap();
    assert!(remains(&disk).iter().all(|text| text.starts_with("ab")));
}

#[test]
fn a_sync_is_for_one_file_only() {
    let (disk, file) = synced(b"..");
    disk.set_contents("/d/other", "");
    let other = disk.open(Path::new("/d/other"), false).unwrap();
    file.write_all_at(b"ab", 0).unwrap();
    other.write_all_at(b"x", 0).unwrap();
    other.sync_data().unwrap();
    expect_directories(&disk, &["/d/file=.. /d/other=x", "/d/file=ab /d/other=x"]);
}

#[test]
fn a_synced_file_without_a_synced_name_may_be_missing() {
    let disk = disk();
    let file = disk.open(Path::new(FILE), true).unwrap();
    file.write_all_at(b"ab", 0).unwrap();
    file.sync_data().unwrap();
    expect(&disk, &["missing", "ab"]);
    disk.sync_dir(Path::new(DIR)).unwrap();
    expect(&disk, &["ab"]);
}

#[test]
fn names_are_made_changed_and_removed_each_on_its_own() {
    let disk = disk();
    disk.set_contents("/d/a", "a");
    disk.set_contents("/d/b", "b");
    disk.rename(Path::new("/d/a"), Path::new("/d/c")).unwrap();
    disk.remove(Path::new("/d/b")).unwrap();
    assert_eq!(disk.atoms(), 2);
    expect_directories(&disk, &["/d/a=a /d/b=b", "/d/b=b /d/c=a", "/d/a=a", "/d/c=a"]);
    disk.sync_dir(Path::new(DIR)).unwrap();
    expect_directories(&disk, &["/d/c=a"]);
}

#[test]
fn a_rename_is_whole_but_may_come_before_the_data() {
    let (disk, _) = synced(b"old");
    let temporary = disk.open(Path::new("/d/tmp"), true).unwrap();
    temporary.write_all_at(b"new", 0).unwrap();
    disk.rename(Path::new("/d/tmp"), Path::new(FILE)).unwrap();
    expect(&disk, &["old", "", "000", "new"]);
    disk.sync_dir(Path::new(DIR)).unwrap();
    expect(&disk, &["", "000", "new"]);
    temporary.sync_data().unwrap();
    expect(&disk, &["new"]);
    assert_eq!(disk.after_power_loss(|_| false).files(), [Path::new(FILE)]);
}

#[test]
fn a_file_has_never_two_names() {
    let disk = disk();
    disk.create_dir_all(Path::new("/e")).unwrap();
    disk.open(Path::new("/d/a"), true).unwrap();
    disk.rename(Path::new("/d/a"), Path::new("/e/a")).unwrap();
    expect_directories(&disk, &["", "/d/a=", "/e/a="]);
    disk.sync_dir(Path::new("/e")).unwrap();
    expect_directories(&disk, &["/e/a="]);
}

#[test]
fn a_file_is_renamed_also_if_its_earlier_rename_is_lost() {
    let disk = disk();
    disk.set_contents("/d/a", "x");
    disk.set_contents("/d/b", "y");
    disk.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
    disk.rename(Path::new("/d/b"), Path::new("/d/c")).unwrap();
    expect_directories(&disk, &["/d/a=x /d/b=y", "/d/b=x", "/d/b=y /d/c=x", "/d/c=x"]);
}

#[test]
fn a_name_made_again_may_come_without_its_removal() {
    let disk = disk();
    disk.set_contents("/d/a", "x");
    disk.remove(Path::new("/d/a")).unwrap();
    let file = disk.open(Path::new("/d/a"), true).unwrap();
    file.write_all_at(b"y", 0).unwrap();
    file.sync_data().unwrap();
    expect_directories(&disk, &["/d/a=x", "", "/d/a=y"]);
}

#[test]
fn a_sync_of_another_directory_keeps_no_name() {
    let disk = disk();
    disk.create_dir_all(Path::new("/e")).unwrap();
    disk.open(Path::new("/d/a"), true).unwrap();
    disk.sync_dir(Path::new("/e")).unwrap();
    expect_directories(&disk, &["", "/d/a="]);
}

#[test]
fn what_is_left_is_durable_unlocked_sound_and_independent() {
    let (disk, file) = synced(b"..");
    file.write_all_at(b"ab", 0).unwrap();
    let path = Path::new("/d/LOCK");
    let _lock = disk.lock(path).unwrap();
    disk.fail_after(1);
    let left = disk.after_power_loss(|_| true);
    assert_eq!((left.atoms(), left.io_count()), (0, 0));
    left.open(Path::new("/d/new"), true).unwrap().write_all_at(b"new", 0).unwrap();
    left.lock(path).unwrap();
    assert_eq!(left.contents(FILE).unwrap(), b"ab", "a new file is another file");
    left.remove(Path::new("/d/new")).unwrap();
    left.sync_dir(Path::new("/d")).unwrap();
    left.open(Path::new(FILE), false).unwrap().write_all_at(b"z", 0).unwrap();
    disk.heal();
    assert_eq!(disk.contents(FILE).unwrap(), b"ab");
    file.write_all_at(b"cd", 0).unwrap();
    assert_eq!(left.contents(FILE).unwrap(), b"zb", "neither disk sees the other");
    expect(&left, &["ab", "zb"]);
}

#[test]
fn the_device_is_the_same_after_a_power_loss_or_a_kill() {
    let (disk, _) = synced(b"..");
    disk.set_tear(1);
    disk.set_capacity(Some(2));
    for left in [disk.after_power_loss(|_| false), disk.after_kill()] {
        let file = left.open(Path::new(FILE), false).unwrap();
        file.write_all_at(b"abc", 0).unwrap_err();
        expect(&left, &["..", "a.", ".b", "ab"]);
    }
}

#[test]
fn a_killed_process_leaves_what_a_power_loss_can_still_take() {
    let (disk, file) = synced(b"..");
    file.write_all_at(b"ab", 0).unwrap();
    let path = Path::new("/d/LOCK");
    let _lock = disk.lock(path).unwrap();
    disk.fail_after(1);
    let left = disk.after_kill();
    assert_eq!(left.contents(FILE).unwrap(), b"ab");
    left.lock(path).unwrap();
    expect(&left, &["..", "ab"]);
    left.open(Path::new(FILE), false).unwrap().sync_data().unwrap();
    expect(&left, &["ab"]);
    expect(&disk, &["..", "ab"]);
}

#[test]
fn chance_leaves_nothing_that_atoms_of_a_byte_do_not() {
    let (disk, file) = synced(b"ab..");
    disk.set_tear(1);
    file.write_all_at(b"cd", 2).unwrap();
    file.set_len(3).unwrap();
    disk.rename(Path::new(FILE), Path::new("/d/moved")).unwrap();
    let crashed = |seed| {
        let copy = disk.copy();
        copy.crash(seed);
        assert_eq!(copy.atoms(), 0);
        copy
    };
    let found: BTreeSet<_> = (0..2000).flat_map(|seed| directories(&crashed(seed))).collect();
    assert_eq!(found, directories(&disk));
}

/// Replaces the file as one should, or with a step left out.
fn replace(disk: &MemoryDisk, with_sync: bool, with_dir_sync: bool) -> std::io::Result<()> {
    let temporary = disk.open(Path::new("/d/tmp"), true)?;
    temporary.write_all_at(b"new", 0)?;
    if with_sync {
        temporary.sync_data()?;
    }
    disk.rename(Path::new("/d/tmp"), Path::new(FILE))?;
    if with_dir_sync {
        disk.sync_dir(Path::new(DIR))?;
    }
    Ok(())
}

/// What is left when the process dies before each of the calls in turn and then the power fails:
/// of a replacement that was not reported as done, and of one that was.
fn outcomes(with_sync: bool, with_dir_sync: bool) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut unfinished = BTreeSet::new();
    for call in 1.. {
        let (disk, _) = synced(b"old");
        disk.fail(Fault::at(call).stop());
        if replace(&disk, with_sync, with_dir_sync).is_ok() {
            return (unfinished, remains(&disk));
        }
        unfinished.extend(remains(&disk));
    }
    unreachable!("some day it is done")
}

#[test]
fn stopping_before_every_call_proves_a_protocol_and_finds_a_missing_step() {
    let set = |texts: &[&str]| -> BTreeSet<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    };
    assert_eq!(outcomes(true, true), (set(&["old", "new"]), set(&["new"])));
    assert_eq!(outcomes(true, false), (set(&["old"]), set(&["old", "new"])), "may be undone");
    let (unfinished, done) = outcomes(false, true);
    assert!(unfinished.contains("000"), "may be torn");
    assert_eq!(done, set(&["", "000", "new"]));
}
