//! A batch whose checksums fit.

use std::path::Path;

use super::Gap;
use crate::storage::{
    Record, Write,
    file::{
        body::{self, RecordReader, Slot},
        bytes::Reader,
        frame::BatchHeader,
    },
};

/// A batch whose checksums fit.
pub(in crate::storage::file) struct Batch<'a> {
    pub(super) file: &'a Path,
    pub(super) offset: u64,
    pub(in crate::storage::file) header: BatchHeader,
    /// The encoded records.
    pub(super) records: &'a [u8],
    /// The encoded writes.
    pub(super) writes: &'a [u8],
    /// The bytes of the log up to the batch's end.
    pub(in crate::storage::file) done: u64,
}

/// What is at a position, or at several.
pub(in crate::storage::file) enum Item {
    Record(Record),
    /// So many records, which a compaction dropped.
    Dropped(u64),
}

impl Batch<'_> {
    /// What it holds, or the gap that it is in spite of its checksums.
    pub(in crate::storage::file) fn decode(
        &self,
        reader: &mut RecordReader,
    ) -> Result<(Vec<Item>, Vec<Write>), Gap> {
        let mut items = Vec::new();
        let records = self.each_item(reader, &mut |item| items.push(item));
        records.ok_or_else(|| self.gap("a record is invalid"))?;
        let mut writes = Vec::new();
        let whole = body::each_write(self.writes, |write| writes.push(write));
        whole.ok_or_else(|| self.gap("a write to the state is invalid"))?;
        Ok((items, writes))
    }

    fn each_item(&self, records: &mut RecordReader, each: &mut dyn FnMut(Item)) -> Option<()> {
        let mut reader = Reader::new(self.records);
        let mut left = u64::from(self.header.records);
        if left > 0 {
            records.begin(&mut reader)?;
        }
        while left > 0 {
            let (item, count) = match records.next(&mut reader)? {
                Slot::Kept(raw) => (Item::Record(raw.copy()?), 1),
                Slot::Dropped(count) => (Item::Dropped(count), count),
            };
            left = left.checked_sub(count)?;
            each(item);
        }
        reader.is_empty().then_some(())
    }

    fn gap(&self, reason: &'static str) -> Gap {
        let header = &self.header;
        let bytes = self.offset..self.offset + header.frame() as u64;
        let positions = header.position..header.end_position();
        let seqs = header.seq..header.seq.saturating_add(1);
        Gap { positions, seqs, ..Gap::of_file(self.file, reason).at(bytes) }
    }
}
