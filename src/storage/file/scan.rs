//! Going through a segment batch by batch, verifying everything.

use super::{
    checksum::Seed,
    frame::{self, BatchHeader},
    segment,
    window::Window,
};
use crate::storage::StorageError;

/// How much is searched at a time for what follows damage.
const SEARCHED: usize = 64 * 1024;

/// A place in a segment up to which everything is valid.
#[derive(Debug)]
pub(super) struct Scan {
    window: Window,
    store: Seed,
    pub(super) offset: u64,
    /// Where the valid bytes end at the latest: the seal, or the end of the file.
    limit: u64,
    /// The seq that the next batch must have.
    pub(super) seq: u64,
    /// The position that the next record must have.
    pub(super) position: u64,
    /// The CRC of the header before.
    pub(super) crc: u32,
    /// What tests may take away from the checks.
    pub(super) leniency: Leniency,
}

/// Checks that a planted mistake leaves out. None, outside of tests.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leniency {
    pub(super) bodies: bool,
    pub(super) order: bool,
}

/// What a scan came to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Batch {
        header: BatchHeader,
        offset: u64,
        /// The encoded records.
        records: &'a [u8],
        /// The encoded writes.
        writes: &'a [u8],
    },
    /// Nothing but zeros from here to the limit.
    End,
    Invalid(&'static str),
}

impl Scan {
    /// Begins after the segment's header.
    pub(super) fn new(window: Window, store: Seed, limit: u64) -> Self {
        let header = window.segment.header;
        Self {
            window,
            store,
            offset: segment::HEADER as u64,
            limit,
            seq: header.seq,
            position: header.position,
            crc: header.previous_crc,
            leniency: Leniency::default(),
        }
    }

    pub(super) fn next(&mut self) -> Result<Found<'_>, StorageError> {
        let (offset, seed) = (self.offset, self.window.segment.seed);
        let bytes = self.window.get(offset, frame::HEADER, self.limit)?;
        let Some(header) = BatchHeader::read(bytes, seed) else {
            return Ok(match self.first_nonzero()? {
                None => Found::End,
                Some(at) if at >= offset + frame::HEADER as u64 => {
                    Found::Invalid("zeros with something after them")
                }
                Some(_) => Found::Invalid("no valid batch header"),
            });
        };
        let follows = (header.seq, header.position, header.previous)
            == (self.seq, self.position, self.crc)
            || self.leniency.order;
        if !follows {
            return Ok(Found::Invalid("not the batch that follows"));
        }
        let frame = self.window.get(offset, header.frame(), self.limit)?;
        let padded = frame.get(frame::HEADER..).unwrap_or_default();
        let fits = header.fits(padded, self.store) || self.leniency.bodies;
        let Some((records, writes)) = header.split(padded).filter(|_| fits) else {
            return Ok(Found::Invalid("a batch is cut off or its checksum does not fit"));
        };
        self.offset += header.frame() as u64;
        self.seq = header.seq + 1;
        self.position = header.end_position();
        self.crc = header.crc;
        Ok(Found::Batch { header, offset, records, writes })
    }

    /// Where the first byte from here on is that is not zero.
    fn first_nonzero(&mut self) -> Result<Option<u64>, StorageError> {
        let mut offset = self.offset;
        loop {
            let bytes = self.window.some(offset, self.limit)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            // Whole words first: this may be most of a segment.
            let words = bytes.chunks_exact(8).take_while(|word| **word == [0; 8]).count() * 8;
            let rest = bytes.get(words..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|byte| *byte != 0) {
                return Ok(Some(offset + (words + at) as u64));
            }
            offset += bytes.len() as u64;
        }
    }

    /// The end of the last byte from here on that is not zero, or this place if there is none.
    pub(super) fn end_of_debris(&mut self) -> Result<u64, StorageError> {
        let (mut offset, mut end) = (self.offset, self.offset);
        loop {
            let bytes = self.window.some(offset, self.limit)?;
            if bytes.is_empty() {
                return Ok(end);
            }
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = offset + last as u64 + 1;
            }
            offset += bytes.len() as u64;
        }
    }

    /// The highest seq that valid batch headers from here on claim to be durable; 0 without any.
    /// Where it is the seq of the batch that is missing here, or more, what is here is damage.
    pub(super) fn later_durable(&mut self) -> Result<u64, StorageError> {
        let seed = self.window.segment.seed;
        let (mut offset, mut highest) = (self.offset, 0);
        while offset < self.limit {
            let bytes = self.window.get(offset, SEARCHED, self.limit)?;
            let starts = bytes.windows(frame::HEADER).step_by(frame::ALIGNMENT);
            let headers = starts.filter_map(|bytes| BatchHeader::read(bytes, seed));
            highest = headers.map(|header| header.durable).max().unwrap_or(0).max(highest);
            offset += (SEARCHED - frame::HEADER).next_multiple_of(frame::ALIGNMENT) as u64;
        }
        Ok(highest)
    }
}
