//! Dropping events that a later one of the same key makes superfluous.
//!
//! A sealed segment is written anew without them, under another name and with the same positions,
//! and the manifest then names the new file. Where events were, a record of a few bytes says how many.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path, sync::Arc};

use super::{
    FileStorage,
    checksum::Seed,
    disk::DiskFile,
    failure::full,
    frame::{Frame, Place},
    manifest::Seal,
    planted::Mistake,
    position,
    segment::{self, Segment, SegmentHeader},
    upkeep::Keeper,
};
use crate::storage::{Compaction, Query, Record, StorageError};

/// How many bytes of payload a batch of a rewritten segment has, about.
const BATCH: usize = 64 * 1024;

/// How many events, dropped ones included, a batch of a rewritten segment has at most.
const SLOTS: usize = 4096;

/// How many bytes the keys may take that are remembered. Of keys beyond, some old events stay.
const KEYS: usize = 32 * 1024 * 1024;

/// A segment is written anew if at least one in so many records can go.
const WORTH: u64 = 8;

/// The newest position of each key.
struct Newest {
    /// For each of the names, by key.
    last: Vec<BTreeMap<Box<str>, u64>>,
    bytes: usize,
}

impl Newest {
    fn new(names: usize) -> Self {
        Self { last: (0..names).map(|_| BTreeMap::new()).collect(), bytes: 0 }
    }

    fn note(&mut self, name: usize, key: &str, at: u64) {
        let Some(last) = self.last.get_mut(name) else { return };
        if let Some(last) = last.get_mut(key) {
            *last = at.max(*last);
        } else if self.bytes < KEYS {
            self.bytes += key.len() + 64;
            last.insert(key.into(), at);
        }
    }

    fn is_after(&self, name: usize, key: &str, at: u64) -> bool {
        let last = self.last.get(name).and_then(|last| last.get(key));
        last.is_some_and(|last| *last > at)
    }
}

impl FileStorage {
    /// Compacts sealed segments. Returns how many events it dropped.
    pub(super) fn compact_all(
        &self,
        keeper: &mut Keeper,
        compaction: &Compaction,
    ) -> Result<u64, StorageError> {
        let segments = self.check_open()?.segments.clone();
        if compaction.names.is_empty() || compaction.only_if_due && !keeper.is_due(&segments) {
            return Ok(0);
        }
        keeper.compacted = segments.last().map_or(0, |active| active.header.id);
        // What batches wrote to the state is not copied.
        self.cover(keeper, segments.last().map_or(0, |active| active.header.seq - 1))?;
        let mut newer = Newest::new(compaction.names.len());
        let mut dropped = 0;
        let pairs = segments.iter().zip(segments.iter().skip(1)).rev();
        if let Some(active) = segments.last() {
            self.note_keys(active, u64::MAX, compaction, &mut newer)?;
        }
        for (segment, next) in pairs {
            self.check_not_closing()?;
            let end = next.header.position;
            let (matching, known) = (self.note_keys(segment, end, compaction, &mut newer)?, &newer);
            if end > compaction.before.get() || matching == 0 {
                continue;
            }
            let superfluous = self.count(segment, end, compaction, known)?;
            if superfluous > 0 && superfluous * WORTH >= end - segment.header.position {
                self.rewrite(segment, end, compaction, known)?;
                dropped += superfluous;
            }
        }
        Ok(dropped)
    }

    /// Takes note of the keys of a segment. Returns how many events matter.
    fn note_keys(
        &self,
        segment: &Segment,
        end: u64,
        compaction: &Compaction,
        newer: &mut Newest,
    ) -> Result<u64, StorageError> {
        let mut matching = 0;
        self.each(segment, end, compaction, |name, key, at| {
            newer.note(name, key, at);
            matching += 1;
        })?;
        Ok(matching)
    }

