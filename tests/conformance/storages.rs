//! The storages of the crate pass.

use std::sync::Arc;

use tempfile::TempDir;
use tidings::{
    Envelope, MessageId,
    storage::{
        Commit, Compaction, FileStorage, MemoryStorage, Record, Storage, StorageError, Trim, Write,
    },
    storage_conformance,
    testing::{
        MemoryDisk,
        conformance::{self, STORAGE_CHECKS, StorageFaults, StorageFixture},
    },
};

pub(crate) struct Memory(pub(crate) MemoryStorage);

impl StorageFixture for Memory {
    type Storage = MemoryStorage;

    fn open(&self) -> Result<MemoryStorage, StorageError> {
        Ok(self.0.reopened())
    }

    fn persistent(&self) -> bool {
        true
    }
}

/// A store on the simulated disk, in segments of this size.
struct Simulated(MemoryDisk, u64);

impl StorageFixture for Simulated {
    type Storage = FileStorage;

    fn open(&self) -> Result<FileStorage, StorageError> {
        FileStorage::builder("/store").disk(self.0.clone()).segment_bytes(self.1).open()
    }

    fn persistent(&self) -> bool {
        true
    }

    fn faults(&self) -> Option<&dyn StorageFaults> {
        Some(&self.0)
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

storage_conformance!(memory, Memory(MemoryStorage::new()));
storage_conformance!(files_on_the_simulated_disk, Simulated(MemoryDisk::new(), 1 << 30));
storage_conformance!(files_in_small_segments, Simulated(MemoryDisk::new(), 0));
storage_conformance!(files_on_the_real_disk, Real(TempDir::new().unwrap()));

#[test]
fn a_storage_in_memory_says_how_large_it_is_and_what_it_cannot_do() {
    let storage = MemoryStorage::new();
    let envelope = Arc::new(Envelope::new("test", 1, MessageId::from_bytes([1; 16])));
    let record = Record { envelope, payload: vec![7; 300] };
    storage.commit(Commit { records: vec![record; 10], ..Commit::default() }).unwrap();
    assert_eq!(storage.log_bytes(), 3000);
    storage.trim(&Trim::before(storage.end()).max_bytes(1000)).unwrap();
    assert_eq!(storage.log_bytes(), 900, "as much as fits");
    let writes = vec![Write::put("key", vec![7; MemoryStorage::MAX_COMMIT])];
    let large = storage.commit(Commit { writes, ..Commit::default() });
    assert!(matches!(large, Err(StorageError::TooLarge { .. })), "{large:?}");
    let compaction = Compaction::new(vec!["test".into()], storage.end());
    assert_eq!(storage.compact(&compaction).unwrap(), 0);
    let copied = storage.backup("nowhere".as_ref());
    assert!(matches!(copied, Err(StorageError::Unsupported { .. })), "{copied:?}");
}

#[test]
fn the_whole_suite_runs_in_one_call_too() {
    conformance::storage(|| Memory(MemoryStorage::new()));
}

#[test]
fn a_name_of_no_check_is_refused() {
    let run = || conformance::storage_check("that", || Memory(MemoryStorage::new()));
    assert!(std::panic::catch_unwind(run).is_err());
    assert!(!STORAGE_CHECKS.contains(&"that"));
}
