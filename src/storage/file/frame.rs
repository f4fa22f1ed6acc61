//! The frame around a batch: a header that vouches for itself, for the body and for what came before.

use super::{
    body,
    bytes::{Reader, Writer},
    checksum::Seed,
};
use crate::storage::{Commit, Record, StorageError};

/// The most bytes a commit may have once encoded.
pub(super) const MAX_BODY: usize = 16 * 1024 * 1024;

/// `magic | body length | records length | records | seq | position | unproven | previous CRC |
/// body CRC | CRC`.
pub(super) const HEADER: usize = 48;

/// Batches begin at multiples of this, so that they are found again after damage.
pub(super) const ALIGNMENT: usize = 8;

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
    /// The number of this batch, dense from 1.
    pub(super) seq: u64,
    /// The position of the first record, or of the next one where there is none.
    pub(super) position: u64,
    /// The highest seq that was known to be synced when this batch was framed: damage at or below
    /// it is never the debris of a crash.
    pub(super) durable: u64,
    /// The CRC of the header before, so that batches form a chain.
    pub(super) previous: u32,
    pub(super) body_crc: u32,
    /// The CRC of this header.
    pub(super) crc: u32,
}

impl BatchHeader {
    /// The length of header, body and padding.
    pub(super) fn frame(&self) -> usize {
        (HEADER + self.body).next_multiple_of(ALIGNMENT)
    }

    pub(super) fn end_position(&self) -> u64 {
        self.position + u64::from(self.records)
    }

    /// The header at the start of these bytes, if it is one of the segment with this seed.
    pub(super) fn read(bytes: &[u8], seed: Seed) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let mut reader = Reader::new(header);
        if reader.u32()? != MAGIC {
            return None;
        }
        let (body, records_bytes, records) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (seq, position) = (reader.u64()?, reader.u64()?);
        let read = Self {
            body: body.try_into().ok()?,
            records_bytes: records_bytes.try_into().ok()?,
            records,
            seq,
            position,
            durable: seq.checked_sub(u64::from(reader.u32()?))?,
            previous: reader.u32()?,
            body_crc: reader.u32()?,
            crc: reader.u32()?,
        };
        let genuine = read.crc == seed.checksum(header.get(..HEADER - 4)?);
        let sane = read.body <= MAX_BODY
            && read.records_bytes <= read.body
            && read.durable < seq
            && position.checked_add(u64::from(records)).is_some();
        (genuine && sane).then_some(read)
    }

    /// The bytes, with the CRC filled in.
    fn encode(&mut self, seed: Seed) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(HEADER));
        out.u32(MAGIC);
        out.u32(length(self.body));
        out.u32(length(self.records_bytes));
        out.u32(self.records);
        out.u64(self.seq);
        out.u64(self.position);
        // A segment begins with everything before it synced, and has far fewer batches than this.
        out.u32(u32::try_from(self.seq - self.durable).unwrap_or(u32::MAX));
        out.u32(self.previous);
        out.u32(self.body_crc);
        self.crc = seed.checksum(&out.0);
        out.u32(self.crc);
        out.0
    }

    /// Whether this is the body, with its padding, that the header vouches for.
    pub(super) fn fits(&self, padded: &[u8], store: Seed) -> bool {
        let Some((body, padding)) = padded.split_at_checked(self.body) else { return false };
        HEADER + padded.len() == self.frame()
            && padding.iter().all(|byte| *byte == 0)
            && store.checksum(body) == self.body_crc
    }

    /// The part of the body with schemas and records, and the one with writes.
    pub(super) fn split<'a>(&self, body: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        body.get(..self.body)?.split_at_checked(self.records_bytes)
    }
}

/// An encoded commit that lacks only what is known once it is its turn.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    body: usize,
    records_bytes: usize,
    records: u32,
    body_crc: u32,
}

/// What a batch says of itself and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) position: u64,
    pub(super) durable: u64,
    pub(super) previous: u32,
}

impl Frame {
    /// Encodes a commit; the slow part, done before any lock is taken.
    pub(super) fn encode(commit: &Commit, store: Seed) -> Result<Self, StorageError> {
        let payload: usize = commit.records.iter().map(|record| record.payload.len()).sum();
        check_size(payload)?; // before so much is copied
        let mut out = Writer(Vec::with_capacity(HEADER + payload + 64 * commit.records.len()));
        out.bytes(&[0; HEADER]);
        body::write_records(&mut out, &commit.records);
        let records_end = out.0.len();
        body::write_writes(&mut out, &commit.writes);
        Self::finish(out, Some(records_end), commit.records.len(), store)
    }

