//! One simulated file: what was written, what of it is durable, and handles to it.

use std::io;

use super::{MemoryDisk, State};
use crate::{runtime::Random, storage::file::DiskFile};

/// A file without its name.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    /// What a read sees.
    cache: Vec<u8>,
    /// What a power loss cannot take.
    durable: Vec<u8>,
    /// The writes since the last sync.
    unsynced: Vec<Write>,
}

#[derive(Debug, Clone)]
struct Write {
    offset: usize,
    bytes: Vec<u8>,
}

impl Write {
    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

impl Inode {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { cache: bytes.clone(), durable: bytes, unsynced: Vec::new() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.cache
    }

    pub(super) fn rot(&mut self, offset: usize, mask: u8) {
        let places = [&mut self.cache, &mut self.durable];
        for byte in places.into_iter().filter_map(|bytes| bytes.get_mut(offset)) {
            *byte ^= mask;
        }
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        put(&mut self.cache, bytes, offset);
        let bytes = bytes.to_vec();
        self.unsynced.push(Write { offset, bytes });
    }

    fn sync(&mut self) {
        for write in self.unsynced.drain(..) {
            put(&mut self.durable, &write.bytes, write.offset);
        }
    }

    /// Makes durable whatever part of the unsynced writes chance decides, and forgets the rest.
    fn sync_some(&mut self, random: &mut Random) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let start = self.durable.len();
        let grown = unsynced.iter().map(Write::end).max().unwrap_or(0).max(start);
        let length = start + part(grown - start, random);
        let favour = random.below(3);
        for write in unsynced {
            let bytes = match (favour, random.below(4)) {
                (0, _) | (1, 0) => 0..write.bytes.len(),
                (1, 1) => 0..part(write.bytes.len(), random),
                (1, 2) => part(write.bytes.len(), random)..write.bytes.len(),
                _ => 0..0,
            };
            let offset = write.offset + bytes.start;
            put(&mut self.durable, &write.bytes[bytes], offset);
        }
        self.durable.resize(length, 0);
    }

    pub(super) fn lose_power(&mut self, random: &mut Random) {
        self.sync_some(random);
        self.cache.clone_from(&self.durable);
    }
}

/// Nothing, everything or something in between.
fn part(whole: usize, random: &mut Random) -> usize {
    match random.below(3) {
        0 => 0,
        1 => whole,
        _ => index(random.below(whole as u64 + 1)),
    }
}

fn put(file: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// Simulated files fit in memory.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[derive(Debug)]
pub(super) struct Handle {
    disk: MemoryDisk,
    inode: u64,
    life: u64,
}

impl Handle {
    pub(super) fn new(disk: MemoryDisk, inode: u64, life: u64) -> Self {
        Self { disk, inode, life }
    }

    /// Counts a call and does it. `failing` is what a call does that is to fail.
    fn call<T>(
        &self,
        work: impl FnOnce(&mut Inode) -> T,
        failing: impl FnOnce(&mut Inode, &mut Random),
    ) -> io::Result<T> {
        let state: &mut State = &mut self.disk.0.lock();
        let outcome = state.call();
        let mut random = Random::new(state.io_count);
        if self.life != state.life {
            return Err(io::Error::other("opened before the simulated crash"));
        }
        let Some(inode) = state.inodes.get_mut(&self.inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        match outcome {
            Ok(()) => Ok(work(inode)),
            Err(error) => {
                failing(inode, &mut random);
                Err(error)
            }
        }
    }
}

impl DiskFile for Handle {
    fn size(&self) -> io::Result<u64> {
        self.call(|inode| inode.cache.len() as u64, |_, _| ())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = |inode: &mut Inode| {
            let bytes = inode.cache.get(index(offset)..).unwrap_or_default();
            let count = bytes.len().min(buffer.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            count
        };
        self.call(read, |_, _| ())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = index(offset);
        self.call(
            |inode| inode.write(bytes, offset),
            |inode, random| inode.write(&bytes[..part(bytes.len(), random)], offset),
        )
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(Inode::sync, Inode::sync_some)
    }
}
