//! The files of the log, and which segments they are, as far as that can be told.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Gap, Point, Survey, is_absent, names, patience::PatientFile};
use crate::storage::{
    StorageError,
    file::{
        directory::Directory,
        disk::DiskFile,
        failure::doing,
        frame::{self, BatchHeader},
        index,
        manifest::{Manifest, Seal, SegmentEntry},
        segment::{self, ReadHeader, SegmentHeader, StoreId},
    },
};

/// So many openings lie between two segments of a store at most, where one of them has to be guessed.
const EPOCHS: u64 = 256;

/// A segment of the log: a file, or the place of one that is missing.
#[derive(Debug)]
pub(in crate::storage::file) struct Part {
    pub(super) id: u64,
    pub(in crate::storage::file) path: PathBuf,
    /// `None`: nothing can be read of it.
    pub(super) header: Option<SegmentHeader>,
    /// The length of the file, 0 where it is missing.
    pub(super) size: u64,
    /// Where it begins.
    pub(super) start: Option<Point>,
    pub(super) seal: Option<Seal>,
    /// A compaction has written it anew: with other batches, and without writes to the state.
    pub(in crate::storage::file) is_rewritten: bool,
}

/// A file with a segment's name.
#[derive(Debug)]
pub(super) struct FoundFile {
    path: PathBuf,
    pub(super) header: Result<SegmentHeader, Unread>,
    size: u64,
    /// The bytes where the first batch belongs.
    first: Vec<u8>,
    /// Nothing but zeros where header and first batch belong: it was made in advance.
    is_blank: bool,
}

/// Why a header is not there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unread {
    Version(u32),
    Invalid,
}

impl FoundFile {
    pub(super) fn other_version(&self) -> Option<StorageError> {
        let Err(Unread::Version(found)) = self.header else { return None };
        let file = self.path.clone();
        Some(StorageError::Format { file, found, supported: segment::VERSION })
    }

    fn has_batch(&self, header: &SegmentHeader) -> Option<BatchHeader> {
        BatchHeader::read(&self.first, header.seed())
    }

    /// What the header must have been. The batches were written for it alone, so that a wrong guess
    /// is told from the right one.
    fn guess(
        &self,
        like: &[SegmentHeader],
        entry: SegmentEntry,
        before: Option<Seal>,
    ) -> Option<SegmentHeader> {
        let before = before.unwrap_or(Seal { len: 0, crc: 0 });
        like.iter().find_map(|known| {
            let guess = SegmentHeader {
                id: entry.id,
                epoch: entry.epoch,
                position: entry.position,
                seq: entry.seq,
                previous_len: before.len,
                previous_crc: before.crc,
                size: self.size,
                ..*known
            };
            self.has_batch(&guess).map(|_| guess)
        })
    }

    /// The same where no manifest knows anything. It was begun some openings before others, or after.
    fn guess_alone(&self, like: &[SegmentHeader], id: u64) -> Option<SegmentHeader> {
        like.iter().find_map(|known| {
            let epochs = known.epoch.saturating_sub(EPOCHS)..known.epoch.saturating_add(EPOCHS);
            let mut guesses =
                epochs.map(|epoch| SegmentHeader { id, epoch, size: self.size, ..*known });
            guesses.find_map(|guess| {
                let first = self.has_batch(&guess)?;
                let (position, seq, previous_crc) = (first.position, first.seq, first.previous);
                Some(SegmentHeader { position, seq, previous_crc, previous_len: 0, ..guess })
            })
        })
    }
}

/// Files by the id of their segment, and how often it was written anew.
pub(super) type FoundFiles = BTreeMap<(u64, u64), FoundFile>;

/// The id in a name of a segment's file, and how often it was written anew.
fn identity(name: &str) -> Option<(u64, u64)> {
    segment::id_of(name).map(|id| (id, 0)).or_else(|| segment::rewritten_of(name))
}

/// The files with names of segments.
pub(super) fn find(dir: &Directory) -> Result<FoundFiles, StorageError> {
    let mut found = BTreeMap::new();
    for name in names(dir, &dir.segments)? {
        if let Some(identity) = identity(&name)
            && let Some(file) = look(dir, dir.segments.join(name))?
        {
            found.insert(identity, file);
        }
    }
    Ok(found)
}

