//! What only files can do; all that a storage must is in `tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::disallowed_methods)] // small numbers, real files

use std::{path::Path, sync::Arc};

use tempfile::TempDir;
use tidings::{
    Envelope, MessageId, Position,
    storage::{Commit, FileReader, FileStorage, Query, Record, Storage, StorageError, Write},
    testing::{Fault, MemoryDisk},
};

struct Simulated(MemoryDisk, u64);

impl Simulated {
    fn open(&self) -> Result<FileStorage, StorageError> {
        FileStorage::builder("/store").disk(self.0.clone()).segment_bytes(self.1).open()
    }
}

fn in_use(path: &Path) -> String {
    match FileStorage::open(path) {
        Err(StorageError::InUse { path: named, holder }) => {
            assert_eq!(named, path);
            holder
        }
        other => panic!("expected `InUse`, found {other:?}"),
    }
}

#[test]
fn a_second_opener_learns_who_the_first_is() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    let first = FileStorage::open(&path).unwrap();
    let holder = in_use(&path);
    let me = format!("process {} since 2", std::process::id());
    assert!(holder.starts_with(&me) && holder.ends_with('Z'), "{holder}");
    first.close().unwrap();
    let second = FileStorage::open(&path).unwrap();
    in_use(&path);
    drop(second);
    FileStorage::open(&path).unwrap();
}

#[test]
fn a_bare_name_is_a_directory_beside_the_process() {
    let name = format!("storage-test-{}", std::process::id());
    let opened = FileStorage::open(&name);
    std::fs::remove_dir_all(&name).unwrap();
    opened.unwrap();
}

/// The directory above cannot be synced then. Root is refused nothing, so that it proves nothing.
#[cfg(unix)]
#[test]
fn a_store_below_a_directory_that_is_not_ours_to_read_is_opened() {
    use std::{fs, os::unix::fs::PermissionsExt};
    let dir = TempDir::new().unwrap();
    let (above, store) = (dir.path().join("above"), dir.path().join("above/store"));
    fs::create_dir_all(&store).unwrap();
    fs::set_permissions(&above, fs::Permissions::from_mode(0o311)).unwrap();
    let opened = FileStorage::open(&store);
    fs::set_permissions(&above, fs::Permissions::from_mode(0o700)).unwrap();
    opened.unwrap();
}

#[test]
fn a_failed_open_does_not_keep_the_lock() {
    let disk = MemoryDisk::new();
    let fixture = Simulated(disk.clone(), 0);
    for n in 1..12 {
        disk.fail_after(n);
        assert!(fixture.open().is_err(), "{n}");
        disk.heal();
    }
    fixture.open().unwrap().close().unwrap();
}

#[test]
fn unknown_files_are_left_alone_or_set_aside_and_never_deleted() {
    let disk = MemoryDisk::new();
    let fixture = Simulated(disk.clone(), 0);
    fixture.open().unwrap().close().unwrap();
    for name in ["notes.txt", "segments/1.log", "segments/x.log", "state/x.run"] {
        disk.set_contents(format!("/store/{name}"), "mine");
    }
    let storage = fixture.open().unwrap();
    assert_eq!(disk.contents("/store/notes.txt").unwrap(), b"mine");
    assert_eq!(storage.recovery().set_aside.len(), 3);
    for path in &storage.recovery().set_aside {
        assert!(path.starts_with("/store/quarantine"));
        assert_eq!(disk.contents(path).unwrap(), b"mine");
    }
}

fn typical(number: u64) -> Record {
    let mut envelope =
        Envelope::new("orders.placed", 1, MessageId::from_bytes([number.to_le_bytes()[0]; 16]));
    envelope.key = Some(format!("order-{number:06}").into());
    envelope.correlation = Some(MessageId::from_bytes([7; 16]).into());
    envelope.published_at =
        tidings::Timestamp::from_nanos(1_700_000_000_000_000_000 + number * 3000);
    Record { envelope: Arc::new(envelope), payload: vec![b'x'; 200] }
}

fn log_bytes(disk: &MemoryDisk) -> u64 {
    let files = disk.files();
    let logs = files.iter().filter(|path| path.extension().is_some_and(|it| it == "log"));
    logs.map(|path| disk.contents(path).unwrap().len() as u64).sum()
}

/// Bytes in the log beyond the payload, a record, for a commit of so many.
fn overhead(records: u64) -> f64 {
    let disk = MemoryDisk::new();
    let storage = Simulated(disk.clone(), 1 << 30).open().unwrap();
    let before = log_bytes(&disk);
    let commit = Commit { records: (0..records).map(typical).collect(), ..Commit::default() };
    storage.commit(commit).unwrap();
    (log_bytes(&disk) - before) as f64 / records as f64 - 200.0
}

