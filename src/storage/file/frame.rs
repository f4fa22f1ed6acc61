//! The frame around a batch: a header that vouches for itself and for the body.

use super::{
    body,
    bytes::{Reader, Writer},
};
use crate::storage::{Commit, StorageError};

/// The most bytes a commit may have once encoded.
pub(super) const MAX_BODY: usize = 16 * 1024 * 1024;

/// `magic | body length | records length | records | seq | position | durable | body CRC | CRC`.
pub(super) const HEADER: usize = 48;

const MAGIC: u32 = u32::from_le_bytes(*b"tdb\x9e");

/// Where a batch is and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// The length of the body in bytes.
    pub(super) body: usize,
    /// How many of these hold schemas and records; the writes follow.
    pub(super) records_bytes: usize,
    /// How many records there are.
    pub(super) records: u32,
    /// The number of this commit, dense from 1.
    pub(super) seq: u64,
    /// The position of the first record, or of the next one where there is none.
    pub(super) position: u64,
    /// The highest seq that was known to be synced when this batch was framed: damage at or below
    /// it is never the debris of a crash.
    pub(super) durable: u64,
    pub(super) body_crc: u32,
}

impl BatchHeader {
    /// The length of header and body.
    pub(super) fn frame(&self) -> usize {
        HEADER + self.body
    }

    pub(super) fn end_position(&self) -> u64 {
        self.position + u64::from(self.records)
    }

    /// The header at the start of these bytes, if it is one of the segment with this seed.
    pub(super) fn read(bytes: &[u8], seed: u32) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let mut reader = Reader::new(header);
        if reader.u32()? != MAGIC {
            return None;
        }
        let read = Self {
            body: reader.u32()?.try_into().ok()?,
            records_bytes: reader.u32()?.try_into().ok()?,
            records: reader.u32()?,
            seq: reader.u64()?,
            position: reader.u64()?,
            durable: reader.u64()?,
            body_crc: reader.u32()?,
        };
        let covered = header.get(..HEADER - 4)?;
        let genuine = reader.u32()? == crc32c::crc32c_append(seed, covered);
        let sane = read.body <= MAX_BODY
            && read.records_bytes <= read.body
            && read.position.checked_add(u64::from(read.records)).is_some();
        (genuine && sane).then_some(read)
    }

    fn encode(&self, seed: u32) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(HEADER));
        out.u32(MAGIC);
        out.u32(length(self.body));
        out.u32(length(self.records_bytes));
        out.u32(self.records);
        out.u64(self.seq);
        out.u64(self.position);
        out.u64(self.durable);
        out.u32(self.body_crc);
        out.u32(crc32c::crc32c_append(seed, &out.0));
        out.0
    }

    /// Whether this is the body that the header vouches for.
    pub(super) fn fits(&self, body: &[u8]) -> bool {
        body.len() == self.body && crc32c::crc32c(body) == self.body_crc
    }

    /// The part of the body with schemas and records, and the one with writes.
    pub(super) fn split<'a>(&self, body: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        body.split_at_checked(self.records_bytes)
    }
}

/// An encoded commit that lacks only what is known once it is its turn.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    records_bytes: usize,
    records: u32,
    body_crc: u32,
}

impl Frame {
    /// Encodes a commit; the slow part, done before any lock is taken.
    pub(super) fn encode(commit: &Commit) -> Result<Self, StorageError> {
        let payload: usize = commit
            .records
            .iter()
            .map(|record| record.payload.len())
            .sum();
        check_size(payload)?; // before so much is copied
        let mut out = Writer(Vec::with_capacity(
            HEADER + payload + 64 * commit.records.len(),
        ));
        out.bytes(&[0; HEADER]);
        body::write_records(&mut out, &commit.records);
        let records_end = out.0.len();
        body::write_writes(&mut out, &commit.writes);
        let body = out.0.get(HEADER..).unwrap_or_default();
        check_size(body.len())?;
        Ok(Self {
            records_bytes: records_end - HEADER,
            // Each record has more than one byte, so there are fewer than bytes in a body.
            records: u32::try_from(commit.records.len()).unwrap_or(u32::MAX),
            body_crc: crc32c::crc32c(body),
            bytes: out.0,
        })
    }

    /// The length of header and body.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether the commit changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Fills in the header.
    pub(super) fn seal(&mut self, seq: u64, position: u64, durable: u64, seed: u32) -> BatchHeader {
        let header = BatchHeader {
            body: self.bytes.len() - HEADER,
            records_bytes: self.records_bytes,
            records: self.records,
            seq,
            position,
            durable,
            body_crc: self.body_crc,
        };
        if let Some(start) = self.bytes.first_chunk_mut::<HEADER>() {
            start.copy_from_slice(&header.encode(seed));
        }
        header
    }
}

/// Lengths in a frame are at most [`MAX_BODY`].
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn check_size(bytes: usize) -> Result<(), StorageError> {
    if bytes <= MAX_BODY {
        return Ok(());
    }
    Err(StorageError::TooLarge {
        bytes: bytes as u64,
        limit: MAX_BODY as u64,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::storage::Write;

    fn sealed(seed: u32) -> Vec<u8> {
        let commit = Commit {
            writes: vec![Write::put("k", "value")],
            ..Commit::default()
        };
        let mut frame = Frame::encode(&commit).unwrap();
        frame.seal(7, 3, 6, seed);
        frame.bytes().to_vec()
    }

    #[test]
    fn a_header_is_valid_in_its_own_segment_only() {
        let bytes = sealed(1);
        let header = BatchHeader::read(&bytes, 1);
        assert!(header.is_some_and(|header| header.seq == 7 && header.fits(&bytes[HEADER..])));
        assert_eq!(BatchHeader::read(&bytes, 2), None);
        assert_eq!(BatchHeader::read(&[0; HEADER], 0), None);
    }

    proptest! {
        #[test]
        fn any_flip_is_noticed(at in 0_usize..56, bit in 0_u8..8) {
            let mut bytes = sealed(1);
            prop_assert_eq!(bytes.len(), 56);
            bytes[at] ^= 1 << bit;
            let header = BatchHeader::read(&bytes, 1);
            prop_assert!(header.is_none_or(|header| !header.fits(&bytes[HEADER..])));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..60), seed in any::<u32>()) {
            prop_assert_eq!(BatchHeader::read(&bytes, seed), None);
        }
    }
}