    fn count(
        &self,
        segment: &Segment,
        end: u64,
        compaction: &Compaction,
        newer: &Newest,
    ) -> Result<u64, StorageError> {
        let mut superfluous = 0;
        self.each(segment, end, compaction, |name, key, at| {
            superfluous += u64::from(newer.is_after(name, key, at));
        })?;
        Ok(superfluous)
    }

    /// Goes through the events of a segment that are to be compacted and have a key.
    fn each(
        &self,
        segment: &Segment,
        end: u64,
        compaction: &Compaction,
        mut each: impl FnMut(usize, &str, u64),
    ) -> Result<(), StorageError> {
        let mut query = Query::from(position(segment.header.position)).to(position(end));
        query.filter.names.clone_from(&compaction.names);
        self.cursors.visit(&self.view, &query, &mut |at, raw| {
            let name = compaction.names.iter().position(|name| **name == *raw.name());
            if let Some((name, key)) = name.zip(raw.key) {
                each(name, key, at);
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    /// Writes a segment anew without what is superfluous, and has the manifest name the new file.
    fn rewrite(
        &self,
        segment: &Arc<Segment>,
        end: u64,
        compaction: &Compaction,
        newer: &Newest,
    ) -> Result<(), StorageError> {
        let (epoch, timeline) = {
            let log = self.log.lock();
            log.check_usable()?;
            (log.manifest.epoch + 1, log.manifest.timeline)
        };
        let header = SegmentHeader { epoch, timeline, size: 0, ..segment.header };
        let rewritten = segment.rewritten + 1;
        let path = self.dir.rewritten(header.id, rewritten);
        self.dir.remove(&path)?; // of an earlier attempt
        let file = self.dir.disk.open(&path, true).map_err(full("creating", &path, 0))?;
        let mut writing = Writing::new(Seed::of(&self.store), header, &path, &*file);
        let copied = self.copy(segment, end, compaction, newer, &mut writing);
        let written = copied.and_then(|()| {
            writing.end_batch()?;
            self.make_durable(&*file, &path)
        });
        if let Err(error) = written {
            self.dir.discard(&path);
            return Err(error);
        }
        let seal = Seal { len: writing.offset, crc: writing.crc };
        let new =
            Segment::new(&self.dir.disk, path.clone(), header, None, seal.len).rewritten(rewritten);
        self.exchange(segment, Arc::new(new), seal)
    }

    fn make_durable(&self, file: &dyn DiskFile, path: &Path) -> Result<(), StorageError> {
        if !self.dir.makes(Mistake::RewriteUnsynced) {
            file.sync_data().map_err(full("syncing", path, 0))?;
        }
        if self.dir.makes(Mistake::RewriteNameUnsynced) {
            return Ok(());
        }
        self.dir.sync(&self.dir.segments)
    }

    fn copy(
        &self,
        segment: &Segment,
        end: u64,
        compaction: &Compaction,
        newer: &Newest,
        writing: &mut Writing<'_>,
    ) -> Result<(), StorageError> {
        let mut query = Query::from(position(segment.header.position)).to(position(end));
        while query.from < query.to {
            let page = self.cursors.read(&self.view, &query)?;
            for (at, record) in page.records {
                let names = &compaction.names;
                let name = names.iter().position(|name| *name == record.envelope.name);
                let key = record.envelope.key.as_ref().map(crate::event::Key::as_str);
                let superfluous =
                    name.zip(key).is_some_and(|(name, key)| newer.is_after(name, key, at.get()));
                writing.gap(at.get())?;
                writing.push((!superfluous).then_some(record))?;
            }
            writing.gap(page.next.get())?;
            if page.next <= query.from {
                return Err(segment.corrupt(0, "a segment ends too early to be rewritten"));
            }
            query.from = page.next;
        }
        Ok(())
    }

    /// Has the manifest name the new file instead of the old one, and removes that.
    fn exchange(&self, old: &Segment, new: Arc<Segment>, seal: Seal) -> Result<(), StorageError> {
        if self.dir.makes(Mistake::RemoveOriginalFirst) {
            self.dir.discard(&old.path);
        }
        let mut log = self.log.lock();
        log.check_usable()?;
        if !self.dir.makes(Mistake::CompactAheadOfLog) {
            // What made events superfluous may have come since the checkpoint, unsynced.
            log.step(|log| log.sync(&self.dir))?;
        }
        let mut next = log.manifest.clone();
        next.epoch = new.header.epoch;
        for entry in next.segments.iter_mut().filter(|entry| entry.id == new.header.id) {
            entry.original = entry.original.or(entry.seal);
            entry.seal = Some(seal);
            entry.epoch = new.header.epoch;
            entry.rewritten = new.rewritten;
        }
        log.replace_manifest(&self.dir, next)?;
        let id = new.header.id;
        self.view.write().exchange(new);
        drop(log);
        self.cursors.leave(&[id]);
        self.indexes.forget(id);
        old.retire();
        self.dir.discard(&old.path);
        self.dir.discard(&self.dir.index(id));
        self.indexed.fetch_min(id - 1, std::sync::atomic::Ordering::AcqRel);
        Ok(())
    }
}

impl Keeper {
    /// Whether at least half as much was sealed since the last attempt as there was then.
    fn is_due(&self, segments: &[Arc<Segment>]) -> bool {
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let bytes = |new: bool| -> u64 {
            let these = sealed.iter().filter(|seg| (seg.header.id >= self.compacted) == new);
            these.map(|segment| segment.valid()).sum()
        };
        bytes(true) > 0 && 2 * bytes(true) >= bytes(false)
    }
}

/// A segment that is being written anew.
struct Writing<'a> {
    store: Seed,
    header: SegmentHeader,
    path: &'a Path,
    file: &'a dyn DiskFile,
    offset: u64,
    crc: u32,
    seq: u64,
    /// The position of the first slot.
    position: u64,
    /// The batch that is being filled; `None` where an event is dropped.
    slots: Vec<Option<Record>>,
    bytes: usize,
    begun: bool,
}

impl<'a> Writing<'a> {
    fn new(store: Seed, header: SegmentHeader, path: &'a Path, file: &'a dyn DiskFile) -> Self {
        Self {
            store,
            header,
            path,
            file,
            offset: segment::HEADER as u64,
            crc: header.previous_crc,
            seq: header.seq,
            position: header.position,
            slots: Vec::new(),
            bytes: 0,
            begun: false,
        }
    }

    /// Goes on to a position: what is between was dropped before.
    fn gap(&mut self, to: u64) -> Result<(), StorageError> {
        while self.position + (self.slots.len() as u64) < to {
            self.push(None)?;
        }
        Ok(())
    }

    fn push(&mut self, slot: Option<Record>) -> Result<(), StorageError> {
        let bytes =
            slot.as_ref().map_or(0, |record| record.payload.len() + record.envelope.bytes());
        if self.bytes + bytes > BATCH || self.slots.len() >= SLOTS {
            self.end_batch()?;
        }
        self.bytes += bytes;
        self.slots.push(slot);
        Ok(())
    }

    fn end_batch(&mut self) -> Result<(), StorageError> {
        let failed = |bytes| full("writing anew", self.path, bytes);
        if !self.begun {
            let written = self.file.write_all_at(&self.header.encode(), 0);
            written.map_err(failed(segment::HEADER as u64))?;
            self.begun = true;
        }
        if self.slots.is_empty() {
            return Ok(());
        }
        let mut frame = Frame::of_slots(&self.slots, self.store)?;
        let (position, previous) = (self.position, self.crc);
        let place = Place { seq: self.seq, position, durable: self.seq - 1, previous };
        let header = frame.seal(place, self.header.seed());
        let written = self.file.write_all_at(frame.bytes(), self.offset);
        written.map_err(failed(frame.len()))?;
        self.offset += frame.len();
        self.crc = header.crc;
        self.seq += 1;
        self.position = header.end_position();
        self.slots.clear();
        self.bytes = 0;
        Ok(())
    }
}
