//! Making checksums right over bytes that are anything.

use crate::storage::file::{
    bytes::{Reader, Writer},
    checksum::Seed,
    frame,
    segment::{SegmentHeader, StoreId, VERSION},
};

/// How much of batches is made right beside their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Magic and checksums alone.
    Checksums,
    /// Also lengths, where they do not fit.
    Lengths,
    /// Also their numbers, so that each follows the one before.
    Order,
}

/// Bytes with a length and without checksums: magic, version, no features.
fn begin(magic: [u8; 8]) -> Writer {
    let mut out = Writer::default();
    out.bytes(&magic);
    out.u32(VERSION);
    out.u32(0);
    out
}

/// A manifest with this body.
pub(super) fn manifest(body: &[u8]) -> Vec<u8> {
    let mut out = begin(*b"tidmanif");
    out.u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.bytes(body);
    end(out, Seed::NONE)
}

/// The index of a segment of this length, with this behind its header.
pub(super) fn index(segment: &SegmentHeader, len: u64, rest: &[u8]) -> Vec<u8> {
    let mut out = begin(*b"tidindex");
    out.bytes(&segment.store);
    for number in [segment.id, segment.epoch, len] {
        out.u64(number);
    }
    out.bytes(rest);
    end(out, Seed::of(&segment.store))
}

fn end(mut out: Writer, seed: Seed) -> Vec<u8> {
    out.u32(seed.checksum(&out.0));
    out.0
}

/// The start of a run.
pub(super) fn run_header(store: &StoreId, id: u64) -> Vec<u8> {
    let mut out = begin(*b"tidstate");
    out.bytes(store);
    out.u64(id);
    out.0
}

/// Makes the checksum at the end of a run right, if there is room for one. Returns it.
pub(super) fn run(bytes: &mut [u8], seed: Seed) -> u32 {
    let footer = bytes.len().saturating_sub(24);
    let index = bytes.get(footer..).and_then(|footer| Reader::new(footer).u64());
    let index = index.and_then(|index| usize::try_from(index).ok()).unwrap_or(footer);
    let Some((covered, last)) = bytes.split_last_chunk_mut() else { return 0 };
    let header = covered.get(..40).unwrap_or_default();
    let tail = covered.get(index..).unwrap_or_default();
    let crc = seed.checksum(&[header, tail].concat());
    *last = crc.to_le_bytes();
    crc
}

/// Makes batches of whatever is in a segment behind its header.
pub(super) fn batches(bytes: &mut [u8], segment: &SegmentHeader, care: Care) {
    let (mut seq, mut position) = (segment.seq, segment.position);
    let mut previous = segment.previous_crc;
    let mut rest = bytes;
    while let Some((header, body)) = rest.split_first_chunk_mut::<{ frame::HEADER }>() {
        if care == Care::Order {
            put(header, 16, &seq.to_le_bytes());
            put(header, 24, &position.to_le_bytes());
            put(header, 36, &previous.to_le_bytes());
        }
        let len = batch(header, body, segment, care);
        seq = seq.wrapping_add(1);
        position = position.wrapping_add(u64::from(number(header, 12)));
        previous = number(header, 44);
        let next = len.next_multiple_of(frame::ALIGNMENT).min(body.len());
        let (frame, behind) = body.split_at_mut(next);
        frame.get_mut(len..).unwrap_or_default().fill(0);
        rest = behind;
    }
}

/// Makes a batch of a header and the bytes behind it. Returns how long its body is.
pub(super) fn batch(
    header: &mut [u8; frame::HEADER],
    rest: &[u8],
    segment: &SegmentHeader,
    care: Care,
) -> usize {
    put(header, 0, b"tdb\x9e");
    let mut len = number(header, 4) as usize;
    if care != Care::Checksums {
        let records = number(header, 8) as usize;
        len = len.checked_rem(rest.len() + 1).unwrap_or(0);
        put(header, 4, &u32::try_from(len).unwrap_or(0).to_le_bytes());
        let records = u32::try_from(records % (len + 1)).unwrap_or(0);
        put(header, 8, &records.to_le_bytes());
    }
    let len = len.min(rest.len());
    let body = rest.get(..len).unwrap_or_default();
    put(header, 40, &Seed::of(&segment.store).checksum(body).to_le_bytes());
    let crc = segment.seed().checksum(header.get(..44).unwrap_or_default());
    put(header, 44, &crc.to_le_bytes());
    len
}

fn number(header: &[u8], at: usize) -> u32 {
    header.get(at..).and_then(|bytes| Reader::new(bytes).u32()).unwrap_or(0)
}

fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = header.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
