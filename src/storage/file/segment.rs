//! One file of the log: its name, its header, and how it is opened.

use std::{
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    bytes::{Reader, Writer},
    checksum::Seed,
    disk::{Disk, DiskFile},
    failure::doing,
    frame::BatchHeader,
};
use crate::storage::StorageError;

/// The version of the format that this build writes and reads.
pub(super) const VERSION: u32 = 1;

/// `magic | version | features | store | id | epoch | timeline | position | seq | previous length |
/// previous CRC | size | CRC`.
pub(super) const HEADER: usize = 96;

const MAGIC: [u8; 8] = *b"tidings\n";

/// How far apart the marks of the index are, in bytes.
const MARK_EVERY: u64 = 16 * 1024;

/// Tells one store from all others.
pub(super) type StoreId = [u8; 16];

/// The start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) store: StoreId,
    pub(super) id: u64,
    /// How often the store had been opened when the segment was made.
    pub(super) epoch: u64,
    /// Which of the store's histories it belongs to; a restored copy begins another.
    pub(super) timeline: u64,
    /// The position of the first record.
    pub(super) position: u64,
    /// The seq of the first batch.
    pub(super) seq: u64,
    /// How many bytes of the segment before are valid, and the CRC of its last batch's header.
    pub(super) previous_len: u64,
    pub(super) previous_crc: u32,
    /// The file is at least so long, all zeros at first. Files of the log never get shorter.
    pub(super) size: u64,
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
    /// What the CRCs of batch headers in this segment start from.
    pub(super) fn seed(&self) -> Seed {
        Seed::of(&self.store).and(self.timeline).and(self.epoch).and(self.id)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(&MAGIC);
        out.u32(VERSION);
        out.u32(0); // no features that a reader must know
        out.bytes(&self.store);
        for number in [self.id, self.epoch, self.timeline, self.position, self.seq] {
            out.u64(number);
        }
        out.u64(self.previous_len);
        out.u32(self.previous_crc);
        out.u64(self.size);
        out.u32(Seed::NONE.checksum(&out.0));
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
    if u32::from_le_bytes(*crc) != Seed::NONE.checksum(covered) {
        return None;
    }
    let mut reader = Reader::new(covered.get(12..)?);
    if reader.u32()? != 0 {
        return None;
    }
    Some(SegmentHeader {
        store: reader.array()?,
        id: reader.u64()?,
        epoch: reader.u64()?,
        timeline: reader.u64()?,
        position: reader.u64()?,
        seq: reader.u64()?,
        previous_len: reader.u64()?,
        previous_crc: reader.u32()?,
        size: reader.u64()?,
    })
}

#[cfg(test)]
impl SegmentHeader {
    /// Any header, for tests.
    pub(super) const SAMPLE: Self = Self {
        store: [7; 16],
        id: 3,
        epoch: 2,
        timeline: 8,
        position: 5,
        seq: 4,
        previous_len: 99,
        previous_crc: 77,
        size: 4096,
    };
}

/// A segment with a header. The file is open only while somebody reads or writes it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    pub(super) seed: Seed,
    /// How often it was written anew.
    pub(super) rewritten: u64,
    disk: Arc<dyn Disk>,
    file: Mutex<Handle>,
    /// Up to here there are whole batches that may be read. Grows as commits succeed.
    valid: AtomicU64,
    /// A sparse index, in order. Empty where nothing has been noted yet.
    marks: Mutex<Vec<Mark>>,
}

/// Where the batch with this seq begins, and with which position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: u64,
    pub(super) seq: u64,
    pub(super) offset: u64,
}

#[derive(Debug)]
enum Handle {
    /// Open, as long as anybody has it.
    Shared(Weak<dyn DiskFile>),
    Closed,
    /// The log no longer keeps it.
    Dropped,
}

impl Segment {
    pub(super) fn new(
        disk: &Arc<dyn Disk>,
        path: PathBuf,
        header: SegmentHeader,
        file: Option<&Arc<dyn DiskFile>>,
        valid: u64,
    ) -> Self {
        let handle = file.map_or(Handle::Closed, |file| Handle::Shared(Arc::downgrade(file)));
        Self {
            path,
            header,
            seed: header.seed(),
            rewritten: 0,
            disk: Arc::clone(disk),
            file: Mutex::new(handle),
            valid: AtomicU64::new(valid),
            marks: Mutex::default(),
        }
    }

