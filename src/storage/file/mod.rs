//! Storage in files: a log of checksummed batches in segments, and the state in sorted runs.
//!
//! A directory holds `LOCK`, `MANIFEST`, `segments/`, `state/` and, after some crashes,
//! `quarantine/`; `docs/format.md` describes every byte. One commit is one batch: a header and a
//! body, each with a CRC-32C, where the header's is seeded with the store and the segment. The log is
//! the truth; the runs hold what its batches wrote to the state, up to some batch, and memory holds
//! the rest. Nothing that counts is ever overwritten with something else.

mod backup;
mod body;
mod bytes;
mod checksum;
mod compaction;
mod cursor;
mod directory;
mod disk;
mod failure;
mod follow;
mod frame;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod info;
mod log;
mod lost;
mod manifest;
mod next;
mod planted;
mod reader;
mod recovery;
mod report;
mod retention;
mod salvage;
mod scan;
mod segment;
mod state;
mod survey;
mod upkeep;
mod verify;
mod view;
mod window;

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

#[cfg(any(test, feature = "testing"))]
pub use disk::{Call, Fault, MemoryDisk};
pub use disk::{Disk, DiskFile, DiskLock, LockError, RealDisk};
pub use info::{FileInfo, SegmentInfo, StoreInfo};
pub use lost::{LOST_NAME, lost_positions};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
#[cfg(any(test, feature = "testing"))]
pub use planted::Mistake;
pub use reader::FileReader;
pub use report::RecoveryReport;
pub use salvage::{Salvage, SalvageError, Salvaged, StateLoss};
pub use survey::Progress;
pub use verify::{Problem, Verdict, Verification, verify, verify_on};

use self::{
    body::Raw,
    checksum::Seed,
    cursor::Cursors,
    directory::Directory,
    failure::{doing, indeterminate},
    frame::Frame,
    index::Indexes,
    log::{Log, Usable},
    next::Next,
    planted::Planted,
    recovery::Recovered,
    segment::StoreId,
    upkeep::Keeper,
    view::View,
};
use super::{
    Commit, Compaction, KeyValue, Page, Query, RecordRef, Storage, StorageError, Trim, Upkeep,
};
use crate::{event::Durability, message::Position};

/// Storage in files, for one process at a time.
///
/// A commit is at most [`FileStorage::MAX_COMMIT`] bytes. The state may be larger than memory: it is
/// kept in sorted files, and only what was written lately is in memory as well.
///
/// What a crash left unfinished at the end of the log is set aside and reported
/// ([`FileStorage::recovery`]). Damage to commits that are known to have been durable is refused.
/// One case looks like the former and is the latter: damage to the last commits, where no commit,
/// [upkeep](Storage::upkeep) or close came after them to vouch for them.
///
/// Dropping the storage without [`Storage::close`] releases the directory and syncs nothing.
#[derive(Debug)]
pub struct FileStorage {
    dir: Directory,
    store: StoreId,
    report: RecoveryReport,
    segment_bytes: u64,
    state_bytes: usize,
    /// One upkeep at a time. Taken before `log`.
    keeper: Mutex<Keeper>,
    /// Taken by commits, before `next` and `view`.
    log: Mutex<Log>,
    next: Arc<Mutex<Next>>,
    view: RwLock<View>,
    /// The files of the state contain the writes of all batches up to this seq.
    covered: AtomicU64,
    indexes: Arc<Indexes>,
    cursors: Cursors,
    /// Every sealed segment up to this id has an index.
    indexed: AtomicU64,
    /// A copy or a compaction under way is to end.
    closing: AtomicBool,
}

/// How a [`FileStorage`] is to be opened.
#[derive(Debug)]
#[must_use]
pub struct FileStorageBuilder {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    segment_bytes: u64,
    state_bytes: usize,
    planted: Planted,
}

impl FileStorageBuilder {
    /// Uses another disk than the machine's file system.
    pub fn disk(mut self, disk: impl Disk) -> Self {
        self.disk = Arc::new(disk);
        self
    }

