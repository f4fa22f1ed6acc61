//! Reading records in order, from where the last read stopped.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{
    body::RecordReader,
    bytes::Reader,
    frame::{self, BatchHeader},
    segment::{self, Segment},
    view::{Mark, View},
    window::Window,
};
use crate::storage::{Record, StorageError};

/// How many readers can go on from where they were without looking it up.
const KEPT: usize = 8;

/// The cursors that recent reads left behind.
#[derive(Debug, Default)]
pub(super) struct Cursors(Mutex<Vec<Cursor>>);

impl Cursors {
    /// Reads records from a position below the end.
    pub(super) fn read(
        &self,
        view: &RwLock<View>,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        let Some(mut cursor) = self.take(from).or_else(|| Cursor::open(&view.read(), from)) else {
            return Ok(Vec::new());
        };
        let mut records = Vec::with_capacity(max_records.min(256));
        let mut bytes = 0;
        while records.len() < max_records && bytes <= max_bytes {
            let Some(position) = cursor.seek(view)? else {
                break;
            };
            let record = cursor.record()?;
            if position >= from {
                bytes += record.payload.len();
                records.push(record);
            }
        }
        self.keep(cursor);
        Ok(records)
    }

    fn take(&self, from: u64) -> Option<Cursor> {
        let mut kept = self.0.lock();
        let at = kept.iter().position(|cursor| cursor.next == from)?;
        Some(kept.remove(at))
    }

    fn keep(&self, cursor: Cursor) {
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(cursor);
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

/// A place in the log.
#[derive(Debug)]
struct Cursor {
    segment: Arc<Segment>,
    window: Window,
    /// Where the next batch begins.
    offset: u64,
    /// The position of the next record.
    next: u64,
    /// Batches that end at or before this position are skipped.
    from: u64,
    batch: Option<OpenBatch>,
    records: RecordReader,
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
    fn open(view: &View, from: u64) -> Option<Self> {
        let Mark {
            position,
            segment,
            offset,
            ..
        } = view.mark_at(from)?;
        Some(Self {
            segment: Arc::clone(view.segment(segment)?),
            window: Window::new(),
            offset,
            next: position,
            from,
            batch: None,
            records: RecordReader::default(),
        })
    }

    /// Goes to the next record. Returns its position, or `None` at the end of the log.
    fn seek(&mut self, view: &RwLock<View>) -> Result<Option<u64>, StorageError> {
        while self.batch.is_none_or(|batch| batch.left == 0) {
            self.batch = None;
            if self.offset < self.segment.valid() {
                self.next_batch()?;
            } else if !self.next_segment(&view.read()) {
                return Ok(None);
            }
        }
        Ok(Some(self.next))
    }

    fn next_segment(&mut self, view: &View) -> bool {
        // The active segment may have grown, and another begun, since its length was looked at.
        if self.offset < self.segment.valid() {
            return true;
        }
        let Some(segment) = view.segment(self.segment.header.id + 1) else {
            return false;
        };
        self.segment = Arc::clone(segment);
        self.offset = segment::HEADER as u64;
        self.window.clear();
        true
    }

    /// Opens the batch at the offset, or skips it.
    fn next_batch(&mut self) -> Result<(), StorageError> {
        let (offset, valid) = (self.offset, self.segment.valid());
        let corrupt = |reason| self.segment.corrupt(offset, reason);
        let bytes = self
            .window
            .get(&self.segment, offset, frame::HEADER, valid)?;
        let header = BatchHeader::read(bytes, self.segment.seed)
            .filter(|header| header.position == self.next)
            .ok_or_else(|| corrupt("a batch that was valid no longer is"))?;
        self.offset += header.frame() as u64;
        if header.records == 0 || header.end_position() <= self.from {
            self.next = header.end_position();
            return Ok(());
        }
        let frame = self
            .window
            .get(&self.segment, offset, header.frame(), valid)?;
        let body = frame.get(frame::HEADER..).unwrap_or_default();
        let (records, _) = header
            .split(body)
            .filter(|_| header.fits(body))
            .ok_or_else(|| corrupt("a batch's checksum no longer fits"))?;
        let mut reader = Reader::new(records);
        self.records
            .begin(&mut reader)
            .ok_or_else(|| corrupt("a batch's schemas are invalid"))?;
        let end = offset + (frame::HEADER + header.records_bytes) as u64;
        self.batch = Some(OpenBatch {
            offset: end - reader.rest().len() as u64,
            end,
            left: header.records,
        });
        Ok(())
    }

    /// Takes the record that [`Cursor::seek`] went to.
    fn record(&mut self) -> Result<Record, StorageError> {
        let valid = self.segment.valid();
        let invalid = |offset| self.segment.corrupt(offset, "a record is invalid");
        let Some(batch) = &mut self.batch else {
            return Err(invalid(self.offset));
        };
        let count = usize::try_from(batch.end - batch.offset).unwrap_or(usize::MAX);
        let bytes = self.window.get(&self.segment, batch.offset, count, valid)?;
        let mut reader = Reader::new(bytes);
        let record = self
            .records
            .record(&mut reader)
            .ok_or_else(|| invalid(batch.offset))?;
        batch.offset = batch.end - reader.rest().len() as u64;
        batch.left -= 1;
        self.next += 1;
        Ok(record)
    }
}
