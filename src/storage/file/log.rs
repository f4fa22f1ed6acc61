//! The end of the log: where commits go, one at a time.

use std::sync::Arc;

use super::{
    disk::{Disk, DiskLock},
    failure::{doing, indeterminate},
    frame::{BatchHeader, Frame},
    layout::Layout,
    segment::{self, Segment, SegmentHeader},
    snapshot,
};
use crate::{
    policy::Durability,
    storage::{StorageError, state::State},
};

/// The end of the log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) phase: Phase,
    pub(super) active: Arc<Segment>,
    /// The seq of the last commit.
    pub(super) seq: u64,
    /// The position that the next record will get.
    pub(super) end: u64,
    /// The last seq known to be durable.
    pub(super) durable: u64,
    pub(super) segment_bytes: u64,
    /// Held while open.
    pub(super) lock: Option<Box<dyn DiskLock>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// A write or sync failed; what is on disk is unknown.
    Poisoned,
    Closed,
}

impl Log {
    pub(super) fn check_usable(&self) -> Result<(), StorageError> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Poisoned => Err(StorageError::Poisoned),
            Phase::Closed => Err(StorageError::Closed),
        }
    }

    pub(super) fn is_full(&self, more: u64) -> bool {
        let used = self.active.valid();
        used > segment::HEADER as u64 && used + more > self.segment_bytes
    }

    /// Runs a step that changes files. If it fails, or panics, nothing more is written, ever.
    pub(super) fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.phase = Phase::Poisoned;
        let done = step(self).map_err(indeterminate)?;
        self.phase = Phase::Open;
        Ok(done)
    }

    /// Writes a commit at the end. The caller then makes it visible.
    pub(super) fn append(
        &mut self,
        frame: &mut Frame,
        durability: Durability,
    ) -> Result<BatchHeader, StorageError> {
        let header = frame.seal(self.seq + 1, self.end, self.durable, self.active.seed);
        let written = self.active.file.write_all_at(frame.bytes(), self.active.valid());
        written.map_err(doing("writing a commit", &self.active.path))?;
        self.seq = header.seq;
        self.end = header.end_position();
        if durability == Durability::Synced {
            self.sync()?;
        }
        Ok(header)
    }

    /// Makes all commits durable.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        if self.durable < self.seq {
            let synced = self.active.file.sync_data();
            synced.map_err(doing("syncing commits", &self.active.path))?;
            self.durable = self.seq;
        }
        Ok(())
    }

    /// Writes the state to its own file. All commits are durable then.
    pub(super) fn save(
        &mut self,
        disk: &dyn Disk,
        layout: &Layout,
        state: &State,
    ) -> Result<(), StorageError> {
        self.sync()?;
        snapshot::write(disk, layout, self.active.header.store, self.seq, state)
    }

    /// Begins the next segment; the one before is durable by then.
    pub(super) fn roll(
        &mut self,
        disk: &dyn Disk,
        layout: &Layout,
    ) -> Result<Arc<Segment>, StorageError> {
        self.sync()?;
        let header = SegmentHeader {
            id: self.active.header.id + 1,
            store: self.active.header.store,
            position: self.end,
            seq: self.seq + 1,
            previous_len: self.active.valid(),
        };
        let segment = Arc::new(Segment::create(disk, &layout.segments, header)?);
        self.active = Arc::clone(&segment);
        Ok(segment)
    }
}
