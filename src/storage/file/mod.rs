//! Storage in files: one log of checksummed batches in segments, and the state in memory.
//!
//! A directory holds `LOCK`, `segments/<id>.log`, `state.snapshot` and, after some crashes,
//! `quarantine/`. Other files are left alone. One commit is one batch: a header and a body, each
//! with a CRC-32C, where the header's is seeded with the store and the segment. Nothing that was
//! written is ever overwritten with something else, and no file of the log is ever deleted.

mod body;
mod bytes;
mod cursor;
mod disk;
mod failure;
mod frame;
mod layout;
mod log;
mod recovery;
mod report;
mod scan;
mod segment;
mod snapshot;
mod view;
mod window;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

#[cfg(any(test, feature = "testing"))]
pub use disk::{Call, Fault, MemoryDisk};
pub use disk::{Disk, DiskFile, DiskLock, LockError, RealDisk};
use parking_lot::{Mutex, RwLock};
pub use report::RecoveryReport;

use self::{
    cursor::Cursors,
    failure::{doing, indeterminate},
    frame::Frame,
    layout::Layout,
    log::{Log, Phase},
    recovery::Recovered,
    view::View,
};
use super::{Commit, KeyValue, Record, Storage, StorageError};
use crate::{message::Position, policy::Durability};

/// Storage in files, for one process at a time.
///
/// The state is held in memory; the log is read from the files. A commit is at most
/// [`FileStorage::MAX_COMMIT`] bytes.
///
/// What a crash left unfinished at the end of the log is discarded and reported
/// ([`FileStorage::recovery`]). Damage to commits that are known to have been durable is refused.
/// One case looks like the former and is the latter: damage to the last commits, or their loss with
/// the end of the newest segment, where no commit, segment or close came after them to vouch for them.
///
/// Dropping the storage without [`Storage::close`] releases the directory and syncs nothing.
#[derive(Debug)]
pub struct FileStorage {
    disk: Arc<dyn Disk>,
    layout: Layout,
    report: RecoveryReport,
    /// Taken by commits, before `view`.
    log: Mutex<Log>,
    view: RwLock<View>,
    cursors: Cursors,
}

/// How a [`FileStorage`] is to be opened.
#[derive(Debug)]
#[must_use]
pub struct FileStorageBuilder {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    segment_bytes: u64,
}

impl FileStorageBuilder {
    /// Uses another disk than the machine's file system.
    pub fn disk(mut self, disk: impl Disk) -> Self {
        self.disk = Arc::new(disk);
        self
    }

    /// How large a segment may become, in bytes: 64 MiB by default, at least 1 KiB and at most
    /// 4 GiB; other values count as the nearest of these. A larger commit gets a segment for
    /// itself. Each new segment saves the state anew.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes.clamp(FileStorage::MIN_SEGMENT, FileStorage::MAX_SEGMENT);
        self
    }

    /// Opens the directory, making it if it is missing.
    ///
    /// # Errors
    /// [`StorageError::InUse`], [`StorageError::Corrupt`] and [`StorageError::Format`] modify
    /// nothing; [`StorageError::Io`] where the disk fails.
    pub fn open(self) -> Result<FileStorage, StorageError> {
        let disk = &*self.disk;
        let root = disk.absolute(&self.root).map_err(doing("finding", &self.root))?;
        let layout = Layout::new(&root);
        for dir in [&layout.root, &layout.segments] {
            disk.create_dir_all(dir).map_err(doing("creating", dir))?;
        }
        let lock = disk.lock(&layout.lock).map_err(|error| match error {
            LockError::Io(error) => doing("locking", &layout.lock)(error),
            LockError::Held(holder) => StorageError::InUse { path: layout.root.clone(), holder },
        })?;
        let Recovered { view, active, seq, report } = recovery::recover(disk, &layout)?;
        report.emit(&layout.root);
        let log = Log {
            phase: Phase::Open,
            active,
            seq,
            end: view.end,
            durable: seq,
            segment_bytes: self.segment_bytes,
            lock: Some(lock),
        };
        Ok(FileStorage {
            disk: self.disk,
            layout,
            report,
            log: Mutex::new(log),
            view: RwLock::new(view),
            cursors: Cursors::default(),
        })
    }
}

