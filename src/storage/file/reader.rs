//! Reading a store without opening it: beside the process that has it, or a damaged one.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use parking_lot::RwLock;

use super::{
    Disk, RealDisk, RecoveryReport, body::Raw, cursor::Cursors, directory::Directory,
    failure::doing, index::Indexes, manifest::Manifest, planted::Planted, position, recovery,
    survey, view::View,
};
use crate::{
    message::Position,
    storage::{Commit, KeyValue, Page, Query, RecordRef, Storage, StorageError},
};

/// How often a store that changes under the reader is looked at anew.
const ATTEMPTS: u32 = 20;

/// A store as it was at one moment, for reading alone. It takes no lock and changes nothing, so it
/// works beside the process that has the store open.
///
/// It keeps showing that moment; [`FileReader::refresh`] goes on to the present one. What the other
/// process has removed meanwhile can no longer be read ([`StorageError::Truncated`]).
#[derive(Debug)]
pub struct FileReader {
    pub(super) dir: Directory,
    pub(super) manifest: Manifest,
    pub(super) view: RwLock<View>,
    report: RecoveryReport,
    cursors: Cursors,
}

impl FileReader {
    /// Reads a store on the machine's file system.
    ///
    /// # Errors
    /// As for [`FileStorage::open`](super::FileStorage::open), but for the lock.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        Self::open_on(RealDisk::new(), path)
    }

    /// Reads a store on another disk.
    ///
    /// # Errors
    /// As for [`FileReader::open`].
    pub fn open_on(disk: impl Disk, path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let path = path.as_ref();
        let root = disk.absolute(path).map_err(doing("finding", path))?;
        Self::look(Directory::new(disk, &root, Planted::default()))
    }

    /// The same store as it is now.
    ///
    /// # Errors
    /// As for [`FileReader::open`].
    pub fn refresh(&self) -> Result<Self, StorageError> {
        Self::look(self.dir.clone())
    }

    /// The store as it is now, where the owner has dropped or rewritten a file under our eyes, which
    /// explains the error.
    fn anew(&self, error: StorageError) -> Result<Self, StorageError> {
        let has_changed = match Manifest::read(&self.dir)? {
            Some(manifest) => manifest.generation != self.manifest.generation,
            None => false,
        };
        if has_changed { self.refresh() } else { Err(error) }
    }

    /// The query, as far as this moment goes.
    fn until_then(&self, query: &Query) -> Query {
        query.clone().to(query.to.min(self.end()))
    }

    fn look(dir: Directory) -> Result<Self, StorageError> {
        let mut attempt = 1;
        let mut earlier = None;
        loop {
            let before = Manifest::read(&dir)?.map(|manifest| manifest.generation);
            if before.is_none() && !survey::has_files(&dir)? {
                return Err(StorageError::NotAStore { path: dir.root });
            }
            match recovery::inspect(&dir) {
                Ok((manifest, view, report)) => {
                    let indexes = Arc::new(Indexes::new(&dir, &manifest));
                    let cursors = Cursors::new(manifest.seed(), &indexes);
                    return Ok(Self { dir, manifest, view: RwLock::new(view), report, cursors });
                }
                Err(error) => {
                    // The owner may have begun a segment, or removed a file, under our eyes.
                    let now = Manifest::read(&dir)?.map(|manifest| manifest.generation);
                    // What it wrote while we read may be seen before what it wrote earlier.
                    let text = Some(error.to_string());
                    if (now == before && earlier == text) || attempt == ATTEMPTS {
                        return Err(error);
                    }
                    earlier = text;
                    attempt += 1;
                }
            }
        }
    }

    /// What opening the store would find. Beside the process that has it open, a commit in the
    /// making looks like the debris of a crash.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }
}

impl Storage for FileReader {
    fn end(&self) -> Position {
        position(self.view.read().end)
    }

    fn first(&self) -> Position {
        position(self.view.read().first())
    }

    /// Always refused.
    fn commit(&self, _commit: Commit) -> Result<Position, StorageError> {
        Err(StorageError::ReadOnly)
    }

    fn read(&self, query: &Query) -> Result<Page, StorageError> {
        match self.cursors.read(&self.view, query) {
            Err(error) => self.anew(error)?.read(&self.until_then(query)),
            page => page,
        }
    }

    fn visit(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<Position, StorageError> {
        let mut next = query.from;
        let mut each = |at, raw: Raw<'_, '_>| {
            next = position(at).next();
            visit(raw.at(position(at)))
        };
        match self.cursors.visit(&self.view, query, &mut each) {
            Ok(next) => Ok(position(next)),
            Err(error) => {
                let anew = self.anew(error)?;
                anew.visit(&Query { from: next, ..self.until_then(query) }, visit)
            }
        }
    }

    fn log_bytes(&self) -> u64 {
        self.view.read().log_bytes()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let found = self.view.read().state.get(key);
        found.map_or_else(|files| files.get(key), Ok)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        self.view.read().state.scan(prefix, after, max)
    }

    fn close(&self) -> Result<(), StorageError> {
        self.cursors.clear();
        Ok(())
    }
}
