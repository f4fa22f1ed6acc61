//! What happens around the log: the process moves, others write there, the disk panics.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tidings::{
    Durability, Envelope, MessageId, Position,
    storage::{
        Commit, FileStorage, Record, Storage, StorageError, Write,
        file::{Disk, DiskFile, DiskLock, LockError},
    },
    testing::MemoryDisk,
};

fn commit(number: u64) -> Commit {
    let envelope = Envelope::new("test", 1, MessageId::from_bytes([1; 16]));
    Commit {
        records: vec![Record { envelope: Arc::new(envelope), payload: vec![7; 300] }],
        writes: vec![Write::put("last", number.to_be_bytes())],
        preconditions: Vec::new(),
        durability: Durability::Synced,
    }
}

/// The test below, in a process of its own, since the current directory belongs to all of it.
#[test]
fn a_relative_directory_stays_where_it_was_opened() {
    let Ok(root) = std::env::var("TIDINGS_TEST_ROOT") else {
        let dir = tempfile::tempdir().unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["surroundings::a_relative_directory_stays_where_it_was_opened", "--exact"])
            .env("TIDINGS_TEST_ROOT", dir.path())
            .status()
            .unwrap();
        assert!(status.success());
        return;
    };
    let root = PathBuf::from(root);
    std::fs::create_dir_all(root.join("elsewhere/store/segments")).unwrap();
    std::env::set_current_dir(&root).unwrap();
    let storage = FileStorage::builder("store").segment_bytes(1024).open().unwrap();
    std::env::set_current_dir(root.join("elsewhere")).unwrap();
    for number in 0..10 {
        storage.commit(commit(number)).unwrap();
    }
    storage.close().unwrap();
    let storage = FileStorage::open(root.join("store")).unwrap();
    assert_eq!(storage.end(), Position::FIRST.plus(10));
}

#[test]
fn a_segment_of_somebody_else_is_never_written_over() {
    let disk = MemoryDisk::new();
    let storage =
        FileStorage::builder("store").disk(disk.clone()).segment_bytes(1024).open().unwrap();
    let theirs = Path::new("store/segments/00000000000000000002.log");
    disk.set_contents(theirs, *b"something acknowledged elsewhere");
    let error = (0..10).find_map(|number| storage.commit(commit(number)).err()).unwrap();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    assert!(matches!(storage.commit(commit(10)), Err(StorageError::Corrupt { .. })));
    assert_eq!(disk.contents(theirs).unwrap(), b"something acknowledged elsewhere");
}

/// A disk that can be told to panic instead of syncing.
#[derive(Debug, Clone)]
struct Explosive {
    inner: MemoryDisk,
    armed: Arc<AtomicBool>,
}

#[derive(Debug)]
struct ExplosiveFile(Arc<dyn DiskFile>, Arc<AtomicBool>);

impl Disk for Explosive {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.open(path, create)?;
        Ok(Arc::new(ExplosiveFile(file, Arc::clone(&self.armed))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.inner.lock(path)
    }

    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }
}

impl DiskFile for ExplosiveFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        assert!(!self.1.load(Ordering::SeqCst), "boom");
        self.0.sync_data()
    }
}

#[test]
fn a_panic_in_the_midst_of_a_commit_poisons_and_halves_nothing() {
    let inner = MemoryDisk::new();
    let disk = Explosive { inner: inner.clone(), armed: Arc::default() };
    let storage = FileStorage::builder("store").disk(disk.clone()).open().unwrap();
    storage.commit(commit(1)).unwrap();
    disk.armed.store(true, Ordering::SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| storage.commit(commit(2)))).is_err());
    disk.armed.store(false, Ordering::SeqCst);
    assert!(matches!(storage.commit(commit(3)), Err(StorageError::Poisoned)));
    assert!(matches!(storage.close(), Err(StorageError::Poisoned)));
    inner.kill();
    let storage = FileStorage::builder("store").disk(disk).open().unwrap();
    let records = storage.end().since(Position::FIRST);
    let state = storage.get(b"last").unwrap().unwrap();
    assert_eq!(state, records.to_be_bytes(), "records and state agree");
}
