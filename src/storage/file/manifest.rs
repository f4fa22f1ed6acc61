//! The one file that says which files a store has, replaced as a whole at each change.

use std::io;

use super::{
    bytes::{Reader, Writer},
    checksum::Seed,
    directory::Directory,
    failure::{doing, full},
    planted::Mistake,
    segment::{StoreId, VERSION},
};
use crate::{message::Position, storage::StorageError};

const MAGIC: [u8; 8] = *b"tidmanif";

/// `magic | version | features | length of the body`, then the body and a CRC.
const HEADER: usize = 20;

/// The largest manifest that is read, in bytes. Enough for millions of segments.
const MOST: u64 = 1 << 28;

/// Numbers that only rise never get so far, so that one can always count on from them.
const HIGHEST: u64 = Position::HIGHEST.get();

/// Which files a store has, and what is known about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Rises with each replacement.
    pub(super) generation: u64,
    pub(super) store: StoreId,
    /// Which of the store's histories this is; a restored copy begins another.
    pub(super) timeline: u64,
    /// How often the store was opened.
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    /// The highest seq known to be durable.
    pub(super) durable: u64,
    /// By id, without gaps. Commits go to the last one.
    pub(super) segments: Vec<SegmentEntry>,
    /// The state in files contains the writes of all batches up to this seq.
    pub(super) state_seq: u64,
    /// Newest first.
    pub(super) runs: Vec<RunEntry>,
    /// The id that the next run will get.
    pub(super) next_run: u64,
    /// Runs that are no longer needed; their files may still be there.
    pub(super) dropped_runs: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// In use, or left by a crash.
    Open,
    /// Closed: the log ends with exactly this.
    Closed(LogEnd),
    /// A copy that has not been opened yet; as `Closed` otherwise.
    Copied(LogEnd),
}

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogEnd {
    /// The length of the last segment's valid bytes.
    pub(super) len: u64,
    pub(super) seq: u64,
    /// The CRC of the last batch's header.
    pub(super) crc: u32,
}

/// A segment, as the manifest knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentEntry {
    pub(super) id: u64,
    pub(super) epoch: u64,
    /// The position of the first record.
    pub(super) position: u64,
    /// The seq of the first batch.
    pub(super) seq: u64,
    /// Of a sealed segment; the last one is not.
    pub(super) seal: Option<Seal>,
    /// How often it was written anew, and its first seal, which the next segment knows it by.
    pub(super) rewritten: u64,
    pub(super) original: Option<Seal>,
}

impl SegmentEntry {
    /// A segment that is not sealed.
    pub(super) fn new(id: u64, epoch: u64, position: u64, seq: u64) -> Self {
        Self { id, epoch, position, seq, seal: None, rewritten: 0, original: None }
    }

    /// The seal that the next segment knows it by.
    pub(super) fn first_seal(&self) -> Option<Seal> {
        self.original.or(self.seal)
    }
}

/// What is known of a segment that gets no more batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    /// How many of its bytes are valid.
    pub(super) len: u64,
    /// The CRC of its last batch's header, or the one before the segment where it has none.
    pub(super) crc: u32,
}

/// A file of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunEntry {
    pub(super) id: u64,
    pub(super) len: u64,
    /// The CRC at the file's end, which vouches for the rest.
    pub(super) crc: u32,
}

impl Manifest {
    pub(super) fn new(store: StoreId, timeline: u64) -> Self {
        Self {
            generation: 0,
            store,
            timeline,
            epoch: 0,
            phase: Phase::Open,
            durable: 0,
            segments: Vec::new(),
            state_seq: 0,
            runs: Vec::new(),
            next_run: 1,
            dropped_runs: Vec::new(),
        }
    }

    /// What the CRCs of everything that belongs to the store start from.
    pub(super) fn seed(&self) -> Seed {
        Seed::of(&self.store)
    }

