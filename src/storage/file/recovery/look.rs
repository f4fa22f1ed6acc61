//! Which files there are, and whether they are those that the manifest names.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::storage::{
    StorageError,
    file::{
        directory::Directory,
        failure::doing,
        index,
        manifest::{Manifest, ReplaceError, SegmentEntry},
        next::Spare,
        segment::{self, ReadHeader, Segment, SegmentHeader},
        state::{self, Run},
    },
};

/// What a store consists of. Nothing has been changed yet.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) manifest: Manifest,
    /// In the manifest's order.
    pub(super) segments: Vec<Arc<Segment>>,
    /// In the manifest's order.
    pub(super) runs: Vec<Arc<Run>>,
    /// The length of the last segment's file.
    pub(super) active_size: u64,
    /// Names in `segments` and `state` that are no longer needed.
    pub(super) dropped: Vec<PathBuf>,
    /// Files that nothing accounts for.
    pub(super) unknown: Vec<PathBuf>,
}

/// Makes an empty store. Refused where there are files of another.
pub(super) fn create(dir: &Directory, size: u64) -> Result<Manifest, StorageError> {
    let first = segment::file_name(1);
    for part in [&dir.segments, &dir.state] {
        let is_ours = |name: &String| {
            let kinds = [segment::id_of(name), index::id_of(name), state::id_of(name)];
            kinds.iter().any(Option::is_some)
        };
        let unfinished = |name: &String| *name == first && part == &dir.segments;
        if names(dir, part)?.iter().any(|name| is_ours(name) && !unfinished(name)) {
            return Err(orphaned(dir));
        }
    }
    for part in [&dir.segments, &dir.state] {
        dir.disk.create_dir_all(part).map_err(doing("creating", part))?;
    }
    let path = dir.segment(1);
    if dir.exists(&path)? {
        // What a crash left of the same attempt, unless there are commits in it.
        if !is_zero(dir, &path, segment::HEADER as u64)? {
            return Err(orphaned(dir));
        }
        dir.set_aside(&path)?;
    }
    let (high, low) = (dir.disk.entropy(), dir.disk.entropy());
    let store = (u128::from(high) << 64 | u128::from(low)).to_le_bytes();
    let mut manifest = Manifest::new(store, dir.disk.entropy());
    let entry = SegmentEntry::new(1, 0, 1, 1);
    let header = SegmentHeader {
        store,
        id: 1,
        epoch: 0,
        timeline: manifest.timeline,
        position: 1,
        seq: 1,
        previous_len: 0,
        previous_crc: 0,
        size,
    };
    Spare::create(dir, 1, size)?.begin(dir, &header)?;
    let next = Manifest { segments: vec![entry], ..manifest.clone() };
    manifest.replace(dir, next).map_err(ReplaceError::into_inner)?;
    Ok(manifest)
}

fn orphaned(dir: &Directory) -> StorageError {
    let reason = "the manifest is missing, and there are files of a store";
    StorageError::Corrupt { file: dir.manifest.clone(), offset: 0, reason }
}

