//! One file of the log: its name, its header, and how it is made.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    bytes::{Reader, Writer},
    disk::{Disk, DiskFile},
    failure::doing,
};
use crate::storage::StorageError;

/// The version of the format that this build writes and reads.
pub(super) const VERSION: u32 = 1;

/// `magic | version | store | id | position | seq | previous length | CRC`.
pub(super) const HEADER: usize = 64;

const MAGIC: [u8; 8] = *b"tidings\n";

/// Tells one store from all others.
pub(super) type StoreId = [u8; 16];

/// The start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) store: StoreId,
    pub(super) id: u64,
    /// The position of the first record.
    pub(super) position: u64,
    /// The seq of the first batch.
    pub(super) seq: u64,
    /// How many bytes of the segment before are valid. Seals a torn tail without touching it.
    pub(super) previous_len: u64,
}

/// What the first bytes of a segment turned out to be.
#[derive(Debug)]
pub(super) enum ReadHeader {
    Valid(SegmentHeader),
    /// Written by another version of the format.
    Version(u32),
    Invalid,
}

impl SegmentHeader {
    /// What checksums of batches in this segment start from, so that no other bytes are valid.
    pub(super) fn seed(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.store), &self.id.to_le_bytes())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(&MAGIC);
        out.u32(VERSION);
        out.bytes(&self.store);
        for number in [self.id, self.position, self.seq, self.previous_len] {
            out.u64(number);
        }
        out.u32(crc32c::crc32c(&out.0));
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> ReadHeader {
        match version(bytes) {
            // Zero is what a header torn in creation has there.
            None | Some(0) => ReadHeader::Invalid,
            Some(VERSION) => decode_fields(bytes).map_or(ReadHeader::Invalid, ReadHeader::Valid),
            Some(found) => ReadHeader::Version(found),
        }
    }
}

fn version(bytes: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(bytes);
    let magic: [u8; 8] = reader.array()?;
    if magic == MAGIC { reader.u32() } else { None }
}

fn decode_fields(bytes: &[u8]) -> Option<SegmentHeader> {
    let (covered, crc) = bytes.get(..HEADER)?.split_last_chunk()?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(covered) {
        return None;
    }
    let mut reader = Reader::new(covered.get(12..)?);
    Some(SegmentHeader {
        store: reader.array()?,
        id: reader.u64()?,
        position: reader.u64()?,
        seq: reader.u64()?,
        previous_len: reader.u64()?,
    })
}

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    pub(super) seed: u32,
    pub(super) file: Arc<dyn DiskFile>,
    /// Up to here there are whole batches that may be read. Grows as commits succeed.
    valid: AtomicU64,
}

impl Segment {
    pub(super) fn new(
        path: PathBuf,
        header: SegmentHeader,
        file: Arc<dyn DiskFile>,
        valid: u64,
    ) -> Self {
        Self { path, header, seed: header.seed(), file, valid: AtomicU64::new(valid) }
    }

    /// Makes a segment without batches, durable before it returns.
    pub(super) fn create(
        disk: &dyn Disk,
        dir: &Path,
        header: SegmentHeader,
    ) -> Result<Self, StorageError> {
        let path = dir.join(file_name(header.id));
        let file = disk.open(&path, true).map_err(doing("creating a segment", &path))?;
        if file.size().map_err(doing("creating a segment", &path))? > 0 {
            let reason = "another segment is where the next one was to begin";
            return Err(StorageError::Corrupt { file: path, offset: 0, reason });
        }
        file.write_all_at(&header.encode(), 0)
            .map_err(doing("writing a segment's header", &path))?;
        file.sync_data().map_err(doing("syncing a segment's header", &path))?;
        disk.sync_dir(dir).map_err(doing("syncing the directory", dir))?;
        Ok(Self::new(path, header, file, HEADER as u64))
    }

    pub(super) fn valid(&self) -> u64 {
        self.valid.load(Ordering::Acquire)
    }

    pub(super) fn set_valid(&self, valid: u64) {
        self.valid.store(valid, Ordering::Release);
    }

    pub(super) fn corrupt(&self, offset: u64, reason: &'static str) -> StorageError {
        StorageError::Corrupt { file: self.path.clone(), offset, reason }
    }

    /// Up to `buffer.len()` bytes from `offset`.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        self.file.read_at(buffer, offset).map_err(doing("reading", &self.path))
    }
}

/// The name of the segment with this id.
pub(super) fn file_name(id: u64) -> String {
    format!("{id:020}.log")
}

/// The id of the segment with this name, or `None` if it is another file.
pub(super) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let id = digits.parse().ok()?;
    (file_name(id) == name).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SAMPLE: SegmentHeader =
        SegmentHeader { store: [7; 16], id: 3, position: 5, seq: 4, previous_len: 99 };

    #[test]
    fn a_header_comes_back_and_names_do_too() {
        let bytes = SAMPLE.encode();
        assert_eq!(bytes.len(), HEADER);
        assert!(matches!(SegmentHeader::decode(&bytes), ReadHeader::Valid(read) if read == SAMPLE));
        assert_eq!(id_of(&file_name(42)), Some(42));
        assert_eq!(id_of("42.log"), None);
        assert_eq!(id_of("00000000000000000042.bak"), None);
    }

    proptest! {
        #[test]
        fn any_flip_is_noticed(at in 0..HEADER, bit in 0_u8..8) {
            let mut bytes = SAMPLE.encode();
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(SegmentHeader::decode(&bytes), ReadHeader::Valid(_)));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..80)) {
            prop_assert!(!matches!(SegmentHeader::decode(&bytes), ReadHeader::Valid(_)));
        }
    }
}
