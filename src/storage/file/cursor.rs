//! Reading records in order, from where the last read stopped.

use std::{ops::ControlFlow, sync::Arc};

use parking_lot::{Mutex, RwLock};

use super::{
    body::{Raw, RecordReader, Slot},
    bytes::Reader,
    checksum::Seed,
    frame::{self, BatchHeader},
    index::Indexes,
    position, segment,
    view::View,
    window::Window,
};
use crate::storage::{Filter, Page, Query, StorageError};

/// How many readers can go on from where they were without looking it up.
const KEPT: usize = 8;

/// The cursors that recent reads left behind.
#[derive(Debug)]
pub(super) struct Cursors {
    store: Seed,
    indexes: Arc<Indexes>,
    kept: Mutex<Vec<Cursor>>,
}

impl Cursors {
    pub(super) fn new(store: Seed, indexes: &Arc<Indexes>) -> Self {
        Self { store, indexes: Arc::clone(indexes), kept: Mutex::default() }
    }

    /// Reads the records that a query asks for, copied.
    pub(super) fn read(&self, view: &RwLock<View>, query: &Query) -> Result<Page, StorageError> {
        let mut records = Vec::with_capacity(query.max_records.min(256));
        let mut bytes = 0;
        let mut damaged = None;
        let next = self.visit(view, query, &mut |at, raw| {
            let Some(record) = raw.copy() else {
                damaged = Some(at);
                return ControlFlow::Break(());
            };
            bytes += record.payload.len();
            records.push((position(at), record));
            let enough = records.len() >= query.max_records || bytes > query.max_bytes;
            if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        match damaged {
            None => Ok(Page { records, next: position(next) }),
            Some(at) => Err(damage(view, at)),
        }
    }

    /// Shows the records that a query asks for, until told to stop. Returns where to go on.
    pub(super) fn visit(
        &self,
        view: &RwLock<View>,
        query: &Query,
        visit: &mut impl FnMut(u64, Raw<'_, '_>) -> ControlFlow<()>,
    ) -> Result<u64, StorageError> {
        let (first, end) = {
            let view = view.read();
            (view.first(), view.end)
        };
        let (from, to) = (query.from.get(), query.to.get().min(end));
        if from < first {
            return Err(truncated(from, first));
        }
        if from >= to || query.max_records == 0 {
            return Ok(from);
        }
        let mut cursor = match self.take(from) {
            Some(cursor) => cursor,
            None => Cursor::open(&view.read(), from, self.store, &self.indexes)?,
        };
        cursor.run(view, query, to, visit)?;
        let next = cursor.next.max(from).min(to);
        self.keep(cursor);
        Ok(next)
    }

    fn take(&self, from: u64) -> Option<Cursor> {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|cursor| cursor.next == from)?;
        Some(kept.remove(at))
    }

    fn keep(&self, cursor: Cursor) {
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(cursor);
    }

    /// Lets go of segments that are no longer kept, or not in this form.
    pub(super) fn leave(&self, ids: &[u64]) {
        self.kept.lock().retain(|cursor| !ids.contains(&cursor.window.segment.header.id));
    }

    pub(super) fn clear(&self) {
        self.kept.lock().clear();
    }
}

fn truncated(wanted: u64, first: u64) -> StorageError {
    StorageError::Truncated { wanted: position(wanted), first: position(first) }
}

fn damage(view: &RwLock<View>, at: u64) -> StorageError {
    let view = view.read();
    let file = view.segment_at(at).map(|segment| segment.path.clone()).unwrap_or_default();
    StorageError::Corrupt { file, offset: 0, reason: "a record is invalid" }
}

/// A place in the log.
#[derive(Debug)]
struct Cursor {
    store: Seed,
    window: Window,
    /// Where the next batch begins.
    offset: u64,
    /// The position of the next record.
    next: u64,
    batch: Option<OpenBatch>,
    records: RecordReader,
    indexes: Arc<Indexes>,
    /// Up to here the index of the segment has been asked.
    asked: u64,
}

/// The batch that is being taken apart.
#[derive(Debug, Clone, Copy)]
struct OpenBatch {
    /// Where the next record begins.
    offset: u64,
    /// Where the records end.
    end: u64,
    left: u32,
}

impl Cursor {
    fn open(
        view: &View,
        from: u64,
        store: Seed,
        indexes: &Arc<Indexes>,
    ) -> Result<Self, StorageError> {
        let gone = || truncated(from, view.first());
        let segment = view.segment_at(from).ok_or_else(gone)?;
        let file = segment.file()?.ok_or_else(gone)?;
        let index = if segment.has_no_marks() { indexes.get(segment) } else { None };
        let mark = index.and_then(|index| index.mark_at(from));
        let mark = mark.unwrap_or_else(|| segment.mark_at(from));
        Ok(Self {
            store,
            window: Window::new(Arc::clone(segment), file),
            offset: mark.offset,
            next: mark.position,
            batch: None,
            records: RecordReader::default(),
            indexes: Arc::clone(indexes),
            asked: 0,
        })
    }