    /// Replaces the file by what is to be known next, durably.
    pub(super) fn replace(&mut self, dir: &Directory, next: Self) -> Result<(), ReplaceError> {
        let next = Self { generation: self.generation + 1, ..next };
        let new = &dir.new_manifest;
        let bytes = next.encode();
        let prepared = write_new(dir, &bytes).map_err(full("writing", new, bytes.len() as u64));
        prepared.map_err(ReplaceError::Unchanged)?;
        let renamed = dir.disk.rename(new, &dir.manifest).map_err(doing("renaming", new));
        renamed.map_err(ReplaceError::Ambiguous)?;
        if !dir.makes(Mistake::ManifestNameUnsynced) {
            dir.sync(&dir.root).map_err(ReplaceError::Ambiguous)?;
        }
        *self = next;
        Ok(())
    }

    /// Reads the file; `None` where there is none.
    pub(super) fn read(dir: &Directory) -> Result<Option<Self>, StorageError> {
        let path = &dir.manifest;
        let file = match dir.disk.open_read(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(doing("opening", path)(error)),
        };
        let corrupt = |reason| StorageError::Corrupt { file: path.clone(), offset: 0, reason };
        let size = file.size().map_err(doing("reading", path))?;
        let size = usize::try_from(size.min(MOST)).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| corrupt("the manifest is too large"))?;
        bytes.resize(size, 0);
        let count = file.read_at(&mut bytes, 0).map_err(doing("reading", path))?;
        bytes.truncate(count);
        match decode(&bytes) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(Undecoded::Version(found)) => {
                Err(StorageError::Format { file: path.clone(), found, supported: VERSION })
            }
            Err(Undecoded::Features) => Err(corrupt("it needs features that this build lacks")),
            Err(Undecoded::Damaged) => Err(corrupt("the manifest is damaged")),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        body.u64(self.generation);
        body.bytes(&self.store);
        for number in [self.timeline, self.epoch, self.durable, self.state_seq, self.next_run] {
            body.u64(number);
        }
        write_phase(&mut body, self.phase);
        body.size(self.segments.len());
        for segment in &self.segments {
            write_segment(&mut body, segment);
        }
        body.size(self.runs.len());
        for run in &self.runs {
            body.varint(run.id);
            body.varint(run.len);
            body.u32(run.crc);
        }
        body.size(self.dropped_runs.len());
        for id in &self.dropped_runs {
            body.varint(*id);
        }
        let mut out = Writer::default();
        out.bytes(&MAGIC);
        out.u32(VERSION);
        out.u32(0); // no features that a reader must know
        out.u32(u32::try_from(body.0.len()).unwrap_or(u32::MAX));
        out.bytes(&body.0);
        out.u32(Seed::NONE.checksum(&out.0));
        out.0
    }
}

/// Why a manifest was not replaced.
#[derive(Debug)]
pub(super) enum ReplaceError {
    /// The old one is in force.
    Unchanged(StorageError),
    /// Either may be found the next time.
    Ambiguous(StorageError),
}

impl ReplaceError {
    pub(super) fn into_inner(self) -> StorageError {
        match self {
            Self::Unchanged(error) | Self::Ambiguous(error) => error,
        }
    }
}

