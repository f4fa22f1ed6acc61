//! The log from its first batch to its last, with the gaps between.

use std::{ops::Range, path::Path};

use super::{
    Batch, Gap, Part, Point, Survey,
    resync::{LEAST_RECORD, Stretch},
};
use crate::storage::{
    StorageError,
    file::{
        FileStorage,
        directory::Directory,
        next,
        scan::Found,
        segment::{self, SegmentHeader},
    },
};

/// A part of the log.
pub(in crate::storage::file) enum Piece<'a> {
    Batch(Batch<'a>),
    Gap(Gap),
}

/// Where the log begins and ends.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage::file) struct End {
    pub(in crate::storage::file) first: Point,
    /// Behind everything, lost or not.
    pub(in crate::storage::file) end: Point,
}

type Each<'a> = &'a mut dyn FnMut(Piece<'_>) -> Result<(), StorageError>;

/// Goes through all that can be read of the log, in order.
pub(in crate::storage::file) fn follow(
    dir: &Directory,
    survey: &Survey,
    each: Each<'_>,
) -> Result<End, StorageError> {
    let first = survey.parts.iter().find_map(|part| part.start);
    let first = first.unwrap_or(Point { seq: 1, position: 1 });
    let durable = survey.manifest.as_ref().map_or(0, |manifest| manifest.durable);
    let durable = durable.max(survey.closed().map_or(0, |end| end.seq));
    let mut trail = Trail { dir, survey, each, at: first, durable, done: 0 };
    for (number, part) in survey.parts.iter().enumerate() {
        let next = survey.parts.iter().skip(number + 1).find_map(|part| part.start);
        trail.part(part, next)?;
        trail.done += part.size;
    }
    Ok(End { first, end: trail.at })
}

struct Trail<'a> {
    dir: &'a Directory,
    survey: &'a Survey,
    each: Each<'a>,
    /// What comes next.
    at: Point,
    /// The highest seq that anything says is durable.
    durable: u64,
    /// The length of the files that were gone through.
    done: u64,
}

/// Why and where a segment is over.
struct Stop {
    offset: u64,
    /// The CRC of the last batch's header.
    crc: Option<u32>,
    reason: Option<&'static str>,
    /// Where the last byte is that is not zero.
    debris_end: u64,
    /// Where the file ends, or was to end.
    limit: u64,
}

