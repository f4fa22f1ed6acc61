//! Going through a segment batch by batch, verifying everything.

use super::{
    frame::{self, BatchHeader},
    segment::{self, Segment},
    window::Window,
};
use crate::storage::{StorageError, Write, file::body};

/// How much is searched at a time for what follows damage.
const SEARCHED: usize = 64 * 1024;

/// A place in a segment up to which everything is valid.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    segment: &'a Segment,
    window: Window,
    pub(super) offset: u64,
    limit: u64,
    /// The seq that the next batch must have.
    pub(super) seq: u64,
    /// The position that the next record must have.
    pub(super) position: u64,
}

/// What a scan came to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Batch {
        header: BatchHeader,
        offset: u64,
        /// The encoded writes.
        writes: &'a [u8],
    },
    End,
    Invalid(&'static str),
}

impl<'a> Scan<'a> {
    /// Begins after the segment's header; `limit` is where its valid bytes end at the latest.
    pub(super) fn new(segment: &'a Segment, limit: u64) -> Self {
        Self {
            segment,
            window: Window::new(),
            offset: segment::HEADER as u64,
            limit,
            seq: segment.header.seq,
            position: segment.header.position,
        }
    }

    pub(super) fn next(&mut self) -> Result<Found<'_>, StorageError> {
        let offset = self.offset;
        if offset >= self.limit {
            return Ok(Found::End);
        }
        let bytes = self
            .window
            .get(self.segment, offset, frame::HEADER, self.limit)?;
        let Some(header) = BatchHeader::read(bytes, self.segment.seed) else {
            return Ok(Found::Invalid("no valid batch header"));
        };
        if (header.seq, header.position) != (self.seq, self.position) {
            return Ok(Found::Invalid("not the batch that follows"));
        }
        let frame = self
            .window
            .get(self.segment, offset, header.frame(), self.limit)?;
        let body = frame.get(frame::HEADER..).unwrap_or_default();
        let Some((_, writes)) = header.split(body).filter(|_| header.fits(body)) else {
            return Ok(Found::Invalid(
                "a batch is cut off or its checksum does not fit",
            ));
        };
        self.offset += header.frame() as u64;
        self.seq += 1;
        self.position = header.end_position();
        Ok(Found::Batch {
            header,
            offset,
            writes,
        })
    }

    /// Whether a later batch header in the segment says that the batch expected here was durable:
    /// then what is here is damage, not the debris of a crash.
    pub(super) fn was_durable(&mut self) -> Result<bool, StorageError> {
        let mut offset = self.offset;
        while offset < self.limit {
            let bytes = self
                .window
                .get(self.segment, offset, SEARCHED, self.limit)?;
            let mut headers = bytes
                .windows(frame::HEADER)
                .filter_map(|bytes| BatchHeader::read(bytes, self.segment.seed));
            if headers.any(|header| header.durable >= self.seq) {
                return Ok(true);
            }
            offset += (SEARCHED - frame::HEADER + 1) as u64;
        }
        Ok(false)
    }
}

/// Decodes writes that a scan found.
pub(super) fn decode_writes(
    segment: &Segment,
    offset: u64,
    writes: &[u8],
) -> Result<Vec<Write>, StorageError> {
    body::read_writes(writes).ok_or_else(|| segment.corrupt(offset, "a batch's writes are invalid"))
}