    /// How large a segment may become, in bytes: 64 MiB by default, at least 1 KiB and at most
    /// 4 GiB; other values count as the nearest of these. The first ones are smaller; a larger commit
    /// gets a segment for itself.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes.clamp(FileStorage::MIN_SEGMENT, FileStorage::MAX_SEGMENT);
        self
    }

    /// How much memory the state may take before it is written to a file, in bytes: 16 MiB by
    /// default.
    pub fn state_bytes(mut self, bytes: usize) -> Self {
        self.state_bytes = bytes;
        self
    }

    /// Makes a mistake, to see whether tests find it.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn plant(mut self, mistake: Mistake) -> Self {
        self.planted = Planted { mistake: Some(mistake) };
        self
    }

    /// Opens the directory, making it if it is missing.
    ///
    /// # Errors
    /// [`StorageError::InUse`], [`StorageError::Corrupt`] and [`StorageError::Format`] modify
    /// nothing; [`StorageError::Io`] where the disk fails.
    pub fn open(self) -> Result<FileStorage, StorageError> {
        let root = self.disk.absolute(&self.root).map_err(doing("finding", &self.root))?;
        let dir = Directory::new(self.disk, &root, self.planted);
        dir.disk.create_dir_all(&root).map_err(doing("creating", &root))?;
        let lock = dir.disk.lock(&dir.lock).map_err(|error| match error {
            LockError::Io(error) => doing("locking", &dir.lock)(error),
            LockError::Held(holder) => StorageError::InUse { path: root.clone(), holder },
        })?;
        let Recovered { view, log, report } = recovery::recover(&dir, lock, self.segment_bytes)?;
        report.emit(&root);
        let indexes = Arc::new(Indexes::new(&dir, &log.manifest));
        Ok(FileStorage {
            store: log.manifest.store,
            report,
            segment_bytes: self.segment_bytes,
            state_bytes: self.state_bytes,
            keeper: Mutex::default(),
            next: Arc::clone(&log.next),
            view: RwLock::new(view),
            covered: AtomicU64::new(log.manifest.state_seq),
            cursors: Cursors::new(log.manifest.seed(), &indexes),
            indexes,
            indexed: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            log: Mutex::new(log),
            dir,
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
            state_bytes: upkeep::STATE_BYTES,
            planted: Planted::default(),
        }
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// Begins another segment where so many bytes no longer fit into this one.
    fn find_room(&self, log: &mut Log, bytes: u64) -> Result<(), StorageError> {
        if log.make_room(&self.dir, bytes)? {
            self.view.write().segments.push(Arc::clone(&log.active.segment));
        }
        Ok(())
    }

    /// Fails once the storage is being closed, for work that takes long.
    fn check_not_closing(&self) -> Result<(), StorageError> {
        if self.closing.load(Ordering::Acquire) { Err(StorageError::Closed) } else { Ok(()) }
    }

    fn check_open(&self) -> Result<RwLockReadGuard<'_, View>, StorageError> {
        let view = self.view.read();
        if view.closed { Err(StorageError::Closed) } else { Ok(view) }
    }

    /// Bounds the memory of a state that nobody keeps up with.
    fn catch_up(&self) {
        if self.view.read().state.bytes() < 4 * self.state_bytes.max(1024 * 1024) {
            return;
        }
        // Whoever has the keeper is at it, or at something that a commit does not wait for.
        let Some(mut keeper) = self.keeper.try_lock() else { return };
        if let Err(error) = self.checkpoint(&mut keeper) {
            tracing::warn!(%error, "the state could not be written to a file");
        }
    }
}

/// How many bytes of a segment are kept for urgent commits.
const RESERVE: u64 = 256 * 1024;

/// Numbers in the log begin at 1.
fn position(number: u64) -> Position {
    Position::new(number).unwrap_or(Position::FIRST)
}

impl Storage for FileStorage {
    fn end(&self) -> Position {
        position(self.view.read().end)
    }

    fn first(&self) -> Position {
        position(self.view.read().first())
    }

    fn commit(&self, mut commit: Commit) -> Result<Position, StorageError> {
        self.commit_from(&mut commit)
    }

    fn commit_from(&self, commit: &mut Commit) -> Result<Position, StorageError> {
        let mut frame = Frame::encode(commit, Seed::of(&self.store))?;
        self.catch_up();
        let mut log = self.log.lock();
        log.check_usable()?;
        let first = log.end;
        self.view.read().state.check(&commit.preconditions, first)?;
        if frame.is_empty() {
            if commit.durability == Durability::Synced {
                log.step(|log| log.sync(&self.dir))?;
            }
            return Ok(position(first));
        }
        self.find_room(&mut log, frame.len())?;
        log.step(|log| {
            let offset = log.active.segment.valid();
            let header = log.append(&self.dir, &mut frame, commit.durability)?;
            let mut view = self.view.write();
            log.active.segment.set_valid(offset + frame.len());
            view.note(&log.active.segment, offset, &header);
            view.state.apply(std::mem::take(&mut commit.writes));
            Ok(position(first))
        })
    }

    fn make_room(&self, bytes: u64, urgent: bool) -> Result<(), StorageError> {
        let mut log = self.log.lock();
        log.check_usable()?;
        let kept = if urgent { 0 } else { RESERVE.min(self.segment_bytes / 8) };
        self.find_room(&mut log, bytes + kept)
    }

    fn read(&self, query: &Query) -> Result<Page, StorageError> {
        drop(self.check_open()?);
        self.cursors.read(&self.view, query)
    }

    fn visit(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<Position, StorageError> {
        drop(self.check_open()?);
        let mut visit = |at, raw: Raw<'_, '_>| visit(raw.at(position(at)));
        self.cursors.visit(&self.view, query, &mut visit).map(position)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let found = self.check_open()?.state.get(key);
        found.map_or_else(|files| files.get(key), Ok)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        self.check_open()?.state.scan(prefix, after, max)
    }

    fn log_bytes(&self) -> u64 {
        self.view.read().log_bytes()
    }

    fn trim(&self, trim: &Trim) -> Result<Position, StorageError> {
        self.drop_oldest(&mut self.keeper.lock(), trim)
    }

    fn compact(&self, compaction: &Compaction) -> Result<u64, StorageError> {
        self.compact_all(&mut self.keeper.lock(), compaction)
    }

    fn backup(&self, path: &Path) -> Result<(), StorageError> {
        self.copy_to(path)
    }

    fn wants_upkeep(&self) -> bool {
        self.is_behind()
    }

    fn upkeep(&self) -> Result<Upkeep, StorageError> {
        self.keep_up()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.closing.store(true, Ordering::Release);
        let mut keeper = self.keeper.lock();
        match self.checkpoint(&mut keeper) {
            Err(StorageError::Closed) => return Ok(()),
            // The log has it all the same.
            Err(error) => tracing::warn!(%error, "the state could not be written to a file"),
            Ok(()) => {}
        }
        let mut log = self.log.lock();
        let result = match log.check_usable() {
            Err(StorageError::Closed) => return Ok(()),
            Err(error) => Err(error),
            Ok(()) => log.finish(&self.dir).map_err(indeterminate),
        };
        log.usable = Usable::Closed;
        self.view.write().closed = true;
        self.cursors.clear();
        let spare = log.next.lock().spare.take();
        if let Some(spare) = spare.filter(|_| result.is_ok()) {
            self.dir.discard(&self.dir.segment(spare.id));
        }
        log.lock = None;
        result
    }
}
