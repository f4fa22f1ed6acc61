//! Reading a segment in chunks.

use std::sync::Arc;

use super::{disk::DiskFile, failure::doing, segment::Segment};
use crate::storage::StorageError;

const FIRST_CHUNK: usize = 32 * 1024;
const CHUNK: usize = 256 * 1024;

/// An open segment, and the part of it that was read last. Chunks grow while reading goes on.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    filled: usize,
    /// Where in the file the buffer begins.
    base: u64,
    chunk: usize,
}

impl Window {
    pub(super) fn new(segment: Arc<Segment>, file: Arc<dyn DiskFile>) -> Self {
        Self { segment, file, buffer: Vec::new(), filled: 0, base: 0, chunk: FIRST_CHUNK }
    }

    /// Goes over to another segment.
    pub(super) fn turn(&mut self, segment: Arc<Segment>, file: Arc<dyn DiskFile>) {
        self.segment = segment;
        self.file = file;
        self.filled = 0;
    }

    /// The `count` bytes from `offset`; fewer where `limit` or the end of the file comes first.
    pub(super) fn get(
        &mut self,
        offset: u64,
        count: usize,
        limit: u64,
    ) -> Result<&[u8], StorageError> {
        let left = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = count.min(left);
        if self.held(offset).is_none_or(|held| held.len() < count) {
            self.fill(offset, count, left)?;
        }
        let held = self.held(offset).unwrap_or_default();
        Ok(held.get(..count).unwrap_or(held))
    }

    /// All bytes that are held from `offset` on, at most up to `limit`. Reads only if there are none.
    pub(super) fn some(&mut self, offset: u64, limit: u64) -> Result<&[u8], StorageError> {
        let least = usize::from(offset < limit);
        self.get(offset, least, limit)?;
        let left = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        let held = self.held(offset).unwrap_or_default();
        Ok(held.get(..left).unwrap_or(held))
    }

    fn held(&self, offset: u64) -> Option<&[u8]> {
        let start = usize::try_from(offset.checked_sub(self.base)?).ok()?;
        self.buffer.get(start..self.filled)
    }

    fn fill(&mut self, offset: u64, count: usize, left: usize) -> Result<(), StorageError> {
        let wanted = count.max(self.chunk).min(left);
        self.chunk = (self.chunk * 4).min(CHUNK);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        } else if self.buffer.len() > CHUNK && wanted <= CHUNK {
            self.buffer.truncate(CHUNK); // what one large batch needed
            self.buffer.shrink_to_fit();
        }
        self.filled = 0;
        self.base = offset;
        let buffer = self.buffer.get_mut(..wanted).unwrap_or_default();
        let count = self.file.read_at(buffer, offset);
        self.filled = count.map_err(doing("reading", &self.segment.path))?;
        Ok(())
    }
}