#[test]
fn a_record_costs_at_most_64_bytes_beyond_its_payload() {
    let measured = [1, 8, 64].map(overhead);
    println!("bytes a record in commits of 1, 8 and 64: {measured:?}");
    assert!(measured[1] <= 64.0, "{measured:?}");
    // Alone it bears the batch's header and the event's name.
    assert!(measured[0] <= 48.0 + 24.0 + 64.0, "{measured:?}");
}

#[test]
fn after_a_failed_write_reads_go_on_and_commits_do_not() {
    let disk = MemoryDisk::new();
    let storage = Simulated(disk.clone(), 1 << 30).open().unwrap();
    let commit = |n| Commit {
        records: vec![typical(n)],
        writes: vec![Write::put("n", n.to_string())],
        ..Commit::default()
    };
    storage.commit(commit(1)).unwrap();
    disk.fail_after(1);
    assert!(matches!(storage.commit(commit(2)), Err(StorageError::Indeterminate { .. })));
    disk.heal();
    assert!(matches!(storage.commit(commit(3)), Err(StorageError::Poisoned)));
    let page = storage.read(&Query::from(Position::FIRST)).unwrap();
    assert_eq!(page.records, [(Position::FIRST, typical(1))]);
    assert_eq!(storage.get(b"n").unwrap().unwrap(), b"1");
    assert!(matches!(storage.close(), Err(StorageError::Poisoned)));
    assert!(matches!(storage.commit(commit(3)), Err(StorageError::Closed)));
    storage.close().unwrap();
}

#[test]
fn what_a_store_consists_of_leaves_out_what_is_gone_and_nothing_that_could_not_be_looked_at() {
    let disk = MemoryDisk::new();
    let storage = Simulated(disk.clone(), 0).open().unwrap();
    for number in 1..=20 {
        let writes = vec![Write::put("last", number.to_string())];
        let records = vec![typical(number)];
        storage.commit(Commit { records, writes, ..Commit::default() }).unwrap();
    }
    storage.close().unwrap();
    disk.set_contents("/store/segments/stranger", "mine");
    Simulated(disk.clone(), 0).open().unwrap().close().unwrap();
    let reader = FileReader::open_on(disk.clone(), "/store").unwrap();
    let before = disk.io_count();
    let whole = reader.info().unwrap();
    let length = |path: &Path| disk.contents(path).unwrap().len() as u64;
    for (number, segment) in (1..).zip(&whole.segments) {
        let path = format!("/store/segments/{number:020}.log");
        assert_eq!((segment.id, segment.bytes), (number, length(Path::new(&path))));
        assert_eq!(segment.sealed, number < whole.segments.len() as u64);
    }
    let files = whole.state.iter().chain(&whole.set_aside);
    assert!(files.clone().all(|file| file.bytes == length(&file.path)));
    assert!(whole.segments.len() > 2 && whole.closed);
    assert_eq!((whole.state.len(), whole.set_aside.len()), (1, 1));
    let segments: u64 = whole.segments.iter().map(|segment| segment.bytes).sum();
    assert_eq!(whole.bytes, segments + files.map(|file| file.bytes).sum::<u64>());
    for call in 1..=disk.io_count() - before {
        disk.fail(Fault::at(call).once());
        let found = reader.info();
        assert!(matches!(found, Err(StorageError::Io { .. })), "call {call}: {found:?}");
    }
    assert_eq!(reader.info().unwrap(), whole);
    disk.lose("/store/segments/00000000000000000001.log");
    assert_eq!(reader.info().unwrap().segments, whole.segments[1..]);
}

#[test]
fn a_compaction_gets_along_with_an_event_that_just_fits_into_a_commit() {
    let disk = MemoryDisk::new();
    let storage = FileStorage::builder("/store").disk(disk.clone()).open().unwrap();
    let commit = |key: &str, bytes: usize| {
        let mut envelope = Envelope::new("n", 1, MessageId::from_bytes([1; 16]));
        envelope.key = Some(key.into());
        let record = Record { envelope: Arc::new(envelope), payload: vec![7; bytes] };
        storage.commit(Commit { records: vec![record], ..Commit::default() }).unwrap();
    };
    let large = FileStorage::MAX_COMMIT - 60;
    // The fourth segment is the first one that has room for more than one of these.
    for (keys, bytes) in [("abc", large), ("xyx", 1), ("defg", large)] {
        for key in keys.chars() {
            commit(&key.to_string(), bytes);
        }
    }
    let names = vec!["n".into()];
    let compaction = tidings::storage::Compaction::new(names, storage.end());
    assert_eq!(storage.compact(&compaction).unwrap(), 1);
    let page = storage.read(&Query::from(Position::FIRST).bytes(usize::MAX)).unwrap();
    assert_eq!(page.records.len(), 9);
}
