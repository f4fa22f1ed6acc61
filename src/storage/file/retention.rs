//! Dropping the oldest segments.

use std::sync::Arc;

use super::{
    FileStorage, next::size_of, planted::Mistake, position, segment::Segment, upkeep::Keeper,
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
            // The files of the state are all that is left of its writes.
            if !self.dir.makes(Mistake::TrimUncovered) {
                self.cover(keeper, after.map_or(0, |seq| seq - 1))?;
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
            if !trim.is_due(|| self.newest(segment, next), bytes) {
                break;
            }
            bytes -= segment.valid();
            dropped.push(Arc::clone(segment));
        }
        Ok(dropped)
    }

    /// The newest time in a segment; that of the next one, where it is damaged. Without an index
    /// nothing is known to be old.
    fn newest(&self, segment: &Arc<Segment>, next: &Arc<Segment>) -> Timestamp {
        let newest = |segment| {
            self.indexes.make(segment, false).ok()?;
            Some(self.indexes.get(segment)?.newest())
        };
        let newest = newest(segment).or_else(|| newest(next)).unwrap_or(u64::MAX);
        Timestamp::from_nanos(newest)
    }

    /// First the manifest stops naming them, then they go.
    fn forget(&self, dropped: &[Arc<Segment>]) -> Result<(), StorageError> {
        if self.dir.makes(Mistake::RemoveSegmentsFirst) {
            self.remove(dropped);
        }
        let mut log = self.log.lock();
        log.check_usable()?;
        // The cursors that allow it must not be lost after it.
        log.step(|log| log.sync(&self.dir))?;
        let mut next = log.manifest.clone();
        next.segments.drain(..dropped.len());
        next.durable = log.durable;
        let replaced = log.replace_manifest(&self.dir, next.clone());
        if let Err(StorageError::Full { .. }) = replaced {
            self.give_up_spare();
            log.replace_manifest(&self.dir, next)?;
        } else {
            replaced?;
        }
        self.view.write().segments.drain(..dropped.len());
        drop(log);
        let ids: Vec<u64> = dropped.iter().map(|segment| segment.header.id).collect();
        self.cursors.leave(&ids);
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

    /// Frees the room that was prepared for the next segment.
    fn give_up_spare(&self) {
        let mut next = self.next.lock();
        if next.spare.take().is_some() {
            next.discard(&self.dir);
        }
    }

    /// Makes the file of a dropped segment that of the next one, where there is none yet.
    fn recycle(&self, segment: &Segment) -> bool {
        let mut next = self.next.lock();
        let wanted = size_of(next.id, self.segment_bytes);
        if next.spare.is_some() || segment.header.size < wanted {
            return false;
        }
        let recycled = next.recycle(&self.dir, &segment.path);
        if let Err(error) = &recycled {
            tracing::warn!(%error, "a dropped segment could not be used again");
        }
        recycled.is_ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::storage::{
        Commit, FileStorage, Storage, Trim, Write,
        file::{disk::MemoryDisk, next::size_of},
    };

    #[test]
    fn a_dropped_file_is_used_again_where_it_is_as_large_as_the_next_one_becomes() {
        for (segment_bytes, is_used) in [(1 << 20, true), (2 << 20, false)] {
            let disk = MemoryDisk::new();
            let storage = FileStorage::builder("/store").disk(disk.clone());
            let storage = storage.segment_bytes(segment_bytes).open().unwrap();
            for number in 0..4_u8 {
                let writes = vec![Write::put([number], vec![number; 900_000])];
                storage.commit(Commit { writes, ..Commit::default() }).unwrap();
            }
            let dropped = storage.view.read().segments[0].clone();
            storage.trim(&Trim::before(storage.end())).unwrap();
            assert!(!disk.files().contains(&dropped.path), "{segment_bytes}");
            let next = storage.next.lock();
            let spare = next.spare.as_ref().map(|spare| spare.size);
            assert_eq!(spare, is_used.then(|| size_of(next.id, segment_bytes)));
        }
    }
}