impl FileStorage {
    /// The largest commit, in bytes once encoded: 16 MiB.
    pub const MAX_COMMIT: usize = frame::MAX_BODY;
    const DEFAULT_SEGMENT: u64 = 64 * 1024 * 1024;
    const MIN_SEGMENT: u64 = 1024;
    const MAX_SEGMENT: u64 = 4 * 1024 * 1024 * 1024;

    /// Opens a directory of the machine's file system, making it if it is missing.
    ///
    /// # Errors
    /// As [`FileStorageBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        Self::builder(path).open()
    }

    /// Begins to say how a directory is to be opened.
    pub fn builder(path: impl AsRef<Path>) -> FileStorageBuilder {
        FileStorageBuilder {
            disk: Arc::new(RealDisk::new()),
            root: path.as_ref().to_owned(),
            segment_bytes: Self::DEFAULT_SEGMENT,
        }
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// Begins another segment where the frame no longer fits into this one.
    fn make_room(&self, log: &mut Log, frame: &Frame) -> Result<(), StorageError> {
        if !log.is_full(frame.len()) {
            return Ok(());
        }
        log.save(&*self.disk, &self.layout, &self.view.read().state)?;
        let segment = log.roll(&*self.disk, &self.layout)?;
        self.view.write().segments.push(segment);
        Ok(())
    }

    /// Makes everything durable, and the next start a quick and certain one.
    fn finish(&self, log: &mut Log) -> Result<(), StorageError> {
        log.sync()?;
        // Also where nothing is left to sync: a file that no longer works must not be vouched for.
        let active = &log.active;
        active.file.sync_data().map_err(doing("syncing", &active.path))?;
        log.save(&*self.disk, &self.layout, &self.view.read().state)
    }

    fn check_open(&self) -> Result<parking_lot::RwLockReadGuard<'_, View>, StorageError> {
        let view = self.view.read();
        if view.closed { Err(StorageError::Closed) } else { Ok(view) }
    }
}

/// Numbers in the log begin at 1.
fn position(number: u64) -> Position {
    Position::new(number).unwrap_or(Position::FIRST)
}

impl Storage for FileStorage {
    fn end(&self) -> Position {
        position(self.view.read().end)
    }

    fn first(&self) -> Position {
        Position::FIRST
    }

    fn commit(&self, commit: Commit) -> Result<Position, StorageError> {
        let mut frame = Frame::encode(&commit)?;
        let mut log = self.log.lock();
        log.check_usable()?;
        let first = log.end;
        self.view.read().state.check(&commit.preconditions, first)?;
        if frame.is_empty() {
            if commit.durability == Durability::Synced {
                log.step(Log::sync)?;
            }
            return Ok(position(first));
        }
        log.step(|log| {
            self.make_room(log, &frame)?;
            let offset = log.active.valid();
            let header = log.append(&mut frame, commit.durability)?;
            let mut view = self.view.write();
            log.active.set_valid(offset + frame.len());
            view.note(log.active.header.id, offset, &header);
            view.state.apply(commit.writes);
            Ok(position(first))
        })
    }

    fn read(
        &self,
        from: Position,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        let end = self.check_open()?.end;
        if from.get() >= end {
            return Ok(Vec::new());
        }
        self.cursors.read(&self.view, from.get(), max_records, max_bytes)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.check_open()?.state.get(key).map(<[u8]>::to_vec))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        Ok(self.check_open()?.state.scan(prefix, after, max))
    }

    fn close(&self) -> Result<(), StorageError> {
        let mut log = self.log.lock();
        let result = match std::mem::replace(&mut log.phase, Phase::Closed) {
            Phase::Closed => return Ok(()),
            Phase::Poisoned => Err(StorageError::Poisoned),
            Phase::Open => self.finish(&mut log).map_err(indeterminate),
        };
        self.view.write().closed = true;
        self.cursors.clear();
        log.lock = None;
        result
    }
}
