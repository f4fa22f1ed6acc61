//! What the simulated disk does, the real one does as well.

use std::{fs, io::ErrorKind, path::Path};

use tempfile::TempDir;
use tidings::storage::file::{Disk, RealDisk};

/// Does the same with either disk, in a directory of its own.
fn with_each(check: impl Fn(&dyn Disk, &Path)) {
    let dir = TempDir::new().unwrap();
    check(&RealDisk::new(), dir.path());
    check(&super::disk(), Path::new("/d"));
}

fn contents(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open_read(path).unwrap();
    let mut bytes = vec![0; 100];
    let count = file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(file.size().unwrap(), count as u64);
    bytes.truncate(count);
    bytes
}

#[test]
fn a_length_cuts_off_or_adds_zeros() {
    with_each(|disk, dir| {
        let path = dir.join("file");
        let file = disk.open(&path, true).unwrap();
        file.write_all_at(b"abcd", 0).unwrap();
        file.set_len(2).unwrap();
        assert_eq!(contents(disk, &path), b"ab");
        file.set_len(4).unwrap();
        assert_eq!(contents(disk, &path), b"ab\0\0");
        file.set_len(4).unwrap();
        file.sync_data().unwrap();
        assert_eq!(contents(disk, &path), b"ab\0\0");
        file.set_len(0).unwrap();
        assert_eq!(contents(disk, &path), b"");
    });
}

#[test]
fn a_file_opened_for_reading_is_not_written_nor_made() {
    with_each(|disk, dir| {
        let path = dir.join("file");
        assert_eq!(disk.open_read(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let writer = disk.open(&path, true).unwrap();
        let reader = disk.open_read(&path).unwrap();
        writer.write_all_at(b"ab", 0).unwrap();
        reader.write_all_at(b"x", 0).unwrap_err();
        reader.set_len(0).unwrap_err();
        assert_eq!(contents(disk, &path), b"ab");
        assert_eq!(disk.list(dir).unwrap(), ["file"]);
    });
}

#[test]
fn a_file_that_was_removed_or_renamed_is_gone() {
    with_each(|disk, dir| {
        let (one, two) = (dir.join("one"), dir.join("two"));
        disk.open(&one, true).unwrap().write_all_at(b"1", 0).unwrap();
        disk.open(&two, true).unwrap().write_all_at(b"2", 0).unwrap();
        disk.rename(&one, &two).unwrap();
        assert_eq!(
            (contents(disk, &two), disk.list(dir).unwrap()),
            (b"1".to_vec(), vec!["two".to_owned()])
        );
        disk.remove(&two).unwrap();
        assert!(disk.list(dir).unwrap().is_empty());
        assert_eq!(disk.remove(&two).unwrap_err().kind(), ErrorKind::NotFound);
        assert_ne!(disk.entropy(), disk.entropy());
    });
}

#[test]
fn nothing_is_found_or_made_in_a_directory_that_is_not_there() {
    with_each(|disk, dir| {
        let (file, nowhere) = (dir.join("file"), dir.join("nowhere"));
        disk.open(&file, true).unwrap();
        let errors = [
            disk.list(&nowhere).unwrap_err(),
            disk.open(&nowhere.join("file"), true).unwrap_err(),
            disk.open_read(&nowhere.join("file")).unwrap_err(),
            disk.rename(&file, &nowhere.join("file")).unwrap_err(),
            disk.sync_dir(&nowhere).unwrap_err(),
        ];
        assert_eq!(errors.map(|error| error.kind()), [ErrorKind::NotFound; 5]);
        disk.create_dir_all(&nowhere.join("inside")).unwrap();
        assert_eq!(disk.list(&nowhere).unwrap(), ["inside"]);
        disk.rename(&file, &nowhere.join("file")).unwrap();
    });
}

#[test]
fn a_lock_that_nobody_can_have_taken_is_not_held() {
    let (disk, dir) = (RealDisk::new(), TempDir::new().unwrap());
    let path = dir.path().join("LOCK");
    assert!(disk.hold(&path).unwrap().is_none());
    drop(disk.lock(&path).unwrap());
    assert!(disk.hold(&path).unwrap().is_some());
}

#[test]
fn a_directory_is_not_made_where_a_file_is() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = RealDisk::new().create_dir_all(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[cfg(unix)]
#[test]
fn a_link_is_not_opened_but_a_directory_may_be_one() {
    let (disk, dir) = (RealDisk::new(), TempDir::new().unwrap());
    let (inside, link) = (dir.path().join("inside"), dir.path().join("link"));
    fs::create_dir(&inside).unwrap();
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    disk.open(&link.join("file"), true).unwrap();
    for (target, name) in [("file", "there"), ("nothing", "dangling")] {
        let path = inside.join(name);
        std::os::unix::fs::symlink(target, &path).unwrap();
        let errors = [
            disk.open(&path, false).unwrap_err(),
            disk.open(&path, true).unwrap_err(),
            disk.open_read(&path).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(name), "{error} names it");
        }
        disk.lock(&path).unwrap_err();
        disk.hold(&path).unwrap_err();
    }
    assert!(!inside.join("nothing").exists(), "nothing was made through a link");
}
