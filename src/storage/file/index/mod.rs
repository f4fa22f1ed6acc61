//! What is where in a sealed segment: a small file beside it, made from it and never trusted over it.
//!
//! An index divides the segment into blocks of batches, and says of each which event names, times and
//! keys it may have, so that a filtered read goes over the others. Without it a read looks at
//! everything; upkeep makes it, and makes it again where it is missing or damaged.

mod format;
mod keys;

use std::{collections::BTreeMap, sync::Arc};

use keys::{KeyFilter, hash};
use parking_lot::Mutex;

use super::{
    body::{RecordReader, Slot},
    bytes::Reader,
    checksum::Seed,
    directory::Directory,
    failure::full,
    manifest::Manifest,
    scan::{Found, Scan},
    segment::{Mark, Segment},
    window::Window,
};
use crate::{
    runtime::Timestamp,
    storage::{Filter, StorageError},
};

/// How many bytes of the segment a block covers, at least.
const BLOCK: u64 = 64 * 1024;

/// How many indexes are kept in memory.
const KEPT: usize = 4;

/// The most bytes that an index may have. One that is larger than its segment is no help.
fn most(segment: &Segment) -> u64 {
    segment.valid().max(BLOCK)
}

/// What is where in a sealed segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Index {
    names: Vec<String>,
    blocks: Vec<Block>,
    /// Where the segment's batches end, and the position after its last record.
    end: Mark,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    start: Mark,
    /// Times of its records, in nanoseconds; `oldest` is after `newest` where there is none.
    oldest: u64,
    newest: u64,
    /// A bit for each of the names.
    names: Vec<u8>,
    keys: KeyFilter,
}

impl Index {
    /// Reads a whole sealed segment.
    fn build(store: Seed, segment: &Arc<Segment>) -> Result<Option<Self>, StorageError> {
        let Some(file) = segment.file()? else { return Ok(None) };
        let window = Window::new(Arc::clone(segment), file);
        let mut scan = Scan::new(window, store, segment.valid());
        let mut building = Building::default();
        let mut records = RecordReader::default();
        loop {
            match scan.next()? {
                Found::End => break,
                Found::Invalid(reason) => return Err(segment.corrupt(scan.offset, reason)),
                Found::Batch { header, offset, records: bytes, .. } => {
                    let start = Mark { position: header.position, seq: header.seq, offset };
                    building.batch(start);
                    let mut reader = Reader::new(bytes);
                    let read = building.records(&mut records, &mut reader, header.records);
                    read.ok_or_else(|| segment.corrupt(offset, "a record is invalid"))?;
                }
            }
        }
        let end = Mark { position: scan.position, seq: scan.seq, offset: scan.offset };
        Ok(Some(building.finish(end)))
    }

    /// From a batch on, the first place where something may match, and where to ask again. `None`:
    /// nothing does, to the segment's end.
    pub(super) fn next_match(&self, offset: u64, filter: &Filter) -> Option<(Mark, u64)> {
        let wanted = Wanted::new(self, filter)?;
        let first = self.blocks.partition_point(|block| block.start.offset <= offset);
        let rest = self.blocks.get(first.saturating_sub(1)..)?;
        let at = rest.iter().position(|block| wanted.may_be_in(block))?;
        let again = rest.get(at + 1).map_or(self.end.offset, |next| next.start.offset);
        Some((rest.get(at)?.start, again))
    }

    /// The last block that begins at or before a position.
    pub(super) fn mark_at(&self, position: u64) -> Option<Mark> {
        let after = self.blocks.partition_point(|block| block.start.position <= position);
        Some(self.blocks.get(after.checked_sub(1)?)?.start)
    }

    /// The segment's end.
    pub(super) fn end(&self) -> Mark {
        self.end
    }

    /// The newest time of any record, in nanoseconds since 1970; 0 without records.
    pub(super) fn newest(&self) -> u64 {
        self.blocks.iter().map(|block| block.newest).max().unwrap_or(0)
    }
}

/// A filter in terms of one index.
struct Wanted {
    /// A bit for each name, all if any will do.
    names: Option<Vec<u8>>,
    key: Option<u64>,
    since: u64,
    until: u64,
}