fn look(dir: &Directory, path: PathBuf) -> Result<Option<FoundFile>, StorageError> {
    let file = match open(dir, &path) {
        Err(error) if is_absent(&error) => return Ok(None), // removed under our eyes
        file => file.map_err(doing("opening", &path))?,
    };
    let mut bytes = vec![0; segment::HEADER + frame::HEADER];
    let count = file.read_at(&mut bytes, 0).map_err(doing("reading", &path))?;
    let size = file.size().map_err(doing("reading", &path))?;
    bytes.truncate(count);
    let header = match SegmentHeader::decode(&bytes) {
        ReadHeader::Valid(header) => Ok(header),
        ReadHeader::Version(found) => Err(Unread::Version(found)),
        ReadHeader::Invalid => Err(Unread::Invalid),
    };
    let is_blank = bytes.iter().all(|byte| *byte == 0);
    let first = bytes.get(segment::HEADER..).unwrap_or_default().to_vec();
    Ok(Some(FoundFile { path, header, size, first, is_blank }))
}

/// Opens a file that may be unreadable in places.
pub(super) fn open(dir: &Directory, path: &Path) -> io::Result<Arc<PatientFile>> {
    Ok(Arc::new(PatientFile::new(dir.disk.open_read(path)?)))
}

/// Finds the place of each file.
pub(super) fn put_in_order(
    dir: &Directory,
    survey: &mut Survey,
    mut found: FoundFiles,
) -> Result<(), StorageError> {
    let known: Vec<SegmentHeader> = found.values().filter_map(|file| file.header.ok()).collect();
    let mut like = known.clone();
    like.extend(survey.manifest.as_ref().map(blank));
    if survey.manifest.as_ref().is_some_and(|manifest| is_outdated(manifest, &found)) {
        survey.manifest = None;
        let reason = "the manifest does not know the newest segments";
        survey.faults.push(Gap::of_file(&dir.manifest, reason));
    }
    match survey.manifest.clone() {
        Some(manifest) => {
            let mut before = None;
            for entry in &manifest.segments {
                let file = found.remove(&(entry.id, entry.rewritten));
                survey.place(dir, file, *entry, before, &like);
                before = entry.first_seal();
            }
            survey.judge_rest(&manifest, found);
        }
        None => survey.place_alone(dir, found, &like),
    }
    for name in names(dir, &dir.segments)? {
        // An index is made of its segment, and again where it is missing.
        if identity(&name).is_none() && index::id_of(&name).is_none() {
            survey.unknown.push(dir.segments.join(name));
        }
    }
    Ok(())
}

/// Whether there are newer segments of the same store, with commits.
fn is_outdated(manifest: &Manifest, found: &FoundFiles) -> bool {
    let last = manifest.segments.last().map_or(0, |last| last.id);
    found.range((Bound::Excluded((last, u64::MAX)), Bound::Unbounded)).any(|(_, file)| {
        let ours = file.header.ok().filter(|header| header.store == manifest.store);
        ours.is_some_and(|header| file.has_batch(&header).is_some())
    })
}

/// What a manifest says about every segment.
fn blank(manifest: &Manifest) -> SegmentHeader {
    SegmentHeader {
        store: manifest.store,
        id: 0,
        epoch: manifest.epoch,
        timeline: manifest.timeline,
        position: 1,
        seq: 1,
        previous_len: 0,
        previous_crc: 0,
        size: 0,
    }
}

fn is_named(header: &SegmentHeader, store: StoreId, entry: SegmentEntry) -> bool {
    (header.store, header.id, header.epoch, header.position, header.seq)
        == (store, entry.id, entry.epoch, entry.position, entry.seq)
}