fn write_new(dir: &Directory, bytes: &[u8]) -> io::Result<()> {
    let new = &dir.new_manifest;
    match dir.disk.remove(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = dir.disk.open(new, true)?;
    file.write_all_at(bytes, 0)?;
    if dir.makes(Mistake::ManifestUnsynced) { Ok(()) } else { file.sync_data() }
}

fn write_phase(out: &mut Writer, phase: Phase) {
    let (tag, end) = match phase {
        Phase::Open => return out.u8(0),
        Phase::Closed(end) => (1, end),
        Phase::Copied(end) => (2, end),
    };
    out.u8(tag);
    out.u64(end.len);
    out.u64(end.seq);
    out.u32(end.crc);
}

fn write_segment(out: &mut Writer, segment: &SegmentEntry) {
    for number in [segment.id, segment.epoch, segment.position, segment.seq] {
        out.varint(number);
    }
    match segment.seal {
        None => out.u8(0),
        Some(seal) => {
            out.u8(1);
            write_seal(out, seal);
        }
    }
    out.varint(segment.rewritten);
    if let Some(original) = segment.original {
        write_seal(out, original);
    }
}

fn write_seal(out: &mut Writer, seal: Seal) {
    out.varint(seal.len);
    out.u32(seal.crc);
}

/// Why bytes are no manifest.
#[derive(Debug, PartialEq, Eq)]
enum Undecoded {
    Version(u32),
    Features,
    Damaged,
}

fn decode(bytes: &[u8]) -> Result<Manifest, Undecoded> {
    let mut reader = Reader::new(bytes);
    let magic: Option<[u8; 8]> = reader.array();
    let (Some(MAGIC), Some(version)) = (magic, reader.u32()) else {
        return Err(Undecoded::Damaged);
    };
    if version != VERSION {
        return Err(Undecoded::Version(version));
    }
    let features = reader.u32();
    let Some(body) = body(bytes) else { return Err(Undecoded::Damaged) };
    if features != Some(0) {
        return Err(Undecoded::Features);
    }
    let manifest = decode_body(&mut Reader::new(body)).ok_or(Undecoded::Damaged)?;
    if is_consistent(&manifest) { Ok(manifest) } else { Err(Undecoded::Damaged) }
}

/// The body, if the checksum after it is right and nothing follows.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let (covered, crc) = bytes.split_last_chunk()?;
    let (header, body) = covered.split_at_checked(HEADER)?;
    let length = u32::from_le_bytes(*header.last_chunk()?);
    let whole = body.len() == usize::try_from(length).ok()?
        && u32::from_le_bytes(*crc) == Seed::NONE.checksum(covered);
    whole.then_some(body)
}

fn decode_body(reader: &mut Reader<'_>) -> Option<Manifest> {
    let (generation, store) = (reader.u64()?, reader.array()?);
    let mut manifest = Manifest { generation, ..Manifest::new(store, reader.u64()?) };
    manifest.epoch = reader.u64()?;
    manifest.durable = reader.u64()?;
    manifest.state_seq = reader.u64()?;
    manifest.next_run = reader.u64()?;
    manifest.phase = read_phase(reader)?;
    for _ in 0..reader.size()? {
        manifest.segments.push(read_segment(reader)?);
    }
    for _ in 0..reader.size()? {
        let run = RunEntry { id: reader.varint()?, len: reader.varint()?, crc: reader.u32()? };
        manifest.runs.push(run);
    }
    for _ in 0..reader.size()? {
        manifest.dropped_runs.push(reader.varint()?);
    }
    reader.is_empty().then_some(manifest)
}

fn read_phase(reader: &mut Reader<'_>) -> Option<Phase> {
    let tag = reader.u8()?;
    if tag == 0 {
        return Some(Phase::Open);
    }
    let end = LogEnd { len: reader.u64()?, seq: reader.u64()?, crc: reader.u32()? };
    match tag {
        1 => Some(Phase::Closed(end)),
        2 => Some(Phase::Copied(end)),
        _ => None,
    }
}

fn read_segment(reader: &mut Reader<'_>) -> Option<SegmentEntry> {
    let (id, epoch) = (reader.varint()?, reader.varint()?);
    let (position, seq) = (reader.varint()?, reader.varint()?);
    let seal = match reader.u8()? {
        0 => None,
        1 => Some(read_seal(reader)?),
        _ => return None,
    };
    let rewritten = reader.varint()?;
    let original = if rewritten > 0 { Some(read_seal(reader)?) } else { None };
    Some(SegmentEntry { id, epoch, position, seq, seal, rewritten, original })
}

fn read_seal(reader: &mut Reader<'_>) -> Option<Seal> {
    Some(Seal { len: reader.varint()?, crc: reader.u32()? })
}

/// What every manifest that was ever written has in common.
fn is_consistent(manifest: &Manifest) -> bool {
    let segments = &manifest.segments;
    if !is_countable(manifest) {
        return false;
    }
    let follow = segments.iter().zip(segments.iter().skip(1)).all(|(one, next)| {
        next.id == one.id + 1 && next.position >= one.position && next.seq >= one.seq
    });
    let sealed = segments.iter().rev().skip(1).all(|segment| segment.seal.is_some());
    let active = segments.last().is_some_and(|segment| segment.seal.is_none());
    // None is there twice, so that a short manifest does not have a file opened a million times.
    let mut newer = manifest.next_run;
    let runs = manifest.runs.iter().all(|run| run.id < std::mem::replace(&mut newer, run.id));
    follow && sealed && active && runs && manifest.state_seq <= manifest.durable
}

