//! Making what was found durable, and the store ready for the next commit.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Recovered, look::Look, replay::Replayed};
use crate::storage::{
    StorageError,
    file::{
        directory::Directory,
        disk::{DiskFile, DiskLock},
        failure::doing,
        log::{Active, Log, Usable},
        manifest::{Phase, Seal},
        next::Next,
        planted::Mistake,
        segment::{self, Segment},
    },
};

/// How much is copied at a time.
const COPIED: usize = 256 * 1024;

pub(super) fn settle(
    dir: &Directory,
    look: Look,
    mut replayed: Replayed,
    held: Box<dyn DiskLock>,
    segment_bytes: u64,
) -> Result<Recovered, StorageError> {
    let moves = !look.unknown.is_empty() || !look.dropped.is_empty();
    if moves && !dir.makes(Mistake::RemoveTooSoon) {
        // A power loss could bring back the manifest before this one, and that one may name them.
        dir.sync(&dir.root)?;
    }
    for path in &look.unknown {
        replayed.report.set_aside.push(dir.set_aside(path)?);
    }
    let mut manifest = look.manifest;
    for path in &look.dropped {
        dir.remove(path)?;
    }
    manifest.dropped_runs.clear();
    manifest.epoch += 1;
    if let Phase::Copied(_) = manifest.phase {
        manifest.timeline = dir.disk.entropy();
    }
    manifest.phase = Phase::Open;
    let Some(segment) = replayed.view.segments.last().cloned() else {
        let reason = "the manifest names no segment";
        return Err(StorageError::Corrupt { file: dir.manifest.clone(), offset: 0, reason });
    };
    let active = open(dir, &segment, look.active_size)?;
    keep_debris(dir, &segment, &*active.file, &mut replayed)?;
    secure(dir, &segment, &*active.file, &mut replayed)?;
    let mut log = Log {
        usable: Usable::Open,
        manifest,
        active,
        seq: replayed.seq,
        end: replayed.view.end,
        durable: replayed.seq,
        crc: replayed.crc,
        vouched: true,
        segment_bytes,
        next: Arc::new(Mutex::new(Next::new(segment.header.id + 1))),
        lock: Some(held),
    };
    if replayed.report.reason.is_some() && !dir.makes(Mistake::AppendAfterDebris) {
        let seal = Seal { len: segment.valid(), crc: log.crc };
        log.begin(dir, segment.header.id + 1, seal, 0)?;
        replayed.view.segments.push(Arc::clone(&log.active.segment));
        replayed.report.segments += 1;
    } else {
        let mut next = log.manifest.clone();
        next.durable = log.seq;
        if dir.makes(Mistake::CloseInAdvance) {
            next.phase = Phase::Closed(log.log_end());
        }
        log.replace_manifest(dir, next)?;
    }
    Ok(Recovered { view: replayed.view, log, report: replayed.report })
}

fn open(dir: &Directory, segment: &Arc<Segment>, size: u64) -> Result<Active, StorageError> {
    let file = dir.disk.open(&segment.path, false);
    let file = file.map_err(doing("opening", &segment.path))?;
    Ok(Active { segment: Arc::clone(segment), file, prepared: size })
}

/// Copies what will be discarded to the quarantine, durably.
fn keep_debris(
    dir: &Directory,
    segment: &Segment,
    file: &dyn DiskFile,
    replayed: &mut Replayed,
) -> Result<(), StorageError> {
    let (start, end) = (segment.valid(), replayed.debris_end);
    if start >= end {
        return Ok(());
    }
    let quarantine = &dir.quarantine;
    dir.disk.create_dir_all(quarantine).map_err(doing("creating", quarantine))?;
    let name = format!("{}.{start}.debris", segment::file_name(segment.header.id));
    let path = quarantine.join(name);
    dir.remove(&path)?; // an earlier attempt at the same
    let copy = dir.disk.open(&path, true).map_err(doing("creating", &path))?;
    each_chunk(segment, file, start, end, |chunk, offset| {
        copy.write_all_at(chunk, offset - start).map_err(doing("writing", &path))
    })?;
    copy.sync_data().map_err(doing("syncing", &path))?;
    dir.sync(quarantine)?;
    replayed.report.set_aside.push(path);
    Ok(())
}

/// Writes again, and syncs, what nothing proves to be durable. A sync alone would not do: after one
/// that failed the system may take unwritten bytes for written ones.
fn secure(
    dir: &Directory,
    segment: &Segment,
    file: &dyn DiskFile,
    replayed: &mut Replayed,
) -> Result<(), StorageError> {
    if replayed.seq <= replayed.durable || dir.makes(Mistake::ExposeUnproven) {
        return Ok(());
    }
    let start = segment.mark_at_seq(replayed.durable + 1).offset;
    let path = &segment.path;
    each_chunk(segment, file, start, segment.valid(), |chunk, offset| {
        file.write_all_at(chunk, offset).map_err(doing("writing again", path))
    })?;
    replayed.report.secured_bytes = segment.valid() - start;
    file.sync_data().map_err(doing("syncing", path))
}

fn each_chunk(
    segment: &Segment,
    file: &dyn DiskFile,
    start: u64,
    end: u64,
    mut each: impl FnMut(&[u8], u64) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut buffer = vec![0; COPIED];
    let mut offset = start;
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(COPIED).min(COPIED);
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        let count = file.read_at(chunk, offset).map_err(doing("reading", &segment.path))?;
        if count == 0 {
            return Err(segment.corrupt(offset, "the file became shorter"));
        }
        each(chunk.get(..count).unwrap_or_default(), offset)?;
        offset += count as u64;
    }
    Ok(())
}
