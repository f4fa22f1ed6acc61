//! Segments, batches and their bodies.

use super::{
    append,
    bytes::{Bytes, checked},
    manifest::{Manifest, Named},
    masked,
};
use crate::entry::{Correlation, Entry};

pub(super) struct Segment {
    /// With the offset of the batch.
    pub(super) records: Vec<(u64, Entry)>,
    /// With the seq of the batch.
    pub(super) writes: Vec<(u64, Vec<u8>, Option<Vec<u8>>)>,
    /// Position, seq and offset of each batch.
    pub(super) batches: Vec<(u64, u64, u64)>,
    pub(super) len: u64,
    /// The position after the last record.
    pub(super) end: u64,
    /// The seq after the last batch.
    pub(super) seq: u64,
    /// Of the last batch.
    pub(super) crc: u32,
}

pub(super) fn read(
    bytes: &[u8],
    manifest: &Manifest,
    named: &Named,
    before: Option<&Named>,
) -> Segment {
    let mut header = checked(&bytes[..96], 0);
    header.start(*b"tidings\n");
    assert_eq!(header.array(), manifest.store);
    let place = [header.u64(), header.u64(), header.u64(), header.u64(), header.u64()];
    assert_eq!(place, [named.id, named.epoch, manifest.timeline, named.position, named.seq]);
    let previous = (header.u64(), header.u32());
    if let Some(before) = before {
        assert_eq!(Some(previous), before.original.or(before.seal));
    }
    let size = header.u64();
    header.end();
    assert!(named.seal.is_some() || bytes.len() as u64 >= size, "shorter than it was");
    let mut seed = append(0, &manifest.store);
    for number in [manifest.timeline, named.epoch, named.id] {
        seed = append(seed, &number.to_le_bytes());
    }
    let segment = Segment {
        records: Vec::new(),
        writes: Vec::new(),
        batches: Vec::new(),
        len: 96,
        end: named.position,
        seq: named.seq,
        crc: previous.1,
    };
    segment.batches(bytes, manifest, named, seed)
}

impl Segment {
    fn batches(mut self, bytes: &[u8], manifest: &Manifest, named: &Named, seed: u32) -> Self {
        let limit = named.seal.map_or(bytes.len() as u64, |(len, _)| len);
        let bytes = &bytes[..usize::try_from(limit).unwrap()];
        loop {
            let rest = &bytes[usize::try_from(self.len).unwrap()..];
            if rest.iter().all(|byte| *byte == 0) {
                break;
            }
            self.batch(rest, append(0, &manifest.store), seed);
        }
        if let Some(seal) = named.seal {
            assert_eq!((self.len, self.crc), seal);
        } else {
            assert!(self.seq > manifest.durable, "durable batches are missing");
        }
        self
    }

    fn batch(&mut self, bytes: &[u8], store: u32, seed: u32) {
        let mut header = checked(&bytes[..48], seed);
        assert_eq!(header.take(4), [0x74, 0x64, 0x62, 0x9e]);
        let (length, records_length) = (header.u32() as usize, header.u32() as usize);
        let (count, seq, position) = (header.u32(), header.u64(), header.u64());
        let (unproven, previous, body_crc) = (header.u32(), header.u32(), header.u32());
        assert_eq!((seq, position, previous), (self.seq, self.end, self.crc));
        assert!(unproven >= 1 && u64::from(unproven) <= seq && length <= 16 * 1024 * 1024);
        let padded = (48 + length).next_multiple_of(8);
        let (body, padding) = (&bytes[48..48 + length], &bytes[48 + length..padded]);
        assert_eq!(body_crc, masked(store, body));
        assert!(padding.iter().all(|byte| *byte == 0));
        let (records, writes) = body.split_at(records_length);
        let offset = self.len;
        self.batches.push((position, seq, offset));
        self.records(Bytes(records), offset, u64::from(count));
        let mut writes = Bytes(writes);
        while !writes.0.is_empty() {
            self.writes.push((seq, writes.prefixed().to_vec(), writes.value()));
        }
        (self.len, self.seq) = (offset + padded as u64, seq + 1);
        self.crc = u32::from_le_bytes(*bytes[..48].last_chunk().unwrap());
    }

    fn records(&mut self, mut bytes: Bytes<'_>, offset: u64, count: u64) {
        if count == 0 {
            return bytes.end();
        }
        let mut table = Bytes(bytes.prefixed());
        let mut schemas = Vec::new();
        while !table.0.is_empty() {
            schemas.push((table.text(), u32::try_from(table.varint()).unwrap(), table.text()));
        }
        let (stop, mut time) = (self.end + count, 0);
        while self.end < stop {
            if bytes.0[0] == 32 {
                bytes.u8();
                let dropped = bytes.varint();
                assert!(dropped > 0);
                self.end += dropped;
                continue;
            }
            let record = record(&mut bytes, &schemas, self.end, &mut time);
            self.records.push((offset, record));
            self.end += 1;
        }
        assert_eq!(self.end, stop);
        bytes.end();
    }
}

fn record(
    bytes: &mut Bytes<'_>,
    schemas: &[(String, u32, String)],
    position: u64,
    time: &mut u64,
) -> Entry {
    let flags = bytes.u8();
    assert!(flags < 32, "unknown flags");
    let (name, version, codec) = schemas[bytes.size()].clone();
    let id = bytes.array();
    *time = time.wrapping_add_signed(bytes.zigzag());
    Entry {
        position,
        name,
        version,
        codec,
        id,
        time: *time,
        key: (flags & 1 != 0).then(|| bytes.text()),
        correlation: match flags & 6 {
            0 => Correlation::None,
            2 => Correlation::Id(bytes.array()),
            4 => Correlation::Text(bytes.text()),
            _ => panic!("two correlations"),
        },
        causation: (flags & 8 != 0).then(|| bytes.array()),
        headers: if flags & 16 != 0 { headers(bytes) } else { Vec::new() },
        payload: bytes.prefixed().to_vec(),
    }
}

fn headers(bytes: &mut Bytes<'_>) -> Vec<(String, String)> {
    let count = bytes.varint();
    let headers: Vec<_> = (0..count).map(|_| (bytes.text(), bytes.text())).collect();
    assert!(!headers.is_empty() && headers.windows(2).all(|two| two[0].0 < two[1].0));
    headers
}