impl Survey {
    /// Places a segment that the manifest names.
    fn place(
        &mut self,
        dir: &Directory,
        file: Option<FoundFile>,
        entry: SegmentEntry,
        before: Option<Seal>,
        like: &[SegmentHeader],
    ) {
        let path = dir.rewritten(entry.id, entry.rewritten);
        let is_rewritten = entry.rewritten > 0;
        let start = Some(Point { seq: entry.seq, position: entry.position });
        let mut part = Part {
            id: entry.id,
            path,
            header: None,
            size: 0,
            start,
            seal: entry.seal,
            is_rewritten,
        };
        let Some(file) = file else {
            self.faults.push(Gap::of_file(&part.path, "the segment is missing"));
            self.parts.push(part);
            return;
        };
        part.size = file.size;
        let named = file.header.ok().filter(|header| is_named(header, self.store, entry));
        let follows = named.filter(|header| {
            before.is_none_or(|seal| {
                (seal.len, seal.crc) == (header.previous_len, header.previous_crc)
            })
        });
        part.header = follows.or_else(|| file.guess(like, entry, before));
        let reason = match (file.header, named, follows) {
            (_, _, Some(_)) => None,
            (_, Some(_), None) => Some("it does not follow the segment before"),
            (Ok(_), None, None) => Some("it is not the segment that the manifest names"),
            (Err(Unread::Version(_)), ..) => Some("the segment's header has another version"),
            (Err(Unread::Invalid), ..) => Some("the segment's header is damaged"),
        };
        let header = 0..segment::HEADER as u64;
        self.faults.extend(reason.map(|reason| Gap::of_file(&part.path, reason).at(header)));
        self.check_length(&part, entry);
        self.parts.push(part);
    }

    fn check_length(&mut self, part: &Part, entry: SegmentEntry) {
        let least = entry.seal.map(|seal| seal.len).or(part.header.map(|header| header.size));
        if let Some(least) = least.filter(|least| part.size < *least) {
            let fault = Gap::of_file(&part.path, "the file is shorter than it was");
            self.faults.push(fault.at(part.size..least));
        }
    }

    /// What files are that the manifest does not name.
    fn judge_rest(&mut self, manifest: &Manifest, found: FoundFiles) {
        for ((id, _), file) in found {
            let was_dropped = manifest.segments.first().is_some_and(|first| id < first.id);
            let is_other = |entry: &SegmentEntry| entry.id == id && entry.seal.is_some();
            if was_dropped || file.is_blank || manifest.segments.iter().any(is_other) {
                continue;
            }
            self.unknown.push(file.path);
        }
    }

    /// Places what is there, by what it says of itself.
    fn place_alone(&mut self, dir: &Directory, found: FoundFiles, like: &[SegmentHeader]) {
        let mut before: Option<u64> = None;
        for ((id, rewritten), file) in found {
            if before == Some(id) {
                continue; // the older file has all that the newer one has
            }
            let ours = |header: &SegmentHeader| header.store == self.store && header.id == id;
            if file.is_blank || file.header.is_ok_and(|header| !ours(&header)) {
                self.unknown.extend((!file.is_blank).then_some(file.path));
                continue;
            }
            let header = file.header.ok().or_else(|| file.guess_alone(like, id));
            if file.header.is_err() {
                let fault = Gap::of_file(&file.path, "the segment's header is damaged");
                self.faults.push(fault.at(0..segment::HEADER as u64));
            }
            if let Some(missing) = before.map(|before| before + 1).filter(|missing| *missing < id) {
                let reason = "the segment is missing, and all up to the next one that is there";
                self.faults.push(Gap::of_file(&dir.segment(missing), reason));
            }
            let start = header.map(|header| Point { seq: header.seq, position: header.position });
            let start = start.or((id == 1).then_some(Point { seq: 1, position: 1 }));
            if let Some(last) = self.parts.last_mut()
                && before.is_some_and(|before| before + 1 == id)
            {
                let told = header.filter(|header| header.previous_len > 0 && !last.is_rewritten);
                last.seal =
                    told.map(|header| Seal { len: header.previous_len, crc: header.previous_crc });
            }
            let (path, size) = (file.path, file.size);
            self.parts.push(Part {
                id,
                path,
                header,
                size,
                start,
                seal: None,
                is_rewritten: rewritten > 0,
            });
            before = Some(id);
        }
    }
}
