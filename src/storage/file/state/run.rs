//! A part of the state in one file: sorted, written once, never changed.
//!
//! A run is a header, blocks of entries, an index of the blocks with their CRCs, and a footer whose
//! CRC covers the index. The manifest knows that CRC, and so vouches for every byte.

use std::{path::PathBuf, sync::Arc};

use super::{
    super::{
        bytes::{Reader, Writer},
        checksum::Seed,
        disk::{Disk, DiskFile},
        failure::doing,
        manifest::RunEntry,
        segment::{StoreId, VERSION},
    },
    Entry,
};
use crate::storage::StorageError;

const MAGIC: [u8; 8] = *b"tidstate";

/// `magic | version | features | store | id`.
pub(super) const HEADER: usize = 40;

/// `offset of the index | its length | blocks | CRC over index and footer`.
const FOOTER: usize = 24;

/// Where a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first: Vec<u8>,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) crc: u32,
}

/// An open run.
#[derive(Debug)]
pub(in crate::storage::file) struct Run {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    seed: Seed,
    pub(in crate::storage::file) entry: RunEntry,
    blocks: Vec<Block>,
}

pub(super) fn seed(store: &StoreId, id: u64) -> Seed {
    Seed::of(store).and(id)
}

pub(super) fn header(store: &StoreId, id: u64) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes(&MAGIC);
    out.u32(VERSION);
    out.u32(0); // no features that a reader must know
    out.bytes(store);
    out.u64(id);
    out.0
}

/// The index and the footer.
pub(super) fn tail(header: &[u8], blocks: &[Block], offset: u64, seed: Seed) -> (Vec<u8>, u32) {
    let mut out = Writer::default();
    for block in blocks {
        out.prefixed(&block.first);
        out.u32(block.len);
        out.u32(block.crc);
    }
    let length = out.0.len();
    out.u64(offset);
    out.u64(length as u64);
    out.u32(u32::try_from(blocks.len()).unwrap_or(u32::MAX));
    let crc = seed.checksum(&[header, &out.0].concat());
    out.u32(crc);
    (out.0, crc)
}

impl Run {
    /// Opens a run that a manifest names.
    pub(in crate::storage::file) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        store: &StoreId,
        entry: RunEntry,
    ) -> Result<Self, StorageError> {
        let corrupt = |reason| StorageError::Corrupt { file: path.clone(), offset: 0, reason };
        let file = match disk.open_read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(corrupt("a file of the state is missing"));
            }
            Err(error) => return Err(doing("opening", &path)(error)),
        };
        let read = |count: usize, offset| {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(count).map_err(|_| corrupt("its index is too large"))?;
            bytes.resize(count, 0);
            let got = file.read_at(&mut bytes, offset).map_err(doing("reading", &path))?;
            bytes.truncate(got);
            Ok(bytes)
        };
        if file.size().map_err(doing("reading", &path))? != entry.len {
            return Err(corrupt("a file of the state has another length than it was given"));
        }
        let header = read(HEADER, 0)?;
        if let Some(found) = other_version(&header) {
            return Err(StorageError::Format { file: path.clone(), found, supported: VERSION });
        }
        let Some(footer) = entry.len.checked_sub(FOOTER as u64) else {
            return Err(corrupt("a file of the state is too short"));
        };
        let seed = seed(store, entry.id);
        let footer = read(FOOTER, footer)?;
        let index = index_start(&footer, entry.len);
        let index = index.ok_or_else(|| corrupt("a state file's footer is damaged"))?;
        let tail = read(usize::try_from(entry.len - index).unwrap_or(usize::MAX), index)?;
        let blocks = decode_tail(&header, &tail, entry, seed);
        let blocks = blocks.ok_or_else(|| corrupt("a state file's index is damaged"))?;
        Ok(Self { path, file, seed, entry, blocks })
    }

    /// The number of the block that holds a key, if any does.
    pub(super) fn block_of(&self, key: &[u8]) -> Option<usize> {
        self.blocks.partition_point(|block| &*block.first <= key).checked_sub(1)
    }

    /// The entries of a block, verified; `None` after the last one.
    pub(super) fn block(&self, number: usize) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(block) = self.blocks.get(number) else { return Ok(None) };
        let mut bytes = vec![0; block.len as usize];
        let count = self.file.read_at(&mut bytes, block.offset);
        let count = count.map_err(doing("reading", &self.path))?;
        if count < bytes.len() || self.seed.checksum(&bytes) != block.crc {
            return Err(self.corrupt(block.offset));
        }
        Ok(Some(bytes))
    }

    pub(super) fn corrupt(&self, offset: u64) -> StorageError {
        let reason = "a block of the state is damaged";
        StorageError::Corrupt { file: self.path.clone(), offset, reason }
    }

    pub(super) fn offset(&self, number: usize) -> u64 {
        self.blocks.get(number).map_or(0, |block| block.offset)
    }
}

