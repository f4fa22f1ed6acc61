//! Opening what a clean close, a crash or bit rot left: first look at everything, then change.
//!
//! Nothing is modified before the whole log has been judged. Every step may itself be cut short by
//! a crash; running again from the start comes to the same.

use std::sync::Arc;

use super::{
    disk::Disk,
    failure::doing,
    layout::Layout,
    report::RecoveryReport,
    scan::{self, Found, Scan},
    segment::{self, ReadHeader, Segment, SegmentHeader, StoreId},
    snapshot::{self, Snapshot},
    view::View,
};
use crate::storage::{StorageError, state::State};

/// How much is written again at a time.
const COPIED: usize = 256 * 1024;

/// An open log.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) view: View,
    /// Where the next commit goes.
    pub(super) active: Arc<Segment>,
    /// The seq of the last commit, 0 where there is none. It is durable, with all before it.
    pub(super) seq: u64,
    pub(super) report: RecoveryReport,
}

pub(super) fn recover(disk: &dyn Disk, layout: &Layout) -> Result<Recovered, StorageError> {
    let mut found = Recovery::look(disk, layout)?;
    found.replay()?;
    found.check_snapshot()?;
    found.settle()
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    /// The name of a newest segment that has no valid header, and so no commits.
    residue: Option<String>,
    /// The seq that the snapshot covers.
    snapshot_seq: u64,
    /// The highest seq known to be durable.
    durable: u64,
    /// The last seq that was found.
    seq: u64,
    view: View,
    report: RecoveryReport,
}

impl<'a> Recovery<'a> {
    fn look(disk: &'a dyn Disk, layout: &'a Layout) -> Result<Self, StorageError> {
        let (segments, residue) = open_segments(disk, layout)?;
        let store = segments.first().map(|segment| segment.header.store);
        let snapshot = snapshot::read(disk, layout)?;
        let mut report = RecoveryReport {
            segments: segments.len() as u64,
            ..RecoveryReport::default()
        };
        let (snapshot_seq, state) = match (store, snapshot) {
            (_, Snapshot::Missing) => (0, State::default()),
            (None, _) => {
                return Err(corrupt(
                    &layout.snapshot,
                    "the log it belongs to is missing",
                ));
            }
            (
                Some(store),
                Snapshot::Valid {
                    store: of,
                    seq,
                    state,
                },
            ) if of == store => (seq, state),
            (_, Snapshot::Bad(reason)) => {
                report.snapshot = Some(reason);
                (0, State::default())
            }
            (_, Snapshot::Valid { .. }) => {
                report.snapshot = Some("it belongs to another store");
                (0, State::default())
            }
        };
        let mut view = View::new(state);
        view.segments = segments;
        Ok(Self {
            disk,
            layout,
            residue,
            snapshot_seq,
            durable: snapshot_seq,
            seq: 0,
            view,
            report,
        })
    }

    /// Verifies every batch, and applies the writes that the snapshot does not contain.
    fn replay(&mut self) -> Result<(), StorageError> {
        let segments = self.view.segments.clone();
        for (at, segment) in segments.iter().enumerate() {
            let next = segments.get(at + 1);
            let size = segment
                .file
                .size()
                .map_err(doing("reading", &segment.path))?;
            let limit = next.map_or(size, |next| next.header.previous_len);
            if limit > size {
                return Err(segment.corrupt(size, "the file has been cut short"));
            }
            let header = segment.header;
            if (header.seq, header.position) != (self.seq + 1, self.view.end) {
                return Err(segment.corrupt(0, "it does not follow the segment before"));
            }
            self.replay_segment(segment, limit, next.is_none())?;
        }
        Ok(())
    }

