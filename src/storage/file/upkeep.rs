//! What is done beside commits: files prepared, state written to files, old files removed.

use std::sync::{Arc, atomic::Ordering};

use super::{
    FileStorage,
    directory::Directory,
    log::Log,
    manifest::Manifest,
    next::{Next, size_of},
    planted::Mistake,
    state::{Checkpoint, Run},
    view::View,
};
use crate::storage::{StorageError, Upkeep};

/// How much memory the state takes before it is written to a file, in bytes.
pub(super) const STATE_BYTES: usize = 16 * 1024 * 1024;

/// Where upkeep has got to. One at a time.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// The seq whose writes a checkpoint contains that has begun.
    frozen: u64,
    /// Segments before this id have been through a compaction.
    pub(super) compacted: u64,
}

impl FileStorage {
    /// Does a little of everything that is to be done.
    pub(super) fn keep_up(&self) -> Result<Upkeep, StorageError> {
        let mut keeper = self.keeper.lock();
        self.log.lock().check_usable()?;
        // What fails must not keep the rest from being done.
        let done = [self.prepare_segment(), self.checkpoint_if_due(&mut keeper), self.index_one()];
        let (mut more, mut failure) = (false, None);
        for done in done {
            match done {
                Ok(did) => more |= did,
                Err(error) => failure = Some(graver(failure, error)),
            }
        }
        match failure {
            Some(error) => Err(error),
            None if more => Ok(Upkeep::More),
            None => self.vouch(),
        }
    }

    /// Makes the file of the next segment, once half of the active one is used.
    fn prepare_segment(&self) -> Result<bool, StorageError> {
        let mut next = self.next.lock();
        if !self.is_spare_due(&next, &*self.check_open()?) {
            return Ok(false);
        }
        let size = size_of(next.id, self.segment_bytes);
        next.spare = Some(next.create(&self.dir, size)?);
        Ok(true)
    }

    fn checkpoint_if_due(&self, keeper: &mut Keeper) -> Result<bool, StorageError> {
        if !self.is_checkpoint_due(&self.view.read()) {
            return Ok(false);
        }
        self.checkpoint(keeper)?;
        Ok(true)
    }

    /// Sees to it that the files of the state contain the writes of all batches up to a seq.
    pub(super) fn cover(&self, keeper: &mut Keeper, seq: u64) -> Result<(), StorageError> {
        // The first checkpoint may go on with what was frozen long ago.
        while self.covered.load(Ordering::Acquire) < seq {
            self.checkpoint(keeper)?;
        }
        Ok(())
    }

    /// Writes the state to files, so that a start need not gather it from the log.
    pub(super) fn checkpoint(&self, keeper: &mut Keeper) -> Result<(), StorageError> {
        if self.dir.makes(Mistake::CloseUnsynced) {
            return Ok(()); // it syncs as well
        }
        let (checkpoint, id) = {
            let mut log = self.log.lock();
            log.check_usable()?;
            if !self.dir.makes(Mistake::RunAheadOfLog) {
                log.step(|log| log.sync(&self.dir))?;
            }
            let mut view = self.view.write();
            if view.state.freeze() {
                keeper.frozen = log.seq;
            }
            (view.state.checkpoint(), log.manifest.next_run)
        };
        let run = self.write_run(&checkpoint, id)?;
        let mut log = self.log.lock();
        log.check_usable()?;
        if self.dir.makes(Mistake::CheckpointTooMuch) {
            keeper.frozen = log.seq;
        }
        if self.dir.makes(Mistake::RemoveRunsFirst) {
            remove_runs(&self.dir, &checkpoint);
        }
        let next = manifest_with(&log, keeper.frozen, &checkpoint, run.as_ref());
        log.replace_manifest(&self.dir, next)?;
        self.view.write().state.thaw(checkpoint.with(run.map(Arc::new)));
        self.covered.store(keeper.frozen, Ordering::Release);
        drop(log);
        remove_runs(&self.dir, &checkpoint);
        Ok(())
    }

    fn write_run(&self, checkpoint: &Checkpoint, id: u64) -> Result<Option<Run>, StorageError> {
        if checkpoint.is_empty() {
            return Ok(None);
        }
        let entry = checkpoint.write(&self.dir, &self.store, id)?;
        if !self.dir.makes(Mistake::RunNameUnsynced) {
            self.dir.sync(&self.dir.state)?;
        }
        Run::open(&*self.dir.disk, self.dir.run(id), &self.store, entry).map(Some)
    }