fn is_countable(manifest: &Manifest) -> bool {
    let Manifest { generation, epoch, durable, next_run, .. } = manifest;
    let from_one = |number: u64| (1..=HIGHEST).contains(&number);
    let segments = manifest.segments.iter().all(|segment| {
        let dense = [segment.id, segment.position, segment.seq];
        dense.into_iter().all(from_one) && segment.epoch <= HIGHEST
    });
    segments && [generation, epoch, durable, next_run].into_iter().all(|number| *number <= HIGHEST)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn sample() -> Manifest {
        let seal = Some(Seal { len: 900, crc: 5 });
        let original = Some(Seal { len: 1900, crc: 6 });
        let sealed = SegmentEntry::new(4, 1, 1, 1);
        let segment = SegmentEntry { seal, rewritten: 2, original, ..sealed };
        let active = SegmentEntry::new(5, 2, 300, 9);
        let mut manifest = Manifest::new([3; 16], 8);
        manifest.segments = vec![segment, active];
        manifest.generation = 12;
        manifest.durable = 11;
        manifest.state_seq = 8;
        manifest.next_run = 7;
        manifest.runs = vec![RunEntry { id: 6, len: 4096, crc: 1 }];
        manifest.dropped_runs = vec![2, 3];
        manifest.phase = Phase::Closed(LogEnd { len: 200, seq: 11, crc: 9 });
        manifest
    }

    #[test]
    fn it_comes_back() {
        for phase in [sample().phase, Phase::Open, Phase::Copied(LogEnd { len: 1, seq: 2, crc: 3 })]
        {
            let manifest = Manifest { phase, ..sample() };
            assert_eq!(decode(&manifest.encode()), Ok(manifest));
        }
    }

    #[test]
    fn any_flip_cut_or_addition_is_noticed() {
        let bytes = sample().encode();
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at]).is_err());
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(decode(&flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut gap = sample();
        gap.segments[1].id = 6;
        let mut unsealed = sample();
        unsealed.segments[0].seal = None;
        let mut early = sample();
        early.state_seq = 12;
        let empty = Manifest { segments: Vec::new(), ..sample() };
        let mut twice = sample();
        twice.runs.push(twice.runs[0]);
        for wrong in [gap, unsealed, early, empty, twice] {
            assert_eq!(decode(&wrong.encode()), Err(Undecoded::Damaged));
        }
    }

    #[test]
    fn e9_numbers_from_which_one_cannot_count_on_are_refused() {
        let wrong = [
            |manifest: &mut Manifest| manifest.generation = u64::MAX,
            |manifest: &mut Manifest| manifest.epoch = u64::MAX,
            |manifest: &mut Manifest| manifest.durable = u64::MAX,
            |manifest: &mut Manifest| manifest.next_run = u64::MAX,
            |manifest: &mut Manifest| manifest.segments[1].epoch = u64::MAX,
            |manifest: &mut Manifest| manifest.segments[1].position = u64::MAX,
            |manifest: &mut Manifest| manifest.segments[1].seq = u64::MAX,
            |manifest: &mut Manifest| manifest.segments[0].position = 0,
            |manifest: &mut Manifest| manifest.segments[0].seq = 0,
        ];
        for spoil in wrong {
            let mut manifest = sample();
            spoil(&mut manifest);
            assert_eq!(decode(&manifest.encode()), Err(Undecoded::Damaged));
        }
        for id in [0, u64::MAX] {
            let mut manifest = sample();
            manifest.segments.remove(0);
            manifest.segments[0].id = id;
            assert_eq!(decode(&manifest.encode()), Err(Undecoded::Damaged));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(body in vec(any::<u8>(), 0..200)) {
            let mut out = Writer::default();
            out.bytes(&MAGIC);
            out.u32(VERSION);
            out.u32(0);
            out.u32(u32::try_from(body.len()).unwrap_or(0));
            out.bytes(&body);
            out.u32(Seed::NONE.checksum(&out.0));
            if let Ok(manifest) = decode(&out.0) {
                prop_assert!(is_consistent(&manifest));
            }
        }
    }
}