fn other_version(header: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(header);
    let magic: [u8; 8] = reader.array()?;
    reader.u32().filter(|found| magic == MAGIC && *found != VERSION)
}

/// Where the index begins, if what the footer says of it fits. Nothing vouches for that before the
/// index has been read, and the file may be far larger than what can be.
fn index_start(footer: &[u8], len: u64) -> Option<u64> {
    let mut reader = Reader::new(footer);
    let (start, length) = (reader.u64()?, reader.u64()?);
    let end = start.checked_add(length)?.checked_add(FOOTER as u64)?;
    (end == len).then_some(start)
}

fn decode_tail(header: &[u8], tail: &[u8], entry: RunEntry, seed: Seed) -> Option<Vec<Block>> {
    let (covered, crc) = tail.split_last_chunk()?;
    let crc = u32::from_le_bytes(*crc);
    if crc != entry.crc || crc != seed.checksum(&[header, covered].concat()) {
        return None;
    }
    let (index, footer) = covered.split_at_checked(tail.len().checked_sub(FOOTER)?)?;
    let mut footer = Reader::new(footer);
    let (end, length, count) = (footer.u64()?, footer.u64()?, footer.u32()?);
    if length != index.len() as u64 {
        return None;
    }
    let mut reader = Reader::new(index);
    let mut blocks = Vec::new();
    let mut offset = HEADER as u64;
    for _ in 0..count {
        let first = reader.prefixed()?.to_vec();
        let block = Block { first, offset, len: reader.u32()?, crc: reader.u32()? };
        offset = offset.checked_add(u64::from(block.len))?;
        blocks.push(block);
    }
    (reader.is_empty() && offset == end).then_some(blocks)
}

pub(super) fn write_entry(out: &mut Writer, key: &[u8], value: Option<&[u8]>) {
    out.prefixed(key);
    match value {
        None => out.varint(0),
        Some(value) => {
            out.varint(value.len() as u64 + 1);
            out.bytes(value);
        }
    }
}

/// The entry at the start of these bytes, borrowed.
pub(super) fn read_entry<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let key = reader.prefixed()?;
    let value = match reader.size()? {
        0 => None,
        more => Some(reader.bytes(more - 1)?),
    };
    Some((key, value))
}

/// Goes through the entries of a run in order.
#[derive(Debug)]
pub(super) struct RunCursor {
    run: Arc<Run>,
    /// The number of the block that comes next.
    next: usize,
    bytes: Vec<u8>,
    at: usize,
}

impl RunCursor {
    /// Begins at the block that may hold `key`, so with entries before it as well.
    pub(super) fn new(run: Arc<Run>, key: &[u8]) -> Self {
        let next = run.block_of(key).unwrap_or(0);
        Self { run, next, bytes: Vec::new(), at: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, StorageError> {
        while self.at >= self.bytes.len() {
            let Some(bytes) = self.run.block(self.next)? else { return Ok(None) };
            self.bytes = bytes;
            self.at = 0;
            self.next += 1;
        }
        let mut reader = Reader::new(self.bytes.get(self.at..).unwrap_or_default());
        let Some((key, value)) = read_entry(&mut reader) else {
            return Err(self.run.corrupt(self.run.offset(self.next - 1)));
        };
        let entry = (key.to_vec(), value.map(<[u8]>::to_vec));
        self.at = self.bytes.len() - reader.rest().len();
        Ok(Some(entry))
    }
}