    fn replay_segment(
        &mut self,
        segment: &Segment,
        limit: u64,
        last: bool,
    ) -> Result<(), StorageError> {
        let mut scan = Scan::new(segment, limit);
        let invalid = loop {
            match scan.next()? {
                Found::End => break None,
                Found::Invalid(reason) => break Some(reason),
                Found::Batch {
                    header,
                    offset,
                    writes,
                } => {
                    if header.seq > self.snapshot_seq {
                        let writes = scan::decode_writes(segment, offset, writes)?;
                        self.view.state.apply(writes);
                    }
                    self.seq = header.seq;
                    self.durable = self.durable.max(header.durable);
                    self.report.batches += 1;
                    self.report.records += u64::from(header.records);
                    self.view.note(segment.header.id, offset, &header);
                }
            }
        };
        if let Some(reason) = invalid {
            if !last || scan.was_durable()? {
                return Err(segment.corrupt(scan.offset, reason));
            }
            self.report.discarded_bytes = limit - scan.offset;
            self.report.reason = Some(reason);
        }
        segment.set_valid(scan.offset);
        Ok(())
    }

    /// The snapshot covers durable batches only, so the log cannot end before it.
    fn check_snapshot(&self) -> Result<(), StorageError> {
        match self.view.segments.last() {
            Some(last) if self.seq < self.snapshot_seq => Err(last.corrupt(
                last.valid(),
                "commits that the state snapshot contains are damaged or missing",
            )),
            _ => Ok(()),
        }
    }

    /// Makes everything that was found durable, and gets the log ready for the next commit.
    fn settle(mut self) -> Result<Recovered, StorageError> {
        if let Some(residue) = self.residue.take() {
            self.set_aside(&residue)?;
        }
        let active = match self.view.segments.last().cloned() {
            None => self.create(1, new_store_id(self.disk), 0)?,
            Some(last) => {
                self.secure(&last)?;
                if self.report.discarded_bytes == 0 {
                    last
                } else {
                    self.create(last.header.id + 1, last.header.store, last.valid())?
                }
            }
        };
        Ok(Recovered {
            view: self.view,
            active,
            seq: self.seq,
            report: self.report,
        })
    }

    fn create(
        &mut self,
        id: u64,
        store: StoreId,
        previous_len: u64,
    ) -> Result<Arc<Segment>, StorageError> {
        let header = SegmentHeader {
            store,
            id,
            position: self.view.end,
            seq: self.seq + 1,
            previous_len,
        };
        let segment = Arc::new(Segment::create(self.disk, &self.layout.segments, header)?);
        self.view.segments.push(Arc::clone(&segment));
        self.report.segments += 1;
        Ok(segment)
    }

    /// Moves a segment without a valid header out of the way.
    fn set_aside(&mut self, name: &str) -> Result<(), StorageError> {
        let dir = &self.layout.quarantine;
        self.disk
            .create_dir_all(dir)
            .map_err(doing("creating", dir))?;
        let taken = self.disk.list(dir).map_err(doing("listing", dir))?;
        let free = (0..=taken.len())
            .map(|n| format!("{name}.{n}"))
            .find(|name| !taken.contains(name));
        let from = self.layout.segments.join(name);
        let to = dir.join(free.unwrap_or_default());
        self.disk
            .rename(&from, &to)
            .map_err(doing("setting aside", &from))?;
        for dir in [dir, &self.layout.segments] {
            self.disk
                .sync_dir(dir)
                .map_err(doing("syncing the directory", dir))?;
        }
        self.report.set_aside = Some(to);
        Ok(())
    }

    /// Writes again, and syncs, what nothing proves to be durable. A sync alone would not do: after
    /// one that failed the system may take unwritten bytes for written ones.
    fn secure(&mut self, segment: &Segment) -> Result<(), StorageError> {
        let path = &segment.path;
        let dir = &self.layout.segments;
        self.disk
            .sync_dir(dir)
            .map_err(doing("syncing the directory", dir))?;
        if self.seq > self.durable || self.seq < segment.header.seq {
            let mut offset = self.first_unproven(segment);
            let mut buffer = vec![0; COPIED];
            while offset < segment.valid() {
                let left = usize::try_from(segment.valid() - offset).unwrap_or(COPIED);
                let chunk = buffer.get_mut(..left.min(COPIED)).unwrap_or_default();
                let count = segment.read(chunk, offset)?;
                let chunk = chunk.get(..count).filter(|chunk| !chunk.is_empty());
                let chunk =
                    chunk.ok_or_else(|| segment.corrupt(offset, "the file became shorter"))?;
                segment
                    .file
                    .write_all_at(chunk, offset)
                    .map_err(doing("writing again", path))?;
                offset += count as u64;
                self.report.secured_bytes += count as u64;
            }
        }
        segment.file.sync_data().map_err(doing("syncing", path))
    }

