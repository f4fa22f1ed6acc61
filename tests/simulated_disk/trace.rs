//! The calls a disk got can be read back.

use std::path::Path;

use tidings::{
    storage::file::Disk,
    testing::{Call, MemoryDisk},
};

use super::{FILE, synced};

fn shown(disk: &MemoryDisk) -> Vec<String> {
    disk.trace().iter().map(Call::to_string).collect()
}

#[test]
fn nothing_is_recorded_until_asked_for_and_after_it_was_forgotten() {
    let (disk, file) = synced(b"");
    disk.clear_trace();
    file.size().unwrap();
    assert_eq!(disk.trace(), []);
    disk.record_trace();
    file.size().unwrap();
    disk.record_trace();
    file.sync_data().unwrap();
    assert_eq!(disk.trace(), [Call::Size(FILE.into()), Call::Sync(FILE.into())]);
    disk.clear_trace();
    file.write_all_at(b"ab", 3).unwrap();
    assert_eq!(disk.trace(), [Call::Write(FILE.into(), 3..5)]);
    assert_eq!(disk.after_kill().trace(), []);
}

#[test]
fn every_call_is_recorded_with_what_it_was_for_also_if_it_fails() {
    let (disk, file) = synced(b"");
    disk.record_trace();
    let (dir, path, other) = (Path::new("/d"), Path::new(FILE), Path::new("/d/other"));
    let before = disk.io_count();
    disk.create_dir_all(dir).unwrap();
    disk.list(dir).unwrap();
    disk.open(path, false).unwrap();
    disk.open(other, true).unwrap();
    disk.open_read(path).unwrap();
    file.write_all_at(&[0; 48], 64).unwrap();
    file.read_at(&mut [0; 8], 4).unwrap();
    file.set_len(7).unwrap();
    file.size().unwrap();
    file.sync_data().unwrap();
    disk.rename(path, other).unwrap();
    disk.remove(other).unwrap();
    disk.lock(Path::new("/d/LOCK")).unwrap();
    disk.fail_after(1);
    disk.sync_dir(dir).unwrap_err();
    let expected = [
        "create_dir /d",
        "list /d",
        "open /d/file",
        "create /d/other",
        "open_read /d/file",
        "write /d/file 64..112",
        "read /d/file 4..12",
        "set_len /d/file 7",
        "size /d/file",
        "sync /d/file",
        "rename /d/file /d/other",
        "remove /d/other",
        "lock /d/LOCK",
        "sync_dir /d",
    ];
    assert_eq!(shown(&disk), expected);
    assert_eq!(disk.io_count() - before, expected.len() as u64);
}
