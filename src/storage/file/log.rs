//! The end of the log: where commits go, one at a time.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    directory::Directory,
    disk::{DiskFile, DiskLock},
    failure::{doing, full, indeterminate},
    frame::{BatchHeader, Frame, Place},
    manifest::{LogEnd, Manifest, Phase, ReplaceError, Seal, SegmentEntry},
    next::{Named, Next, PREPARED, Spare, first_size, size_of, zero},
    planted::Mistake,
    segment::{self, Segment, SegmentHeader},
};
use crate::{event::Durability, storage::StorageError};

/// The end of the log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) usable: Usable,
    pub(super) manifest: Manifest,
    pub(super) active: Active,
    /// The seq of the last batch.
    pub(super) seq: u64,
    /// The position that the next record will get.
    pub(super) end: u64,
    /// The last seq known to be durable.
    pub(super) durable: u64,
    /// The CRC of the last batch's header.
    pub(super) crc: u32,
    /// Whether a batch or the manifest says that all commits are durable.
    pub(super) vouched: bool,
    /// How large a segment becomes.
    pub(super) segment_bytes: u64,
    pub(super) next: Arc<Mutex<Next>>,
    /// Held while open.
    pub(super) lock: Option<Box<dyn DiskLock>>,
}

/// The segment that commits go to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    pub(super) file: Arc<dyn DiskFile>,
    /// Up to here the file is there, durably: zeros where nothing has been written.
    pub(super) prepared: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usable {
    Open,
    /// A write or sync failed; what is on disk is unknown.
    Poisoned,
    Closed,
}

impl Log {
    pub(super) fn check_usable(&self) -> Result<(), StorageError> {
        match self.usable {
            // Files that belong to somebody else by now are not ours to change.
            Usable::Open if !self.lock.as_ref().is_some_and(|lock| lock.is_held()) => {
                Err(StorageError::Poisoned)
            }
            Usable::Open => Ok(()),
            Usable::Poisoned => Err(StorageError::Poisoned),
            Usable::Closed => Err(StorageError::Closed),
        }
    }