impl Wanted {
    /// `None` where the segment has none of the names.
    fn new(index: &Index, filter: &Filter) -> Option<Self> {
        let names = (!filter.names.is_empty()).then(|| {
            let mut bits = vec![0; index.names.len().div_ceil(8)];
            for (at, name) in index.names.iter().enumerate() {
                if filter.names.iter().any(|wanted| **wanted == **name) {
                    set(&mut bits, at);
                }
            }
            bits
        });
        if names.as_ref().is_some_and(|bits| bits.iter().all(|byte| *byte == 0)) {
            return None;
        }
        Some(Self {
            names,
            key: filter.key.as_ref().map(|key| hash(key.as_str())),
            since: filter.since.map_or(0, Timestamp::as_nanos),
            until: filter.until.map_or(u64::MAX, Timestamp::as_nanos),
        })
    }

    fn may_be_in(&self, block: &Block) -> bool {
        let named = self.names.as_ref().is_none_or(|names| {
            names.iter().zip(&block.names).any(|(wanted, there)| wanted & there != 0)
        });
        named
            && block.oldest <= block.newest
            && block.newest >= self.since
            && block.oldest < self.until
            && self.key.is_none_or(|key| block.keys.may_have(key))
    }
}

fn set(bits: &mut Vec<u8>, at: usize) {
    if bits.len() <= at / 8 {
        bits.resize(at / 8 + 1, 0);
    }
    if let Some(byte) = bits.get_mut(at / 8) {
        *byte |= 1 << (at % 8);
    }
}

/// An index in the making.
#[derive(Default)]
struct Building {
    names: Vec<String>,
    /// Where in `names` each of them is. There may be very many.
    known: BTreeMap<String, usize>,
    blocks: Vec<Block>,
    /// Of the block that is being filled.
    keys: Vec<u64>,
}

impl Building {
    fn batch(&mut self, start: Mark) {
        if self.blocks.last().is_some_and(|block| start.offset < block.start.offset + BLOCK) {
            return;
        }
        self.end_block();
        let (names, keys) = (Vec::new(), KeyFilter::default());
        self.blocks.push(Block { start, oldest: u64::MAX, newest: 0, names, keys });
    }

    fn end_block(&mut self) {
        let keys = KeyFilter::of(&mut self.keys);
        if let Some(block) = self.blocks.last_mut() {
            block.keys = keys;
        }
        self.keys.clear();
    }

    fn records(
        &mut self,
        records: &mut RecordReader,
        reader: &mut Reader<'_>,
        count: u32,
    ) -> Option<()> {
        if count == 0 {
            return Some(());
        }
        records.begin(reader)?;
        let block = self.blocks.last_mut()?;
        let mut left = u64::from(count);
        while left > 0 {
            let raw = match records.next(reader)? {
                Slot::Kept(raw) => raw,
                Slot::Dropped(dropped) => {
                    left = left.checked_sub(dropped)?;
                    continue;
                }
            };
            left -= 1;
            let known = self.known.get(raw.name()).copied();
            let at = known.unwrap_or(self.names.len());
            if known.is_none() {
                self.names.push(raw.name().to_owned());
                self.known.insert(raw.name().to_owned(), at);
            }
            set(&mut block.names, at);
            block.oldest = block.oldest.min(raw.time);
            block.newest = block.newest.max(raw.time);
            self.keys.extend(raw.key.map(hash));
        }
        Some(())
    }

    fn finish(mut self, end: Mark) -> Index {
        self.end_block();
        Index { names: self.names, blocks: self.blocks, end }
    }
}

/// An index with id and epoch of its segment: one that was written anew has another epoch.
type Kept = ((u64, u64), Arc<Index>);

/// The indexes of a store. Those used last are kept in memory.
#[derive(Debug)]
pub(super) struct Indexes {
    dir: Directory,
    seed: Seed,
    kept: Mutex<Vec<Kept>>,
    /// Segments whose index turned out to be damaged.
    damaged: Mutex<Vec<u64>>,
}

