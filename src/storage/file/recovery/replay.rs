//! Going through what no file of the state contains, and judging where the log ends.

use std::sync::Arc;

use super::look::Look;
use crate::storage::{
    StorageError,
    file::{
        body,
        directory::Directory,
        manifest::Phase,
        planted::Mistake,
        report::RecoveryReport,
        scan::{Found, Leniency, Scan},
        segment::Segment,
        state::State,
        view::View,
        window::Window,
    },
};

/// What the log says, up to its end.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) view: View,
    /// The seq of the last batch.
    pub(super) seq: u64,
    /// The CRC of its header.
    pub(super) crc: u32,
    /// The highest seq known to be durable.
    pub(super) durable: u64,
    /// Where debris of the last segment ends; no debris if it is where the valid bytes end.
    pub(super) debris_end: u64,
    pub(super) report: RecoveryReport,
}

pub(super) fn replay(dir: &Directory, look: &Look) -> Result<Replayed, StorageError> {
    let manifest = &look.manifest;
    if let Some(first) =
        look.segments.first().filter(|first| first.header.seq > manifest.state_seq + 1)
    {
        let reason = "what earlier commits wrote to the state is in no file";
        return Err(first.corrupt(0, reason));
    }
    let state = State::new(look.runs.clone());
    let mut replayed = Replayed {
        view: View::new(look.segments.clone(), state),
        seq: 0,
        crc: 0,
        durable: manifest.durable,
        debris_end: 0,
        report: RecoveryReport {
            segments: look.segments.len() as u64,
            closed: !matches!(manifest.phase, Phase::Open),
            ..RecoveryReport::default()
        },
    };
    replayed.view.end = replayed.view.first();
    for (at, segment) in look.segments.iter().enumerate() {
        let next = look.segments.get(at + 1);
        match next {
            // What it wrote is in the files of the state.
            Some(next) if next.header.seq <= manifest.state_seq + 1 => {
                replayed.seq = next.header.seq - 1;
                replayed.crc = next.header.previous_crc;
                replayed.view.end = next.header.position;
            }
            Some(next) => replayed.sealed(dir, look, segment, next)?,
            None => replayed.active(dir, look, segment)?,
        }
    }
    Ok(replayed)
}

/// Applies the batches of a segment to the view, from the first one on. Returns why it ended.
pub(in crate::storage::file) fn replay_segment(
    scan: &mut Scan,
    mut each: impl FnMut(&super::super::frame::BatchHeader, u64, &[u8]) -> Result<(), StorageError>,
) -> Result<Option<&'static str>, StorageError> {
    loop {
        match scan.next()? {
            Found::End => return Ok(None),
            Found::Invalid(reason) => return Ok(Some(reason)),
            Found::Batch { header, offset, writes, .. } => each(&header, offset, writes)?,
        }
    }
}

impl Replayed {
    fn sealed(
        &mut self,
        dir: &Directory,
        look: &Look,
        segment: &Arc<Segment>,
        next: &Segment,
    ) -> Result<(), StorageError> {
        let limit = next.header.previous_len;
        let (scan, reason) = self.scan(dir, look, segment, limit)?;
        let header = &next.header;
        let whole = (scan.seq, scan.position, scan.crc)
            == (header.seq, header.position, header.previous_crc);
        if reason.is_some() || scan.offset != limit || !whole {
            let reason = reason.unwrap_or("the segment ends too early");
            return Err(segment.corrupt(scan.offset, reason));
        }
        Ok(())
    }

    fn active(
        &mut self,
        dir: &Directory,
        look: &Look,
        segment: &Arc<Segment>,
    ) -> Result<(), StorageError> {
        let (mut scan, reason) = self.scan(dir, look, segment, look.active_size)?;
        segment.set_valid(scan.offset);
        self.debris_end = scan.offset;
        if reason.is_some() {
            self.durable = self.durable.max(scan.later_durable()?);
            self.debris_end = scan.end_of_debris()?;
        }
        if self.seq < self.durable && !dir.makes(Mistake::AlwaysDebris) {
            let reason = reason.unwrap_or("commits that were durable are missing");
            return Err(segment.corrupt(scan.offset, reason));
        }
        if let Phase::Closed(end) | Phase::Copied(end) = look.manifest.phase
            && (reason.is_some()
                || (end.len, end.seq, end.crc) != (scan.offset, self.seq, self.crc))
        {
            let reason = reason.unwrap_or("the log does not end where it was closed");
            return Err(segment.corrupt(scan.offset, reason));
        }
        self.report.discarded_bytes = self.debris_end - scan.offset;
        self.report.reason = reason;
        Ok(())
    }

    fn scan(
        &mut self,
        dir: &Directory,
        look: &Look,
        segment: &Arc<Segment>,
        limit: u64,
    ) -> Result<(Scan, Option<&'static str>), StorageError> {
        let gone = || segment.corrupt(0, "the segment is missing");
        let file = segment.file()?.ok_or_else(gone)?;
        let window = Window::new(Arc::clone(segment), file);
        let mut scan = Scan::new(window, look.manifest.seed(), limit);
        scan.leniency = Leniency {
            bodies: dir.makes(Mistake::TrustHeaders),
            order: dir.makes(Mistake::IgnoreOrder),
        };
        let (state_seq, view) = (look.manifest.state_seq, &mut self.view);
        let (report, durable) = (&mut self.report, &mut self.durable);
        let reason = replay_segment(&mut scan, |header, offset, writes| {
            if header.seq > state_seq {
                body::each_write(writes, |write| view.state.apply([write]))
                    .ok_or_else(|| segment.corrupt(offset, "a batch's writes are invalid"))?;
            }
            *durable = header.durable.max(*durable);
            report.batches += 1;
            report.records += u64::from(header.records);
            view.note(segment, offset, header);
            Ok(())
        })?;
        self.seq = scan.seq - 1;
        self.crc = scan.crc;
        Ok((scan, reason))
    }
}
