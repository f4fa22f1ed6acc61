//! Writing a run, block by block.

use std::{path::PathBuf, sync::Arc};

use super::{
    super::{
        bytes::Writer, checksum::Seed, directory::Directory, disk::DiskFile, failure::full,
        manifest::RunEntry, segment::StoreId,
    },
    run::{self, Block},
};
use crate::storage::StorageError;

/// How large a block grows, in bytes. One entry may make it larger.
const BLOCK: usize = 8 * 1024;

/// How much is written at once.
const CHUNK: usize = 256 * 1024;

/// A run that is being written.
#[derive(Debug)]
pub(super) struct RunWriter {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    id: u64,
    seed: Seed,
    header: Vec<u8>,
    blocks: Vec<Block>,
    /// The key of the first entry of the block that is being filled.
    first: Vec<u8>,
    block: Writer,
    /// Whole blocks that are not in the file yet.
    pending: Vec<u8>,
    /// Where in the file `pending` goes.
    offset: u64,
}

impl RunWriter {
    /// Begins a file. One that is there under the name is what an earlier attempt left.
    pub(super) fn create(dir: &Directory, store: &StoreId, id: u64) -> Result<Self, StorageError> {
        let path = dir.run(id);
        dir.remove(&path)?;
        let file = dir.disk.open(&path, true).map_err(full("creating", &path, 0))?;
        let header = run::header(store, id);
        Ok(Self {
            path,
            file,
            id,
            seed: run::seed(store, id),
            pending: header.clone(),
            header,
            blocks: Vec::new(),
            first: Vec::new(),
            block: Writer::default(),
            offset: 0,
        })
    }

    /// Adds an entry. Keys rise.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StorageError> {
        if self.block.0.is_empty() {
            self.first = key.to_vec();
        }
        run::write_entry(&mut self.block, key, value);
        if self.block.0.len() >= BLOCK {
            self.end_block();
        }
        if self.pending.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn end_block(&mut self) {
        if self.block.0.is_empty() {
            return;
        }
        let block = std::mem::take(&mut self.block).0;
        self.blocks.push(Block {
            first: std::mem::take(&mut self.first),
            offset: self.offset + self.pending.len() as u64,
            len: u32::try_from(block.len()).unwrap_or(u32::MAX), // an entry fits into a commit
            crc: self.seed.checksum(&block),
        });
        self.pending.extend(block);
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        let written = self.file.write_all_at(&self.pending, self.offset);
        written.map_err(full("writing", &self.path, self.pending.len() as u64))?;
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Completes the file, and makes its bytes durable. Its name is not durable yet.
    pub(super) fn finish(mut self, sync: bool) -> Result<RunEntry, StorageError> {
        self.end_block();
        let index = self.offset + self.pending.len() as u64;
        let (tail, crc) = run::tail(&self.header, &self.blocks, index, self.seed);
        self.pending.extend(tail);
        self.flush()?;
        if sync {
            self.file.sync_data().map_err(full("syncing", &self.path, self.offset))?;
        }
        Ok(RunEntry { id: self.id, len: self.offset, crc })
    }
}
