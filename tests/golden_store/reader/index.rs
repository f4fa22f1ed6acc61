//! Indexes: each says what its segment says.

use super::{
    append,
    bytes::checked,
    manifest::{Manifest, Named},
    segment::Segment,
};
use crate::entry::Entry;

pub(super) fn check(bytes: &[u8], manifest: &Manifest, entry: &Named, segment: &Segment) {
    let mut bytes = checked(bytes, append(0, &manifest.store));
    bytes.start(*b"tidindex");
    assert_eq!(bytes.array(), manifest.store);
    let place = (bytes.u64(), bytes.u64(), bytes.u64());
    assert_eq!(place, (entry.id, entry.epoch, entry.seal.unwrap().0));
    assert_eq!(bytes.mark(), (segment.end, segment.seq, segment.len));
    let count = bytes.varint();
    let names: Vec<String> = (0..count).map(|_| bytes.text()).collect();
    let mut expected: Vec<String> = Vec::new();
    for (_, record) in &segment.records {
        if !expected.contains(&record.name) {
            expected.push(record.name.clone());
        }
    }
    assert_eq!(names, expected);
    // Segments this small have one block.
    assert_eq!(bytes.varint(), 1);
    assert_eq!(bytes.mark(), segment.batches[0]);
    let records: Vec<&Entry> = segment.records.iter().map(|(_, record)| record).collect();
    let (oldest, newest) = (bytes.u64(), bytes.u64());
    let times = || records.iter().map(|record| record.time);
    assert_eq!((Some(oldest), Some(newest)), (times().min(), times().max()));
    let (bits, filter) = (bytes.prefixed(), bytes.prefixed());
    bytes.end();
    let is_set =
        |bits: &[u8], at: usize| bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
    assert!((0..names.len()).all(|name| is_set(bits, name)));
    assert_eq!(bits.len(), names.len().div_ceil(8));
    assert_eq!(filter, key_filter(&records));
}

fn key_filter(records: &[&Entry]) -> Vec<u8> {
    let mut hashes: Vec<u64> =
        records.iter().filter_map(|record| record.key.as_deref()).map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let mut filter = vec![0; (hashes.len() * 10).div_ceil(8)];
    let bits = filter.len() as u64 * 8;
    for hash in hashes {
        for number in 0..7_u64 {
            let step = hash.rotate_left(32) | 1;
            let bit = hash.wrapping_add(step.wrapping_mul(number)) % bits;
            filter[usize::try_from(bit / 8).unwrap()] |= 1 << (bit % 8);
        }
    }
    filter
}

fn hash(key: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 30;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^= hash >> 27;
    hash = hash.wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[test]
fn the_hash_is_that_of_the_description() {
    assert_eq!(hash(""), 0xf52a_15e9_a9b5_e89b);
}
