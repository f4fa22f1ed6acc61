//! Every storage passes the conformance suite, and what only files can do.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::disallowed_methods)] // measurements, real files

use std::{path::Path, sync::Arc};

use tempfile::TempDir;
use tidings::{
    Durability, Envelope, MessageId, Position,
    storage::{Commit, FileStorage, MemoryStorage, Record, Storage, StorageError, Write},
    testing::{
        MemoryDisk,
        conformance::{self, StorageFixture},
    },
};

struct Memory(MemoryStorage);

impl StorageFixture for Memory {
    type Storage = MemoryStorage;

    fn open(&self) -> Result<MemoryStorage, StorageError> {
        Ok(self.0.reopened())
    }

    fn persistent(&self) -> bool {
        true
    }
}

struct Simulated(MemoryDisk, u64);

impl StorageFixture for Simulated {
    type Storage = FileStorage;

    fn open(&self) -> Result<FileStorage, StorageError> {
        FileStorage::builder("/store").disk(self.0.clone()).segment_bytes(self.1).open()
    }

    fn persistent(&self) -> bool {
        true
    }
}

struct Real(TempDir);

impl StorageFixture for Real {
    type Storage = FileStorage;

    fn open(&self) -> Result<FileStorage, StorageError> {
        FileStorage::builder(self.0.path().join("a/store")).segment_bytes(1 << 20).open()
    }

    fn persistent(&self) -> bool {
        true
    }
}

#[test]
fn memory_conforms() {
    conformance::storage(|| Memory(MemoryStorage::new()));
}

#[test]
fn files_on_the_simulated_disk_conform() {
    conformance::storage(|| Simulated(MemoryDisk::new(), 1 << 30));
}

#[test]
fn files_in_small_segments_conform() {
    conformance::storage(|| Simulated(MemoryDisk::new(), 0));
}

#[test]
fn files_on_the_real_disk_conform() {
    conformance::storage(|| Real(TempDir::new().unwrap()));
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
fn unknown_files_are_left_alone() {
    let disk = MemoryDisk::new();
    let fixture = Simulated(disk.clone(), 0);
    fixture.open().unwrap().close().unwrap();
    for path in ["/store/notes.txt", "/store/segments/1.log", "/store/segments/x.log"] {
        disk.set_contents(path, "mine");
    }
    fixture.open().unwrap().close().unwrap();
    assert_eq!(disk.contents("/store/segments/1.log").unwrap(), b"mine");
    assert_eq!(disk.contents("/store/notes.txt").unwrap(), b"mine");
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
    assert_eq!(storage.read(Position::FIRST, 9, 9999).unwrap(), [typical(1)]);
    assert_eq!(storage.get(b"n").unwrap().unwrap(), b"1");
    assert!(matches!(storage.close(), Err(StorageError::Poisoned)));
    assert!(matches!(storage.commit(commit(3)), Err(StorageError::Closed)));
    storage.close().unwrap();
}

/// Speeds in release mode: `cargo test --release --test storage -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn measure() {
    let dir = TempDir::new_in(std::env::var("MEASURE_IN").unwrap_or(".".into())).unwrap();
    let storage = FileStorage::open(dir.path().join("store")).unwrap();
    let commit = |n: usize, bytes: usize, durability| Commit {
        records: (0..n as u64)
            .map(|n| Record { payload: vec![b'x'; bytes], ..typical(n) })
            .collect(),
        durability,
        ..Commit::default()
    };
    let timed = |what: &str, times: u32, commit: Commit| {
        let bytes: usize = commit.records.iter().map(|record| record.payload.len()).sum();
        let commits: Vec<Commit> = (0..times).map(|_| commit.clone()).collect();
        let start = std::time::Instant::now();
        for commit in commits {
            storage.commit(commit).unwrap();
        }
        let each = start.elapsed() / times;
        println!("{what}: {each:?} a commit, {:.0} MB/s", bytes as f64 / each.as_secs_f64() / 1e6);
    };
    timed("1 x 200 B, synced", 500, commit(1, 200, Durability::Synced));
    timed("64 x 200 B, synced", 200, commit(64, 200, Durability::Synced));
    let read = |what: &str, from: Position| {
        let start = std::time::Instant::now();
        let (mut next, mut bytes) = (from, 0);
        loop {
            let found = storage.read(next, 256, 1 << 20).unwrap();
            if found.is_empty() {
                break;
            }
            next = next.plus(found.len() as u64);
            bytes += found.iter().map(|record| record.payload.len() + 60).sum::<usize>();
        }
        let (took, count) = (start.elapsed(), next.since(from));
        let rate = bytes as f64 / took.as_secs_f64() / 1e6;
        println!(
            "read {what}: {count} records, {rate:.0} MB/s, {:.0} ns each",
            took.as_secs_f64() / count as f64 * 1e9
        );
    };
    for (records, bytes, times) in
        [(1, 200, 20_000), (64, 200, 2000), (64, 1024, 2000), (64, 8192, 300)]
    {
        let from = storage.end();
        let what = format!("{records} x {bytes} B");
        timed(&format!("{what}, buffered"), times, commit(records, bytes, Durability::Buffered));
        read(&what, from);
    }
    let start = std::time::Instant::now();
    storage.close().unwrap();
    println!("close: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let again = FileStorage::open(dir.path().join("store")).unwrap();
    println!("open: {:?}, {:?}", start.elapsed(), again.recovery());
}