    /// Makes the index of a sealed segment that has none.
    fn index_one(&self) -> Result<bool, StorageError> {
        if let Some(id) = self.indexes.take_damaged() {
            let segment = self.view.read().segment(id).cloned();
            if let Some(segment) = segment
                && let Err(error) = self.indexes.make(&segment, true)
            {
                tracing::error!(%error, "an index could not be made again");
            }
            return Ok(true);
        }
        let next = {
            let view = self.check_open()?;
            let sealed = view.segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
            let indexed = self.indexed.load(Ordering::Acquire);
            sealed.iter().find(|segment| segment.header.id > indexed).cloned()
        };
        let Some(segment) = next else {
            let last = self.view.read().segments.last().map_or(1, |segment| segment.header.id);
            self.indexed.store(last - 1, Ordering::Release);
            return Ok(false);
        };
        let made = self.indexes.make(&segment, false);
        if let Err(error @ StorageError::Corrupt { .. }) = &made {
            tracing::error!(%error, "a segment is damaged, and gets no index");
        } else {
            made?;
        }
        self.indexed.store(segment.header.id, Ordering::Release);
        Ok(true)
    }

    fn vouch(&self) -> Result<Upkeep, StorageError> {
        let mut log = self.log.lock();
        log.check_usable()?;
        let offset = log.active.segment.valid();
        if let Some(header) = log.vouch(&self.dir)? {
            let mut view = self.view.write();
            log.active.segment.set_valid(offset + header.frame() as u64);
            view.note(&log.active.segment, offset, &header);
        }
        Ok(Upkeep::Done)
    }

    /// Whether there is something to do that cannot wait for a quiet moment.
    pub(super) fn is_behind(&self) -> bool {
        let next = self.next.try_lock(); // whoever has it is at it
        let view = self.view.read();
        let last = view.segments.last().map_or(1, |segment| segment.header.id);
        self.indexed.load(Ordering::Acquire) + 1 < last
            || next.is_some_and(|next| self.is_spare_due(&next, &view))
            || self.is_checkpoint_due(&view)
    }

    /// Whether half of the active segment is used, and no file is ready for the next one.
    fn is_spare_due(&self, next: &Next, view: &View) -> bool {
        let half = size_of(next.id - 1, self.segment_bytes) / 2;
        next.spare.is_none() && view.active_bytes() >= half
    }

    fn is_checkpoint_due(&self, view: &View) -> bool {
        let covered = self.covered.load(Ordering::Acquire);
        let active = view.segments.last().map_or(0, |segment| segment.header.seq);
        view.state.is_frozen() || view.state.bytes() > self.state_bytes || active > covered + 1
    }
}

/// Of two failures the one after which nothing more is written, if either is that.
fn graver(one: Option<StorageError>, other: StorageError) -> StorageError {
    match one {
        Some(one) if !matches!(other, StorageError::Indeterminate { .. }) => one,
        _ => other,
    }
}

fn manifest_with(log: &Log, seq: u64, checkpoint: &Checkpoint, run: Option<&Run>) -> Manifest {
    let mut next = log.manifest.clone();
    next.durable = log.durable;
    next.state_seq = seq;
    if let Some(run) = run {
        next.next_run += 1;
        let replaced: Vec<u64> = checkpoint.replaced().map(|run| run.entry.id).collect();
        next.runs.retain(|run| !replaced.contains(&run.id));
        next.runs.insert(0, run.entry);
        next.dropped_runs = replaced;
    }
    next
}

/// Removes files that the manifest no longer names. What is left behind goes at the next start.
fn remove_runs(dir: &Directory, checkpoint: &Checkpoint) {
    for run in checkpoint.replaced() {
        dir.discard(&dir.run(run.entry.id));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        event::Durability,
        storage::{
            Commit, Storage, Write,
            file::disk::{Fault, MemoryDisk},
        },
    };

    fn large() -> Commit {
        let writes = vec![Write::put("key", vec![7; 600])];
        Commit { writes, durability: Durability::Synced, ..Commit::default() }
    }

    /// A store whose next commit begins a segment, for which no file is ready.
    fn about_to_roll() -> (MemoryDisk, FileStorage) {
        let disk = MemoryDisk::new();
        let storage = FileStorage::builder("/data").disk(disk.clone()).segment_bytes(1024);
        let storage = storage.open().unwrap();
        storage.commit(large()).unwrap();
        (disk, storage)
    }

    #[test]
    fn a_file_for_a_segment_that_may_have_begun_is_not_made_while_its_commit_fails() {
        let mut doubts = 0;
        for call in 1.. {
            let (disk, storage) = about_to_roll();
            disk.fail(Fault::at(call).once());
            match storage.commit(large()) {
                Ok(_) => break,
                Err(StorageError::Indeterminate { .. }) => {
                    doubts += 1;
                    // Upkeep had seen that all is well just before.
                    let prepared = storage.prepare_segment();
                    assert!(
                        matches!(prepared, Ok(_) | Err(StorageError::Poisoned)),
                        "{prepared:?}"
                    );
                }
                Err(_) => assert!(storage.prepare_segment().is_ok(), "{call}"),
            }
        }
        assert!(doubts > 1);
    }
}