    fn first_unproven(&self, segment: &Segment) -> u64 {
        let id = segment.header.id;
        let mark = self.view.mark_at_seq(self.durable);
        mark.filter(|mark| mark.segment == id)
            .map_or(0, |mark| mark.offset)
    }
}

type Opened = (Vec<Arc<Segment>>, Option<String>);

/// Opens all segments; the newest may lack a valid header if it can have no batch.
fn open_segments(disk: &dyn Disk, layout: &Layout) -> Result<Opened, StorageError> {
    let dir = &layout.segments;
    let names = disk.list(dir).map_err(doing("listing", dir))?;
    let mut ids: Vec<u64> = names
        .iter()
        .filter_map(|name| segment::id_of(name))
        .collect();
    ids.sort_unstable();
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for (expected, &id) in (1..).zip(&ids) {
        if id != expected {
            let missing = dir.join(segment::file_name(expected));
            return Err(corrupt(&missing, "the segment is missing"));
        }
        match open_segment(disk, layout, id)? {
            Ok(segment) => segments.push(Arc::new(segment)),
            Err(Empty) if ids.last() == Some(&id) => {
                return Ok((segments, Some(segment::file_name(id))));
            }
            Err(Empty) => {
                let path = dir.join(segment::file_name(id));
                return Err(corrupt(&path, "the segment's header is invalid"));
            }
        }
        check_store(&segments)?;
    }
    Ok((segments, None))
}

/// A segment that is too short to hold a batch and has no valid header.
struct Empty;

fn open_segment(
    disk: &dyn Disk,
    layout: &Layout,
    id: u64,
) -> Result<Result<Segment, Empty>, StorageError> {
    let path = layout.segments.join(segment::file_name(id));
    let file = disk.open(&path, false).map_err(doing("opening", &path))?;
    let mut bytes = [0; segment::HEADER];
    let count = file
        .read_at(&mut bytes, 0)
        .map_err(doing("reading", &path))?;
    let size = file.size().map_err(doing("reading", &path))?;
    match SegmentHeader::decode(bytes.get(..count).unwrap_or_default()) {
        ReadHeader::Valid(header) if header.id == id => {
            Ok(Ok(Segment::new(path, header, file, segment::HEADER as u64)))
        }
        ReadHeader::Valid(_) => Err(corrupt(&path, "the file is another segment, renamed")),
        ReadHeader::Version(found) => Err(StorageError::Format {
            file: path,
            found,
            supported: segment::VERSION,
        }),
        ReadHeader::Invalid if size <= segment::HEADER as u64 => Ok(Err(Empty)),
        ReadHeader::Invalid => Err(corrupt(&path, "the segment's header is invalid")),
    }
}

fn check_store(segments: &[Arc<Segment>]) -> Result<(), StorageError> {
    match (segments.first(), segments.last()) {
        (Some(first), Some(last)) if first.header.store != last.header.store => {
            Err(last.corrupt(0, "the segment belongs to another store"))
        }
        _ => Ok(()),
    }
}

fn new_store_id(disk: &dyn Disk) -> StoreId {
    let (high, low) = (disk.entropy(), disk.entropy());
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

fn corrupt(file: &std::path::Path, reason: &'static str) -> StorageError {
    StorageError::Corrupt {
        file: file.to_owned(),
        offset: 0,
        reason,
    }
}
