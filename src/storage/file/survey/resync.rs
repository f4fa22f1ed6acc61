//! Finding what follows damage within a segment.

use std::sync::Arc;

use super::{Part, Point, parts, patience::PatientFile};
use crate::storage::{
    StorageError,
    file::{
        checksum::Seed,
        directory::Directory,
        disk::DiskFile,
        failure::doing,
        frame::{self, BatchHeader},
        scan::Scan,
        segment::{Segment, SegmentHeader},
        window::Window,
    },
};

/// How much is searched at a time.
const SEARCHED: usize = 64 * 1024;

/// The fewest bytes that a record takes.
pub(super) const LEAST_RECORD: u64 = 20;

/// A segment that is gone through, and what is needed to look at it anew.
pub(super) struct Stretch {
    pub(super) scan: Scan,
    pub(super) file: Arc<PatientFile>,
    segment: Arc<Segment>,
    store: Seed,
    pub(super) limit: u64,
    /// The most positions that so many damaged bytes have.
    most: Most,
}

/// How many positions bytes of a segment may have.
#[derive(Clone, Copy)]
enum Most {
    /// One in [`LEAST_RECORD`].
    ByBytes,
    /// All before this one: what was dropped takes no bytes.
    Before(u64),
}

impl Stretch {
    /// Begins at the first batch.
    pub(super) fn open(
        dir: &Directory,
        part: &Part,
        header: SegmentHeader,
        next: Option<Point>,
    ) -> Result<Self, StorageError> {
        let doing = |what| doing(what, &part.path);
        let file = parts::open(dir, &part.path).map_err(doing("opening"))?;
        let size = file.size().map_err(doing("reading"))?;
        let limit = part.seal.map_or(size, |seal| seal.len.min(size));
        let path = part.path.clone();
        let segment = Arc::new(Segment::new(&dir.disk, path, header, None, limit));
        let store = Seed::of(&header.store);
        let scan = Scan::new(window(&segment, &file), store, limit);
        let before = next.filter(|_| part.is_rewritten).map(|next| Most::Before(next.position));
        let most = before.unwrap_or(Most::ByBytes);
        Ok(Self { scan, file, segment, store, limit, most })
    }

    /// The same place, read anew: the owner may have written there meanwhile.
    pub(super) fn look_again(&mut self) {
        let scan = Scan::new(window(&self.segment, &self.file), self.store, self.limit);
        let before = std::mem::replace(&mut self.scan, scan);
        self.go_to(before.offset, Point { seq: before.seq, position: before.position }, before.crc);
    }

    pub(super) fn here(&self) -> Point {
        Point { seq: self.scan.seq, position: self.scan.position }
    }

    fn go_to(&mut self, offset: u64, at: Point, crc: u32) {
        self.scan.offset = offset;
        self.scan.seq = at.seq;
        self.scan.position = at.position;
        self.scan.crc = crc;
    }

    /// Goes on behind what is damaged here. `None`: nothing follows in this segment.
    pub(super) fn resync(&mut self) -> Result<Option<()>, StorageError> {
        let (offset, at, crc) = (self.scan.offset, self.here(), self.scan.crc);
        let mut window = window(&self.segment, &self.file);
        let bytes = window.get(offset, frame::HEADER, self.limit)?;
        if let Some(header) = BatchHeader::read(bytes, self.segment.seed)
            && (header.seq, header.position, header.previous) == (at.seq, at.position, crc)
        {
            // The header says what was lost with the body.
            let after = Point { seq: at.seq.saturating_add(1), position: header.end_position() };
            let end = (offset + header.frame() as u64).min(self.limit);
            self.go_to(end, after, header.crc);
            return Ok(Some(()));
        }
        let Some((found, header)) = self.search(&mut window)? else { return Ok(None) };
        self.go_to(found, Point { seq: header.seq, position: header.position }, header.previous);
        Ok(Some(()))
    }

    /// The next batch of this segment that may follow.
    fn search(&self, window: &mut Window) -> Result<Option<(u64, BatchHeader)>, StorageError> {
        let seed = self.segment.seed;
        let mut from = self.scan.offset;
        while from < self.limit {
            let bytes = window.get(from, SEARCHED, self.limit)?;
            let starts = bytes.windows(frame::HEADER).enumerate().step_by(frame::ALIGNMENT);
            let headers = starts.filter_map(|(at, bytes)| {
                Some((from + at as u64, BatchHeader::read(bytes, seed)?))
            });
            let mut fitting = headers.filter(|(at, header)| self.may_follow(*at, header));
            if let Some(found) = fitting.next() {
                return Ok(Some(found));
            }
            from += (SEARCHED - frame::HEADER).next_multiple_of(frame::ALIGNMENT) as u64;
        }
        Ok(None)
    }

    /// Whether what is missing has room before it.
    fn may_follow(&self, offset: u64, header: &BatchHeader) -> bool {
        let bytes = offset - self.scan.offset;
        let here = self.here();
        let (seqs, positions) =
            (header.seq.checked_sub(here.seq), header.position.checked_sub(here.position));
        seqs.is_some_and(|seqs| seqs > 0 && seqs <= bytes / frame::HEADER as u64)
            && positions.is_some_and(|positions| match self.most {
                Most::ByBytes => positions <= bytes / LEAST_RECORD,
                Most::Before(end) => header.end_position() <= end,
            })
    }
}

fn window(segment: &Arc<Segment>, file: &Arc<PatientFile>) -> Window {
    let file: Arc<dyn DiskFile> = Arc::clone(file) as _;
    Window::new(Arc::clone(segment), file)
}
