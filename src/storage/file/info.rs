//! What a store consists of, without reading its records.

use std::{io, path::PathBuf};

use super::{FileReader, failure::doing, manifest::Phase, position, segment};
use crate::{
    message::Position,
    storage::{Storage, StorageError},
};

/// What a store consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The directory.
    pub path: PathBuf,
    /// What tells the store from all others.
    pub id: [u8; 16],
    /// The version of the format.
    pub format: u32,
    /// How often its manifest was replaced.
    pub generation: u64,
    /// Which of the store's histories this is; a restored copy begins another.
    pub timeline: u64,
    /// How often it was opened.
    pub epoch: u64,
    /// Whether it was closed. If not, a process has it open, or ended without closing it.
    pub closed: bool,
    /// The oldest position that is kept.
    pub first: Position,
    /// The position that the next record will get.
    pub end: Position,
    /// The files of the log, oldest first. Commits go to the last one.
    pub segments: Vec<SegmentInfo>,
    /// The files of the state, newest first.
    pub state: Vec<FileInfo>,
    /// Files that were set aside: what crashes left, and what nothing accounts for.
    pub set_aside: Vec<FileInfo>,
    /// The length of all these files, in bytes.
    pub bytes: u64,
}

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Its number, from 1.
    pub id: u64,
    /// The position of its first record.
    pub first: Position,
    /// The length of the file.
    pub bytes: u64,
    /// How many of these hold commits. The rest was made in advance.
    pub used: u64,
    /// Whether it gets no more commits.
    pub sealed: bool,
}

/// A file, and its length in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

impl FileReader {
    /// What the store consists of. Files that were removed since are left out.
    ///
    /// # Errors
    /// Failing reads.
    pub fn info(&self) -> Result<StoreInfo, StorageError> {
        let (segments, manifest) = (self.segment_files()?, &self.manifest);
        let state = manifest.runs.iter().map(|run| self.dir.run(run.id));
        let state = self.files(state.collect())?;
        let set_aside = match self.dir.disk.list(&self.dir.quarantine) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(doing("listing", &self.dir.quarantine))?,
        };
        let mut set_aside: Vec<PathBuf> =
            set_aside.iter().map(|name| self.dir.quarantine.join(name)).collect();
        set_aside.sort();
        let set_aside = self.files(set_aside)?;
        let lengths = segments.iter().map(|segment| segment.bytes);
        let lengths = lengths.chain(state.iter().chain(&set_aside).map(|file| file.bytes));
        Ok(StoreInfo {
            path: self.dir.root.clone(),
            id: manifest.store,
            format: segment::VERSION,
            generation: manifest.generation,
            timeline: manifest.timeline,
            epoch: manifest.epoch,
            closed: !matches!(manifest.phase, Phase::Open),
            first: self.first(),
            end: self.end(),
            bytes: lengths.sum(),
            segments,
            state,
            set_aside,
        })
    }

    fn segment_files(&self) -> Result<Vec<SegmentInfo>, StorageError> {
        let segments = self.view.read().segments.clone();
        let newest = segments.last().map(|segment| segment.header.id);
        let mut found = Vec::new();
        for segment in segments {
            let header = &segment.header;
            let Some(bytes) = self.dir.length(&segment.path)? else { continue };
            let (first, used) = (position(header.position), segment.valid());
            let sealed = Some(header.id) != newest;
            found.push(SegmentInfo { id: header.id, first, bytes, used, sealed });
        }
        Ok(found)
    }

    fn files(&self, paths: Vec<PathBuf>) -> Result<Vec<FileInfo>, StorageError> {
        let mut found = Vec::new();
        for path in paths {
            if let Some(bytes) = self.dir.length(&path)? {
                found.push(FileInfo { path, bytes });
            }
        }
        Ok(found)
    }
}
