//! An index as bytes.

use super::{Block, Index, keys::KeyFilter};
use crate::storage::file::{
    bytes::{Reader, Writer},
    checksum::Seed,
    segment::{Mark, SegmentHeader, VERSION},
};

const MAGIC: [u8; 8] = *b"tidindex";

pub(super) fn encode(index: &Index, segment: &SegmentHeader, len: u64, store: Seed) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes(&MAGIC);
    out.u32(VERSION);
    out.u32(0); // no features that a reader must know
    out.bytes(&segment.store);
    for number in [segment.id, segment.epoch, len] {
        out.u64(number);
    }
    write_mark(&mut out, index.end);
    out.size(index.names.len());
    for name in &index.names {
        out.text(name);
    }
    out.size(index.blocks.len());
    for block in &index.blocks {
        write_mark(&mut out, block.start);
        out.u64(block.oldest);
        out.u64(block.newest);
        out.prefixed(&block.names);
        out.prefixed(&block.keys.0);
    }
    out.u32(store.checksum(&out.0));
    out.0
}

fn write_mark(out: &mut Writer, mark: Mark) {
    for number in [mark.position, mark.seq, mark.offset] {
        out.varint(number);
    }
}

/// The index in these bytes, if it is one of this segment at this length.
pub(super) fn decode(
    bytes: &[u8],
    segment: &SegmentHeader,
    len: u64,
    store: Seed,
) -> Option<Index> {
    let (covered, crc) = bytes.split_last_chunk()?;
    if u32::from_le_bytes(*crc) != store.checksum(covered) {
        return None;
    }
    let mut reader = Reader::new(covered);
    let magic: [u8; 8] = reader.array()?;
    let known = magic == MAGIC && reader.u32()? == VERSION && reader.u32()? == 0;
    let owner: [u8; 16] = reader.array()?;
    let place = (reader.u64()?, reader.u64()?, reader.u64()?);
    if !known || owner != segment.store || place != (segment.id, segment.epoch, len) {
        return None;
    }
    let end = read_mark(&mut reader)?;
    let mut names = Vec::new();
    for _ in 0..reader.size()? {
        names.push(reader.text()?.to_owned());
    }
    let mut blocks = Vec::new();
    for _ in 0..reader.size()? {
        blocks.push(Block {
            start: read_mark(&mut reader)?,
            oldest: reader.u64()?,
            newest: reader.u64()?,
            names: reader.prefixed()?.to_vec(),
            keys: KeyFilter(reader.prefixed()?.to_vec()),
        });
    }
    reader.is_empty().then_some(Index { names, blocks, end })
}

fn read_mark(reader: &mut Reader<'_>) -> Option<Mark> {
    Some(Mark { position: reader.varint()?, seq: reader.varint()?, offset: reader.varint()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader::SAMPLE;

    fn sample() -> Index {
        let start = Mark { position: 5, seq: 4, offset: 96 };
        let keys = KeyFilter::of(&mut vec![1, 2, 3]);
        let block = Block { start, oldest: 1, newest: 900, names: vec![3], keys };
        let end = Mark { position: 50, seq: 9, offset: 1000 };
        Index { names: vec!["a".into(), "b".into()], blocks: vec![block], end }
    }

    #[test]
    fn it_comes_back_for_its_own_segment_alone() {
        let bytes = encode(&sample(), &HEADER, 1000, Seed::NONE);
        assert_eq!(decode(&bytes, &HEADER, 1000, Seed::NONE), Some(sample()));
        assert_eq!(decode(&bytes, &HEADER, 1001, Seed::NONE), None);
        let other = SegmentHeader { id: 4, ..HEADER };
        assert_eq!(decode(&bytes, &other, 1000, Seed::NONE), None);
        assert_eq!(decode(&bytes, &HEADER, 1000, Seed::of(b"other")), None);
    }

    #[test]
    fn any_flip_or_cut_is_noticed() {
        let bytes = encode(&sample(), &HEADER, 1000, Seed::NONE);
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at], &HEADER, 1000, Seed::NONE), None);
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(decode(&flipped, &HEADER, 1000, Seed::NONE), None);
            }
        }
    }
}