impl Trail<'_> {
    fn part(&mut self, part: &Part, next: Option<Point>) -> Result<(), StorageError> {
        self.catch_up(part)?;
        let stop = match part.header {
            Some(header) => self.segment(part, header, next)?,
            None => Stop {
                offset: (segment::HEADER as u64).min(part.size),
                crc: None,
                reason: Some("nothing can be read of the segment"),
                debris_end: part.size,
                limit: part.seal.map_or(self.likely_size(part), |seal| seal.len),
            },
        };
        match next {
            Some(next) => self.reach(part, &stop, next),
            None => self.finish(part, &stop),
        }
    }

    /// Gets to the start of a segment: what lies before it in the log, and in no file, is lost.
    fn catch_up(&mut self, part: &Part) -> Result<(), StorageError> {
        let Some(start) = part.start else { return Ok(()) };
        if start.seq < self.at.seq || start.position < self.at.position {
            self.gap(Gap::of_file(&part.path, "it begins before the segment before it ends"))?;
        } else if start != self.at {
            let gap = self.lost(&part.path, 0..0, "what comes before it is missing", start);
            self.gap(gap)?;
        }
        self.at = start;
        Ok(())
    }

    /// Goes through a segment, past what is damaged.
    fn segment(
        &mut self,
        part: &Part,
        header: SegmentHeader,
        next: Option<Point>,
    ) -> Result<Stop, StorageError> {
        let is_last = next.is_none();
        let mut stretch = Stretch::open(self.dir, part, header, next)?;
        let (mut looked_at, mut resumed) = (None, false);
        loop {
            let reason = self.batches(part, &mut stretch)?;
            let offset = stretch.scan.offset;
            let suspicious = reason.is_some() || stretch.scan.seq <= self.durable;
            if is_last && suspicious && looked_at != Some(offset) {
                // Before the second look: what was written later says that this was written.
                if !resumed && reason.is_some() {
                    self.durable = self.durable.max(stretch.scan.later_durable()?);
                }
                looked_at = Some(offset);
                stretch.look_again();
                continue;
            }
            let is_torn = is_last && stretch.scan.seq > self.durable;
            if let Some(reason) = reason.filter(|_| !is_torn)
                && stretch.resync()?.is_some()
            {
                let bytes = offset..stretch.scan.offset;
                let reason = why(&stretch, &bytes, reason);
                let gap = self.lost(&part.path, bytes, reason, stretch.here());
                self.gap(gap)?;
                self.at = stretch.here();
                resumed = true;
                continue;
            }
            let debris_end = stretch.scan.end_of_debris()?;
            let reason = reason.map(|reason| why(&stretch, &(offset..debris_end), reason));
            let limit = part.seal.map_or(header.size.max(stretch.limit), |seal| seal.len);
            let crc = Some(stretch.scan.crc);
            return Ok(Stop { offset, crc, reason, debris_end, limit });
        }
    }

    /// Shows batches until there is none. Returns what is wrong there, if anything is.
    fn batches(
        &mut self,
        part: &Part,
        stretch: &mut Stretch,
    ) -> Result<Option<&'static str>, StorageError> {
        loop {
            let (file, before) = (&*part.path, self.done);
            match stretch.scan.next()? {
                Found::End => return Ok(None),
                Found::Invalid(reason) => return Ok(Some(reason)),
                Found::Batch { header, offset, records, writes } => {
                    self.durable = self.durable.max(header.durable);
                    let after = Point {
                        seq: header.seq.saturating_add(1),
                        position: header.end_position(),
                    };
                    let done = before + offset + header.frame() as u64;
                    let batch = Batch { file, offset, header, records, writes, done };
                    (self.each)(Piece::Batch(batch))?;
                    self.at = after;
                }
            }
        }
    }

    /// The end of a segment that others follow: it must reach to the next one.
    fn reach(&mut self, part: &Part, stop: &Stop, next: Point) -> Result<(), StorageError> {
        if part.is_rewritten && self.at.position == next.position && stop.reason.is_none() {
            self.at = next; // its batches are others, and fewer
        }
        let is_as_sealed = part.seal.is_none_or(|seal| {
            stop.crc.is_none() || (Some(seal.crc), seal.len) == (stop.crc, stop.offset)
        });
        if self.at == next && !is_as_sealed {
            return self.gap(Gap::of_file(&part.path, "it does not end as it was sealed"));
        }
        if self.at == next || self.at.seq > next.seq || self.at.position > next.position {
            return Ok(()); // the next one says what is wrong, if anything is
        }
        let reason = stop.reason.unwrap_or("the segment ends too early");
        let gap = self.lost(&part.path, stop.offset..stop.limit.max(stop.offset), reason, next);
        self.gap(gap)?;
        self.at = next;
        Ok(())
    }

    /// The end of the log.
    fn finish(&mut self, part: &Part, stop: &Stop) -> Result<(), StorageError> {
        if self.at.seq <= self.durable || part.header.is_none() {
            return self.lose_the_end(part, stop);
        }
        let Some(end) = self.survey.closed() else {
            let Some(reason) = stop.reason else { return Ok(()) };
            let bytes = stop.offset..stop.debris_end;
            let torn = Gap { acknowledged: false, ..Gap::of_file(&part.path, reason) };
            return self.gap(torn.at(bytes));
        };
        let at = (stop.offset, stop.crc, self.at.seq);
        if stop.reason.is_some() || at != (end.len, Some(end.crc), end.seq.saturating_add(1)) {
            let reason = stop.reason.unwrap_or("the log does not end where it was closed");
            self.gap(Gap::of_file(&part.path, reason).at(stop.offset..stop.debris_end))?;
        }
        Ok(())
    }

    /// Nobody knows how many records there were: as many as there was room for.
    fn lose_the_end(&mut self, part: &Part, stop: &Stop) -> Result<(), StorageError> {
        let end = match self.survey.closed() {
            Some(closed) => closed.len,
            None if stop.debris_end > stop.offset => stop.debris_end,
            None => stop.limit,
        };
        let bytes = stop.offset..end.max(stop.offset);
        let most = (bytes.end - bytes.start) / LEAST_RECORD;
        let seq = self.at.seq.max(self.durable.saturating_add(1));
        let after = Point { seq, position: self.at.position.saturating_add(most) };
        let reason = stop.reason.unwrap_or("commits that were durable are missing");
        let gap = Gap { exact: false, ..self.lost(&part.path, bytes, reason, after) };
        self.gap(gap)?;
        self.at = after;
        Ok(())
    }

    /// How long a file was that is not there.
    fn likely_size(&self, part: &Part) -> u64 {
        let longest = self.survey.parts.iter().map(|part| part.size).max().unwrap_or(0);
        longest.max(next::size_of(part.id, FileStorage::DEFAULT_SEGMENT))
    }

    /// What is lost from here on.
    fn lost(&self, path: &Path, bytes: Range<u64>, reason: &'static str, after: Point) -> Gap {
        let (positions, seqs) = (self.at.position..after.position, self.at.seq..after.seq);
        Gap { positions, seqs, ..Gap::of_file(path, reason).at(bytes) }
    }

    fn gap(&mut self, gap: Gap) -> Result<(), StorageError> {
        (self.each)(Piece::Gap(gap))
    }
}

fn why(stretch: &Stretch, bytes: &Range<u64>, reason: &'static str) -> &'static str {
    if stretch.file.failed_in(bytes) { "the disk cannot read it" } else { reason }
}