/// The names in a directory, none where there is no such directory.
fn names(dir: &Directory, part: &Path) -> Result<BTreeSet<String>, StorageError> {
    match dir.disk.list(part) {
        Ok(names) => Ok(names.into_iter().collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(doing("listing", part)(error)),
    }
}

impl Look {
    pub(super) fn at(dir: &Directory, manifest: Manifest) -> Result<Self, StorageError> {
        let mut look = Self {
            manifest,
            segments: Vec::new(),
            runs: Vec::new(),
            active_size: 0,
            dropped: Vec::new(),
            unknown: Vec::new(),
        };
        look.segments(dir)?;
        look.runs(dir)?;
        Ok(look)
    }

    fn segments(&mut self, dir: &Directory) -> Result<(), StorageError> {
        let mut present = names(dir, &dir.segments)?;
        for at in 0..self.manifest.segments.len() {
            let Some(entry) = self.manifest.segments.get(at).copied() else { break };
            if !present.remove(&segment::rewritten_name(entry.id, entry.rewritten)) {
                let reason = "the segment is missing";
                let file = dir.rewritten(entry.id, entry.rewritten);
                return Err(StorageError::Corrupt { file, offset: 0, reason });
            }
            let segment = self.segment(dir, entry)?;
            self.segments.push(Arc::new(segment));
        }
        for name in present {
            self.judge(dir, &name)?;
        }
        Ok(())
    }

    /// Opens a segment that the manifest names, and checks that it is that one.
    fn segment(&mut self, dir: &Directory, entry: SegmentEntry) -> Result<Segment, StorageError> {
        let path = dir.rewritten(entry.id, entry.rewritten);
        let corrupt = |reason| StorageError::Corrupt { file: path.clone(), offset: 0, reason };
        let (header, size) = read_header(dir, &path)?;
        let header = header.ok_or_else(|| corrupt("the segment's header is damaged"))?;
        let named = (self.manifest.store, entry.id, entry.epoch, entry.position, entry.seq);
        if (header.store, header.id, header.epoch, header.position, header.seq) != named {
            return Err(corrupt("it is not the segment that the manifest names"));
        }
        let before = self.segments.last().zip(self.before(entry.id));
        if before.is_some_and(|(_, seal)| seal != (header.previous_len, header.previous_crc)) {
            return Err(corrupt("it does not follow the segment before"));
        }
        if size < entry.seal.map_or(header.size, |seal| seal.len) {
            return Err(StorageError::Corrupt {
                offset: size,
                file: path,
                reason: "the file is shorter than it was",
            });
        }
        self.active_size = size;
        let valid = entry.seal.map_or(segment::HEADER as u64, |seal| seal.len);
        Ok(Segment::new(&dir.disk, path, header, None, valid).rewritten(entry.rewritten))
    }

    /// Length and last CRC of the segment before this one.
    fn before(&self, id: u64) -> Option<(u64, u32)> {
        let before = self.manifest.segments.iter().find(|segment| segment.id + 1 == id)?;
        before.first_seal().map(|seal| (seal.len, seal.crc))
    }

    /// What to do with a file that the manifest does not name.
    fn judge(&mut self, dir: &Directory, name: &str) -> Result<(), StorageError> {
        let path = dir.segments.join(name);
        let entries = &self.manifest.segments;
        if let Some(id) = index::id_of(name) {
            if !entries.iter().any(|entry| entry.id == id && entry.seal.is_some()) {
                self.dropped.push(path); // made of a segment that is gone
            }
            return Ok(());
        }
        let rewritten = segment::rewritten_of(name).map(|(id, _)| id);
        let first = entries.first();
        if rewritten.is_some_and(|id| first.is_some_and(|first| id < first.id)) {
            self.dropped.push(path);
            return Ok(());
        }
        // Another file has the same events: one that was to be, or had been, the segment.
        let is_other = |id, named: &dyn Fn(&SegmentEntry) -> bool| {
            entries.iter().any(|entry| entry.id == id && entry.seal.is_some() && named(entry))
        };
        let replaced = rewritten.is_some_and(|id| is_other(id, &|_| true))
            || segment::id_of(name).is_some_and(|id| is_other(id, &|entry| entry.rewritten > 0));
        if replaced {
            self.dropped.push(path);
            return Ok(());
        }
        let Some(id) = segment::id_of(name) else {
            self.unknown.push(path);
            return Ok(());
        };
        if entries.first().is_some_and(|first| id < first.id) {
            self.dropped.push(path);
            return Ok(());
        }
        match read_header(dir, &path)? {
            (Some(header), _) if header.store == self.manifest.store => {
                if !is_zero(dir, &path, segment::HEADER as u64)? {
                    let reason = "it has commits, and the manifest does not know it";
                    return Err(StorageError::Corrupt { file: path, offset: 0, reason });
                }
                self.unknown.push(path);
            }
            _ if is_zero(dir, &path, 0)? => self.dropped.push(path),
            _ => self.unknown.push(path),
        }
        Ok(())
    }

    fn runs(&mut self, dir: &Directory) -> Result<(), StorageError> {
        let mut present = names(dir, &dir.state)?;
        for entry in &self.manifest.runs {
            present.remove(&state::file_name(entry.id));
            let run = Run::open(&*dir.disk, dir.run(entry.id), &self.manifest.store, *entry)?;
            self.runs.push(Arc::new(run));
        }
        for name in present {
            // A run that is not named yet is of a checkpoint that did not end.
            let dropped = state::id_of(&name).is_some_and(|id| {
                self.manifest.dropped_runs.contains(&id) || id >= self.manifest.next_run
            });
            let list = if dropped { &mut self.dropped } else { &mut self.unknown };
            list.push(dir.state.join(name));
        }
        Ok(())
    }
}

/// The header of a segment, if it has a valid one, and the length of the file.
pub(in crate::storage::file) fn read_header(
    dir: &Directory,
    path: &Path,
) -> Result<(Option<SegmentHeader>, u64), StorageError> {
    let file = dir.disk.open_read(path).map_err(doing("opening", path))?;
    let mut bytes = [0; segment::HEADER];
    let count = file.read_at(&mut bytes, 0).map_err(doing("reading", path))?;
    let size = file.size().map_err(doing("reading", path))?;
    match SegmentHeader::decode(bytes.get(..count).unwrap_or_default()) {
        ReadHeader::Valid(header) => Ok((Some(header), size)),
        ReadHeader::Invalid => Ok((None, size)),
        ReadHeader::Version(found) => {
            Err(StorageError::Format { file: path.to_owned(), found, supported: segment::VERSION })
        }
    }
}

/// Whether a file holds nothing but zeros from an offset on.
fn is_zero(dir: &Directory, path: &Path, mut offset: u64) -> Result<bool, StorageError> {
    let file = dir.disk.open_read(path).map_err(doing("opening", path))?;
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = file.read_at(&mut bytes, offset).map_err(doing("reading", path))?;
        let read = bytes.get(..count).unwrap_or_default();
        if count == 0 {
            return Ok(true);
        }
        if read.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        offset += count as u64;
    }
}