    /// Runs a step that changes what may already count. If it fails, or panics, nothing more is
    /// written, ever.
    pub(super) fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.usable = Usable::Poisoned;
        let done = step(self).map_err(indeterminate)?;
        self.usable = Usable::Open;
        Ok(done)
    }

    /// Runs a step that may fail before anything counts. If it fails later, or panics, nothing more is
    /// written, ever.
    fn attempt<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, ReplaceError>,
    ) -> Result<T, StorageError> {
        self.usable = Usable::Poisoned;
        let done = match step(self) {
            Ok(done) => Ok(done),
            Err(ReplaceError::Unchanged(error)) => Err(error),
            Err(ReplaceError::Ambiguous(error)) => return Err(indeterminate(error)),
        };
        self.usable = Usable::Open;
        done
    }

    fn size_of(&self, id: u64) -> u64 {
        size_of(id, self.segment_bytes)
    }

    /// Sees to it that `more` bytes can be written at the end. True: in another segment.
    ///
    /// Where it fails for lack of room nothing changed, and the next try may succeed.
    pub(super) fn make_room(&mut self, dir: &Directory, more: u64) -> Result<bool, StorageError> {
        let used = self.active.segment.valid();
        let limit = self.size_of(self.active.segment.header.id);
        if used > segment::HEADER as u64 && used + more > limit {
            self.roll(dir, more)?;
            return Ok(true);
        }
        self.prepare(used + more)?;
        Ok(false)
    }

    /// Makes the active file at least so long, with zeros.
    fn prepare(&mut self, end: u64) -> Result<(), StorageError> {
        let prepared = self.active.prepared;
        if end <= prepared {
            return Ok(());
        }
        let limit = self.size_of(self.active.segment.header.id);
        let (least, more) = (end.next_multiple_of(4096), prepared + PREPARED);
        let target = more.min(limit).max(least);
        let (file, path) = (Arc::clone(&self.active.file), self.active.segment.path.clone());
        zero(&*file, prepared, target).map_err(full("extending", &path, target - prepared))?;
        self.step(|log| {
            file.sync_data().map_err(doing("syncing", &path))?;
            log.durable = log.seq;
            Ok(())
        })?;
        self.active.prepared = target;
        Ok(())
    }

    /// Writes a commit at the end, where there is room. The caller then makes it visible.
    pub(super) fn append(
        &mut self,
        dir: &Directory,
        frame: &mut Frame,
        durability: Durability,
    ) -> Result<BatchHeader, StorageError> {
        let seq = self.seq + 1;
        let lies = dir.makes(Mistake::ClaimTooMuch)
            || frame.is_empty() && dir.makes(Mistake::WatermarkTooHigh);
        let claims = if lies { self.seq } else { self.durable };
        let place = Place { seq, position: self.end, durable: claims, previous: self.crc };
        let Active { segment, file, .. } = &self.active;
        let header = frame.seal(place, segment.seed);
        let written = file.write_all_at(frame.bytes(), segment.valid());
        if !dir.makes(Mistake::ForgetFailedWrite) {
            written.map_err(doing("writing a commit", &segment.path))?;
        }
        self.vouched = frame.is_empty();
        self.seq = seq;
        self.end = header.end_position();
        self.crc = header.crc;
        if durability == Durability::Synced && !dir.makes(Mistake::AcknowledgeUnsynced) {
            self.sync(dir)?;
        }
        Ok(header)
    }

    /// Makes all commits durable.
    pub(super) fn sync(&mut self, dir: &Directory) -> Result<(), StorageError> {
        if self.durable < self.seq {
            let synced = self.active.file.sync_data();
            if !dir.makes(Mistake::ForgetFailedSync) {
                synced.map_err(doing("syncing commits", &self.active.segment.path))?;
            }
            self.durable = self.seq;
        }
        Ok(())
    }

    /// Begins the next segment; the one before is durable by then.
    pub(super) fn roll(&mut self, dir: &Directory, more: u64) -> Result<(), StorageError> {
        if !dir.makes(Mistake::RollUnsynced) {
            self.step(|log| log.sync(dir))?;
        }
        let last = &self.active.segment;
        let seal = Seal { len: last.valid(), crc: self.crc };
        self.begin(dir, last.header.id + 1, seal, more)
    }

    /// Begins a segment that has room for `more` bytes. Until the manifest says so, nothing counts.
    pub(super) fn begin(
        &mut self,
        dir: &Directory,
        id: u64,
        seal: Seal,
        more: u64,
    ) -> Result<(), StorageError> {
        let room = segment::HEADER as u64 + more;
        let next = Arc::clone(&self.next);
        let mut next = next.lock();
        let spare = match next.spare.take().filter(|spare| spare.size >= room) {
            Some(spare) => spare,
            None => next.create(dir, first_size(self.size_of(id)).max(room))?,
        };
        next.named = Named::InDoubt;
        let begun = self.attempt(|log| log.begin_in(dir, spare, seal));
        match &begun {
            Ok(()) => (next.id, next.named) = (id + 1, Named::Nothing),
            // It does not count, and is in the way of the next attempt.
            Err(_) if self.usable == Usable::Open => {
                next.named = Named::Ours;
                dir.discard(&dir.segment(id));
            }
            Err(_) => {}
        }
        begun
    }

    fn begin_in(&mut self, dir: &Directory, spare: Spare, seal: Seal) -> Result<(), ReplaceError> {
        let next = self.manifest_with(spare.id, seal);
        if dir.makes(Mistake::ManifestBeforeSegment) {
            self.manifest.replace(dir, next.clone())?;
        }
        let header = SegmentHeader {
            store: self.manifest.store,
            id: spare.id,
            epoch: self.manifest.epoch,
            timeline: self.manifest.timeline,
            position: self.end,
            seq: self.seq + 1,
            previous_len: seal.len,
            previous_crc: seal.crc,
            size: spare.size,
        };
        spare.begin(dir, &header).map_err(ReplaceError::Unchanged)?;
        if !dir.makes(Mistake::ManifestBeforeSegment) && !dir.makes(Mistake::ManifestForgotten) {
            self.manifest.replace(dir, next)?;
        }
        let (path, valid) = (dir.segment(spare.id), segment::HEADER as u64);
        let segment = Segment::new(&dir.disk, path, header, Some(&spare.file), valid);
        let (file, prepared) = (spare.file, spare.size);
        self.active = Active { segment: Arc::new(segment), file, prepared };
        Ok(())
    }

    fn manifest_with(&self, id: u64, seal: Seal) -> Manifest {
        let mut next = self.manifest.clone();
        next.durable = self.durable;
        if let Some(last) = next.segments.last_mut() {
            last.seal = Some(seal);
        }
        next.segments.push(SegmentEntry::new(id, next.epoch, self.end, self.seq + 1));
        next
    }

    /// Replaces the manifest. Where it is unclear which one counts, nothing more is written, ever.
    pub(super) fn replace_manifest(
        &mut self,
        dir: &Directory,
        next: Manifest,
    ) -> Result<(), StorageError> {
        self.attempt(|log| log.manifest.replace(dir, next))
    }

    /// Writes, unsynced, that all commits are durable, so that damage to the last ones is told from
    /// what a crash leaves. Only where there is room.
    pub(super) fn vouch(&mut self, dir: &Directory) -> Result<Option<BatchHeader>, StorageError> {
        let durable = self.durable == self.seq || dir.makes(Mistake::WatermarkTooHigh);
        let mut frame = Frame::watermark(self.manifest.seed());
        let end = self.active.segment.valid() + frame.len();
        if self.vouched || !durable || end > self.active.prepared {
            return Ok(None);
        }
        self.step(|log| log.append(dir, &mut frame, Durability::Buffered)).map(Some)
    }

    /// Where the log ends.
    pub(super) fn log_end(&self) -> LogEnd {
        LogEnd { len: self.active.segment.valid(), seq: self.seq, crc: self.crc }
    }

    /// Makes everything durable, and the next start a certain one.
    pub(super) fn finish(&mut self, dir: &Directory) -> Result<(), StorageError> {
        self.step(|log| {
            if !dir.makes(Mistake::CloseUnsynced) {
                log.sync(dir)?;
                // Also where nothing is left to sync: a file that no longer works must not be
                // vouched for.
                let Active { segment, file, .. } = &log.active;
                file.sync_data().map_err(doing("syncing", &segment.path))?;
            }
            let mut next = log.manifest.clone();
            next.durable = log.seq;
            next.phase = Phase::Closed(log.log_end());
            log.manifest.replace(dir, next).map_err(ReplaceError::into_inner)
        })
    }
}
