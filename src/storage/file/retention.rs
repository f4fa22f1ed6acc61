//! Dropping the oldest segments.

use std::sync::Arc;

use super::{
    FileStorage,
    log::{self, Spare},
    planted::Mistake,
    position,
    segment::Segment,
    upkeep::Keeper,
};
use crate::{
    message::Position,
    runtime::Timestamp,
    storage::{StorageError, Trim},
};

impl FileStorage {
    /// Drops segments of which nothing is wanted any more.
    pub(super) fn drop_oldest(
        &self,
        keeper: &mut Keeper,
        trim: &Trim,
    ) -> Result<Position, StorageError> {
        let dropped = self.too_old(trim)?;
        if let Some(last) = dropped.last() {
            let after = self.view.read().segment(last.header.id + 1).map(|next| next.header.seq);
            let covered = self.covered.load(std::sync::atomic::Ordering::Acquire);
            if after.is_some_and(|seq| covered + 1 < seq) {
                self.checkpoint(keeper)?; // the files of the state are all that is left of its writes
            }
            self.forget(&dropped)?;
        }
        Ok(position(self.view.read().first()))
    }

    /// The oldest segments, as many as may go.
    fn too_old(&self, trim: &Trim) -> Result<Vec<Arc<Segment>>, StorageError> {
        let segments = self.check_open()?.segments.clone();
        let mut bytes: u64 = segments.iter().map(|segment| segment.valid()).sum();
        let mut dropped = Vec::new();
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            if next.header.position > trim.before.get() {
                break;
            }
            if trim.published_before.is_some() {
                self.indexes.make(segment, false)?;
            }
            // Without an index nothing is known to be old.
            let newest = || {
                let newest = self.indexes.get(segment).map_or(u64::MAX, |index| index.newest());
                Timestamp::from_nanos(newest)
            };
            if !trim.is_due(newest, bytes) {
                break;
            }
            bytes -= segment.valid();
            dropped.push(Arc::clone(segment));
        }
        Ok(dropped)
    }

    /// First the manifest stops naming them, then they go.
    fn forget(&self, dropped: &[Arc<Segment>]) -> Result<(), StorageError> {
        if self.dir.makes(Mistake::RemoveSegmentsFirst) {
            self.remove(dropped);
        }
        let mut log = self.log.lock();
        log.check_usable()?;
        let mut next = log.manifest.clone();
        next.segments.drain(..dropped.len());
        next.durable = log.durable;
        log.replace_manifest(&self.dir, next)?;
        self.view.write().segments.drain(..dropped.len());
        drop(log);
        self.remove(dropped);
        Ok(())
    }

    /// Removes files that nothing names, but for one that may be of use again.
    fn remove(&self, dropped: &[Arc<Segment>]) {
        for segment in dropped {
            self.dir.discard(&self.dir.index(segment.header.id));
            let unused = segment.retire();
            if !unused || !self.recycle(segment) {
                self.dir.discard(&segment.path);
            }
        }
    }

    /// Makes the file of a dropped segment that of the next one, where there is none yet.
    fn recycle(&self, segment: &Segment) -> bool {
        let mut next = self.next.lock();
        let wanted = log::size_of(next.id, self.segment_bytes);
        if next.spare.is_some() || segment.header.size < wanted {
            return false;
        }
        match Spare::recycle(&self.dir, &segment.path, next.id) {
            Ok(spare) => next.spare = Some(spare),
            Err(error) => {
                tracing::warn!(%error, "a dropped segment could not be used again");
                self.dir.discard(&self.dir.segment(next.id));
            }
        }
        next.spare.is_some()
    }
}
