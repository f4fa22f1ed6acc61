//! Runs.

use super::{append, bytes::Bytes, manifest::Run, masked};

/// The entries of a run.
pub(super) fn read(bytes: &[u8], store: &[u8; 16], named: &Run) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    assert_eq!(bytes.len() as u64, named.len);
    let seed = append(append(0, store), &named.id.to_le_bytes());
    let mut header = Bytes(&bytes[..40]);
    header.start(*b"tidstate");
    assert_eq!((header.array(), header.u64()), (*store, named.id));
    let mut footer = Bytes(&bytes[bytes.len() - 24..]);
    let (at, length) = (footer.u64(), footer.u64());
    let (count, crc) = (footer.u32(), footer.u32());
    let (at, length) = (usize::try_from(at).unwrap(), usize::try_from(length).unwrap());
    assert_eq!(at + length + 24, bytes.len());
    let covered = [&bytes[..40], &bytes[at..bytes.len() - 4]].concat();
    assert_eq!((crc, crc), (named.crc, masked(seed, &covered)));
    let mut index = Bytes(&bytes[at..at + length]);
    let mut blocks = Bytes(&bytes[40..at]);
    let mut entries = Vec::new();
    for _ in 0..count {
        let (first, length, crc) = (index.prefixed(), index.u32(), index.u32());
        let mut block = Bytes(blocks.take(length as usize));
        assert_eq!(masked(seed, block.0), crc);
        let start = entries.len();
        while !block.0.is_empty() {
            entries.push((block.prefixed().to_vec(), block.value()));
        }
        assert_eq!(entries[start].0, first);
    }
    index.end();
    blocks.end();
    assert!(entries.windows(2).all(|two| two[0].0 < two[1].0));
    entries
}
