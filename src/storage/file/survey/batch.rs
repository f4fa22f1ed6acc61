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

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a program that writes with the right checksums can make such a batch.
    #[test]
    fn a_batch_that_does_not_decode_is_a_gap_of_its_records_and_its_commit() {
        let header = BatchHeader {
            body: 52,
            records_bytes: 3,
            records: 4,
            seq: 9,
            position: 30,
            durable: 8,
            previous: 0,
            body_crc: 0,
            crc: 0,
        };
        let file = Path::new("store/segments/1.log");
        let (records, writes) = (&[0xff; 3], &[]);
        let batch = Batch { file, offset: 200, header, records, writes, done: 0 };
        let gap = batch.decode(&mut RecordReader::default()).err();
        let expected =
            Gap { positions: 30..34, seqs: 9..10, ..Gap::of_file(file, "a record is invalid") };
        assert_eq!(gap, Some(expected.at(200..304)));
    }
}