impl Indexes {
    pub(super) fn new(dir: &Directory, manifest: &Manifest) -> Self {
        let (kept, damaged) = (Mutex::default(), Mutex::default());
        Self { dir: dir.clone(), seed: manifest.seed(), kept, damaged }
    }

    /// The index of a sealed segment, if there is a valid one.
    pub(super) fn get(&self, segment: &Segment) -> Option<Arc<Index>> {
        let (id, epoch) = (segment.header.id, segment.header.epoch);
        if let Some((_, index)) = self.kept.lock().iter().find(|(kept, _)| *kept == (id, epoch)) {
            return Some(Arc::clone(index));
        }
        let bytes = self.read(segment)?;
        let Some(index) = format::decode(&bytes, &segment.header, segment.valid(), self.seed)
        else {
            tracing::warn!(segment = id, "an index is damaged, and will be made again");
            let mut damaged = self.damaged.lock();
            if !damaged.contains(&id) {
                damaged.push(id);
            }
            return None;
        };
        let index = Arc::new(index);
        self.keep((id, epoch), &index);
        Some(index)
    }

    fn keep(&self, id: (u64, u64), index: &Arc<Index>) {
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((id, Arc::clone(index)));
    }

    /// The bytes of an index, or so many that it cannot be one.
    fn read(&self, segment: &Segment) -> Option<Vec<u8>> {
        let file = self.dir.disk.open_read(&self.dir.index(segment.header.id)).ok()?;
        let mut bytes = Vec::new();
        let size = usize::try_from(file.size().ok()?.min(most(segment) + 1)).ok()?;
        bytes.try_reserve_exact(size).ok()?;
        bytes.resize(size, 0);
        let count = file.read_at(&mut bytes, 0).ok()?;
        bytes.truncate(count);
        Some(bytes)
    }

    /// Forgets the index of a segment that was written anew.
    pub(super) fn forget(&self, id: u64) {
        self.kept.lock().retain(|((kept, _), _)| *kept != id);
    }

    /// A segment whose index was found to be damaged since the last time.
    pub(super) fn take_damaged(&self) -> Option<u64> {
        self.damaged.lock().pop()
    }

    /// Makes the index of a sealed segment, unless it is there.
    pub(super) fn make(&self, segment: &Arc<Segment>, anew: bool) -> Result<(), StorageError> {
        let path = self.dir.index(segment.header.id);
        if !anew && self.dir.exists(&path)? {
            return Ok(());
        }
        let Some(index) = Index::build(self.seed, segment)? else { return Ok(()) };
        let bytes = format::encode(&index, &segment.header, segment.valid(), self.seed);
        // Unsynced, and not moved into place: what does not become whole is made again.
        self.dir.remove(&path)?;
        if bytes.len() as u64 > most(segment) {
            return Ok(());
        }
        let file = self.dir.disk.open(&path, true).map_err(full("creating", &path, 0))?;
        file.write_all_at(&bytes, 0).map_err(full("writing", &path, bytes.len() as u64))?;
        segment.forget_marks();
        Ok(())
    }
}

/// The name of the index of the segment with this id.
pub(super) fn file_name(id: u64) -> String {
    format!("{id:020}.idx")
}

/// The id of the segment whose index has this name, or `None` if it is another file.
pub(super) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".idx")?;
    let id = digits.parse().ok()?;
    (file_name(id) == name).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::file::{
        disk::{Disk, MemoryDisk},
        planted::Planted,
        segment::SegmentHeader,
    };

    #[test]
    fn the_index_of_a_segment_is_not_that_of_the_one_written_anew() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let dir = Directory::new(Arc::clone(&disk), "/store".as_ref(), Planted::default());
        let indexes = Indexes::new(&dir, &Manifest::new([1; 16], 1));
        let segment = |epoch| {
            let header = SegmentHeader { epoch, ..SegmentHeader::SAMPLE };
            Segment::new(&disk, dir.segment(3), header, None, 1000)
        };
        let end = Mark { position: 1, seq: 1, offset: 1000 };
        let index = Index { names: Vec::new(), blocks: Vec::new(), end };
        indexes.keep((3, 5), &Arc::new(index));
        assert!(indexes.get(&segment(5)).is_some());
        assert!(indexes.get(&segment(6)).is_none());
    }
}