    /// Shows what matches and is below `to`, until told to stop.
    fn run(
        &mut self,
        view: &RwLock<View>,
        query: &Query,
        to: u64,
        visit: &mut impl FnMut(u64, Raw<'_, '_>) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        self.asked = 0;
        while self.next < to && self.seek(view, query)? {
            if self.take_apart(query, to, visit)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Goes to a batch that has records to show. False at the end of the log.
    fn seek(&mut self, view: &RwLock<View>, query: &Query) -> Result<bool, StorageError> {
        while self.batch.is_none_or(|batch| batch.left == 0) {
            self.batch = None;
            self.skip(view, &query.filter);
            if self.offset < self.window.segment.valid() {
                self.next_batch(query.from.get())?;
            } else if !self.next_segment(&view.read())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes over blocks of a sealed segment that have nothing that matches.
    fn skip(&mut self, view: &RwLock<View>, filter: &Filter) {
        let segment = &self.window.segment;
        if filter.is_empty() || self.offset < self.asked || self.offset >= segment.valid() {
            return;
        }
        self.asked = u64::MAX;
        let is_sealed = view.read().segment(segment.header.id + 1).is_some();
        let Some(index) = is_sealed.then(|| self.indexes.get(segment)).flatten() else { return };
        let (mark, asked) =
            index.next_match(self.offset, filter).unwrap_or((index.end(), index.end().offset));
        self.asked = asked;
        if mark.offset > self.offset {
            self.offset = mark.offset;
            self.next = mark.position;
        }
    }

    fn next_segment(&mut self, view: &View) -> Result<bool, StorageError> {
        // The active segment may have grown, and another begun, since its length was looked at.
        if self.offset < self.window.segment.valid() {
            return Ok(true);
        }
        let id = self.window.segment.header.id + 1;
        // What followed may have been dropped meanwhile. Nothing is missing if it had no records.
        let later = || view.segments.first().filter(|first| first.header.id > id);
        let Some(segment) = view.segment(id).or_else(later) else { return Ok(false) };
        if segment.header.id > id && self.next < segment.header.position {
            return Err(truncated(self.next, segment.header.position));
        }
        let Some(file) = segment.file()? else { return Ok(false) };
        self.window.turn(Arc::clone(segment), file);
        self.asked = 0;
        self.offset = segment::HEADER as u64;
        Ok(true)
    }

    /// Opens the batch at the offset; skips it where it ends at or before `from`.
    fn next_batch(&mut self, from: u64) -> Result<(), StorageError> {
        let segment = Arc::clone(&self.window.segment);
        let (offset, valid) = (self.offset, segment.valid());
        let corrupt = |reason| segment.corrupt(offset, reason);
        let bytes = self.window.get(offset, frame::HEADER, valid)?;
        let header = BatchHeader::read(bytes, segment.seed)
            .filter(|header| header.position == self.next)
            .ok_or_else(|| corrupt("a batch that was valid no longer is"))?;
        self.offset += header.frame() as u64;
        if header.records == 0 || header.end_position() <= from {
            self.next = header.end_position();
            return Ok(());
        }
        let frame = self.window.get(offset, header.frame(), valid)?;
        let body = frame.get(frame::HEADER..).unwrap_or_default();
        let (records, _) = header
            .split(body)
            .filter(|_| header.fits(body, self.store))
            .ok_or_else(|| corrupt("a batch's checksum no longer fits"))?;
        let mut reader = Reader::new(records);
        self.records.begin(&mut reader).ok_or_else(|| corrupt("a batch's schemas are invalid"))?;
        let end = offset + (frame::HEADER + header.records_bytes) as u64;
        self.batch =
            Some(OpenBatch { offset: end - reader.rest().len() as u64, end, left: header.records });
        Ok(())
    }

    /// Shows the records of the batch that is open.
    fn take_apart(
        &mut self,
        query: &Query,
        to: u64,
        visit: &mut impl FnMut(u64, Raw<'_, '_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StorageError> {
        let Some(batch) = &mut self.batch else { return Ok(ControlFlow::Continue(())) };
        let segment = Arc::clone(&self.window.segment);
        let count = usize::try_from(batch.end - batch.offset).unwrap_or(usize::MAX);
        let bytes = self.window.get(batch.offset, count, segment.valid())?;
        let mut reader = Reader::new(bytes);
        let filtered = !query.filter.is_empty();
        let mut flow = ControlFlow::Continue(());
        while batch.left > 0 && self.next < to && flow.is_continue() {
            let invalid = || segment.corrupt(batch.offset, "a record is invalid");
            let (at, left) = (self.next, u64::from(batch.left));
            let raw = match self.records.next(&mut reader).ok_or_else(invalid)? {
                Slot::Kept(raw) => raw,
                Slot::Dropped(count) if count <= left => {
                    self.next += count;
                    batch.left = u32::try_from(left - count).unwrap_or(0);
                    continue;
                }
                Slot::Dropped(_) => return Err(invalid()),
            };
            self.next += 1;
            batch.left -= 1;
            if at >= query.from.get() && (!filtered || raw.passes(&query.filter)) {
                flow = visit(at, raw);
            }
        }
        batch.offset = batch.end - reader.rest().len() as u64;
        Ok(flow)
    }
}