    /// A batch of records, some of which were dropped.
    pub(super) fn of_slots(slots: &[Option<Record>], store: Seed) -> Result<Self, StorageError> {
        let mut out = Writer(vec![0; HEADER]);
        body::write_slots(&mut out, slots.iter().map(Option::as_ref));
        Self::finish(out, None, slots.len(), store)
    }

    /// Closes the body. Its records end at `records_end`, or where it does.
    fn finish(
        mut out: Writer,
        records_end: Option<usize>,
        records: usize,
        store: Seed,
    ) -> Result<Self, StorageError> {
        let body = out.0.get(HEADER..).unwrap_or_default();
        check_size(body.len())?;
        let (body, body_crc) = (body.len(), store.checksum(body));
        out.0.resize(out.0.len().next_multiple_of(ALIGNMENT), 0);
        Ok(Self {
            records_bytes: records_end.map_or(body, |end| end - HEADER),
            // There are fewer than would take a byte each in a body.
            records: u32::try_from(records).unwrap_or(u32::MAX),
            body,
            body_crc,
            bytes: out.0,
        })
    }

    /// A batch without records and writes: it says what is durable, and nothing else.
    pub(super) fn watermark(store: Seed) -> Self {
        let body_crc = store.checksum(&[]);
        Self { bytes: vec![0; HEADER], body: 0, records_bytes: 0, records: 0, body_crc }
    }

    /// The length of header, body and padding.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether the commit changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.body == 0
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Fills in the header.
    pub(super) fn seal(&mut self, place: Place, seed: Seed) -> BatchHeader {
        let mut header = BatchHeader {
            body: self.body,
            records_bytes: self.records_bytes,
            records: self.records,
            seq: place.seq,
            position: place.position,
            durable: place.durable,
            previous: place.previous,
            body_crc: self.body_crc,
            crc: 0,
        };
        let bytes = header.encode(seed);
        if let Some(start) = self.bytes.first_chunk_mut::<HEADER>() {
            start.copy_from_slice(&bytes);
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
    Err(StorageError::TooLarge { bytes: bytes as u64, limit: MAX_BODY as u64 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::storage::Write;

    fn sealed(seed: Seed) -> Vec<u8> {
        let commit = Commit { writes: vec![Write::put("k", "value!")], ..Commit::default() };
        let mut frame = Frame::encode(&commit, Seed::NONE).unwrap();
        frame.seal(Place { seq: 7, position: 3, durable: 6, previous: 5 }, seed);
        frame.bytes().to_vec()
    }

    fn is_whole(bytes: &[u8], seed: Seed) -> bool {
        BatchHeader::read(bytes, seed)
            .is_some_and(|header| header.fits(&bytes[HEADER..], Seed::NONE))
    }

    #[test]
    fn a_batch_is_valid_in_its_own_segment_only() {
        let (ours, other) = (Seed::of(b"ours"), Seed::of(b"other"));
        let bytes = sealed(ours);
        let header = BatchHeader::read(&bytes, ours).unwrap();
        assert_eq!((header.seq, header.position, header.durable, header.previous), (7, 3, 6, 5));
        assert!(is_whole(&bytes, ours));
        assert_eq!(BatchHeader::read(&bytes, other), None);
        assert_eq!(BatchHeader::read(&[0; HEADER], Seed::NONE), None);
    }

    /// What it says of others was durable before it was written, and so before it is.
    #[test]
    fn a_batch_that_calls_itself_durable_is_none() {
        for (durable, is_valid) in [(5, true), (6, true), (7, false)] {
            let mut frame = Frame::watermark(Seed::NONE);
            frame.seal(Place { seq: 7, position: 1, durable, previous: 0 }, Seed::NONE);
            assert_eq!(is_whole(frame.bytes(), Seed::NONE), is_valid, "{durable}");
        }
    }

    #[test]
    fn a_watermark_is_a_batch() {
        let mut frame = Frame::watermark(Seed::NONE);
        frame.seal(Place { seq: 2, position: 1, durable: 1, previous: 0 }, Seed::NONE);
        assert!(is_whole(frame.bytes(), Seed::NONE));
    }

    proptest! {
        #[test]
        fn any_flip_is_noticed(at in 0_usize..64, bit in 0_u8..8) {
            let mut bytes = sealed(Seed::NONE);
            prop_assert_eq!(bytes.len(), 64, "the body has 9 bytes, the padding 7");
            bytes[at] ^= 1 << bit;
            prop_assert!(!is_whole(&bytes, Seed::NONE));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..60), seed in any::<u64>()) {
            prop_assert_eq!(BatchHeader::read(&bytes, Seed::NONE.and(seed)), None);
        }
    }
}