    /// The same, of a segment that was written anew so many times.
    pub(super) fn rewritten(self, times: u64) -> Self {
        Self { rewritten: times, ..self }
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

    /// The open file, or `None` where the log no longer keeps it.
    pub(super) fn file(&self) -> Result<Option<Arc<dyn DiskFile>>, StorageError> {
        let mut handle = self.file.lock();
        // In one step: whoever else has the file may let go of it at any moment.
        match &*handle {
            Handle::Dropped => return Ok(None),
            Handle::Shared(file) => {
                if let Some(file) = file.upgrade() {
                    return Ok(Some(file));
                }
            }
            Handle::Closed => {}
        }
        let file = self.disk.open_read(&self.path).map_err(doing("opening", &self.path))?;
        *handle = Handle::Shared(Arc::downgrade(&file));
        Ok(Some(file))
    }

    /// Takes note of a batch, in order.
    pub(super) fn note(&self, offset: u64, header: &BatchHeader) {
        let mut marks = self.marks.lock();
        if marks.last().is_none_or(|mark| offset >= mark.offset + MARK_EVERY) {
            marks.push(Mark { position: header.position, seq: header.seq, offset });
        }
    }

    /// Whether nothing has been noted, or it was forgotten.
    pub(super) fn has_no_marks(&self) -> bool {
        self.marks.lock().is_empty()
    }

    /// Frees what was noted; an index has it as well.
    pub(super) fn forget_marks(&self) {
        *self.marks.lock() = Vec::new();
    }

    /// The last mark at or before a position; the segment's first batch if there is none.
    pub(super) fn mark_at(&self, position: u64) -> Mark {
        self.last_mark(|mark| mark.position <= position)
    }

    /// The last mark at or before a seq.
    pub(super) fn mark_at_seq(&self, seq: u64) -> Mark {
        self.last_mark(|mark| mark.seq <= seq)
    }

    fn last_mark(&self, early: impl Fn(&Mark) -> bool) -> Mark {
        let marks = self.marks.lock();
        let after = marks.partition_point(early);
        let SegmentHeader { position, seq, .. } = self.header;
        let start = Mark { position, seq, offset: HEADER as u64 };
        after.checked_sub(1).and_then(|at| marks.get(at)).copied().unwrap_or(start)
    }

    /// Nobody opens the file from here on. True: nobody has it open either.
    pub(super) fn retire(&self) -> bool {
        let handle = std::mem::replace(&mut *self.file.lock(), Handle::Dropped);
        !matches!(handle, Handle::Shared(file) if file.strong_count() > 0)
    }
}

/// The name of the segment with this id.
pub(super) fn file_name(id: u64) -> String {
    format!("{id:020}.log")
}

/// The name of the segment with this id that was written anew so many times.
pub(super) fn rewritten_name(id: u64, times: u64) -> String {
    match times {
        0 => file_name(id),
        _ => format!("{id:020}-{times}.log"),
    }
}

/// Id and number of the segment with this name that was written anew, or `None` if it is another file.
pub(super) fn rewritten_of(name: &str) -> Option<(u64, u64)> {
    let (id, times) = name.strip_suffix(".log")?.split_once('-')?;
    let (id, times) = (id.parse().ok()?, times.parse().ok()?);
    (name == rewritten_name(id, times)).then_some((id, times))
}

/// The id of the segment with this name, or `None` if it is another file.
pub(super) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let id = digits.parse().ok()?;
    (file_name(id) == name).then_some(id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests, though clippy does not see that
mod tests {
    use std::path::Path;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::storage::file::MemoryDisk;

    const SAMPLE: SegmentHeader = SegmentHeader::SAMPLE;

    #[test]
    fn a_header_comes_back_and_names_do_too() {
        let bytes = SAMPLE.encode();
        assert_eq!(bytes.len(), HEADER);
        assert!(matches!(SegmentHeader::decode(&bytes), ReadHeader::Valid(read) if read == SAMPLE));
        assert_eq!(id_of(&file_name(42)), Some(42));
        assert_eq!(id_of("42.log"), None);
        assert_eq!(id_of("00000000000000000042.bak"), None);
    }

    #[test]
    fn the_seed_is_of_the_segment_alone() {
        for other in [
            SegmentHeader { store: [8; 16], ..SAMPLE },
            SegmentHeader { id: 4, ..SAMPLE },
            SegmentHeader { epoch: 3, ..SAMPLE },
            SegmentHeader { timeline: 9, ..SAMPLE },
        ] {
            assert_ne!(other.seed(), SAMPLE.seed());
        }
    }

    #[test]
    fn a_file_that_others_let_go_of_is_opened_again() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let path = Path::new("store").join(file_name(1));
        disk.create_dir_all(Path::new("store")).unwrap();
        drop(disk.open(&path, true).unwrap());
        let segment = Segment::new(&disk, path, SAMPLE, None, 0);
        let open = || {
            for turn in 0..200_000 {
                let file = segment.file().unwrap();
                (0..turn % 61).for_each(|_| std::hint::spin_loop());
                assert!(file.is_some());
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(open);
            }
        });
    }

    #[test]
    fn marks_are_few_and_lead_to_a_place_before_what_is_wanted() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let segment = Segment::new(&disk, "store/1".into(), SAMPLE, None, 0);
        for number in 0..1000 {
            let header = BatchHeader {
                body: 952,
                records_bytes: 952,
                records: 1,
                seq: SAMPLE.seq + number,
                position: SAMPLE.position + number,
                durable: 0,
                previous: 0,
                body_crc: 0,
                crc: 0,
            };
            segment.note(HEADER as u64 + number * 1000, &header);
        }
        assert!(segment.marks.lock().len() < 100);
        for number in (0..1000).step_by(7) {
            let mark = segment.mark_at(SAMPLE.position + number);
            let batch = (mark.offset - HEADER as u64) / 1000;
            assert_eq!(mark.position - SAMPLE.position, batch);
            assert!(batch <= number && number - batch <= MARK_EVERY / 1000 + 1);
        }
    }

    proptest! {
        #[test]
        fn any_flip_is_noticed(at in 0..HEADER, bit in 0_u8..8) {
            let mut bytes = SAMPLE.encode();
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(SegmentHeader::decode(&bytes), ReadHeader::Valid(_)));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..120)) {
            prop_assert!(!matches!(SegmentHeader::decode(&bytes), ReadHeader::Valid(_)));
        }
    }
}
