//! The file of the next segment, made before it is needed.

use std::{io, path::Path, sync::Arc};

use super::{
    directory::Directory,
    disk::DiskFile,
    failure::{doing, full},
    planted::Mistake,
    segment::{self, SegmentHeader},
};
use crate::storage::StorageError;

/// How much of a file is filled with zeros at once where nobody did so in advance.
pub(super) const PREPARED: u64 = 1024 * 1024;

/// The segment after the active one. Taken by commits after the log, and by upkeep alone.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) id: u64,
    /// Its file, if that is ready.
    pub(super) spare: Option<Spare>,
    pub(super) named: Named,
}

/// What there is under the name of the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Nothing,
    /// A file of ours that does not count.
    Ours,
    /// A segment that may count: it is unclear whether it has begun, and so nothing more is written.
    InDoubt,
}

/// A file of zeros under the name of the next segment, durable with its name.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) id: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) size: u64,
}

impl Next {
    /// Of the segment with this id. There is no file of ours under its name.
    pub(super) fn new(id: u64) -> Self {
        Self { id, spare: None, named: Named::Nothing }
    }

    /// Makes the file, in the place of one that came to nothing.
    pub(super) fn create(&mut self, dir: &Directory, size: u64) -> Result<Spare, StorageError> {
        self.claim(dir)?;
        Spare::create(dir, self.id, size)
    }

    /// Makes the file of one that is no longer needed.
    pub(super) fn recycle(&mut self, dir: &Directory, from: &Path) -> Result<(), StorageError> {
        self.claim(dir)?;
        match Spare::recycle(dir, from, self.id) {
            Ok(spare) => self.spare = Some(spare),
            Err(error) => {
                dir.discard(&dir.segment(self.id));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sees to it that nothing has its name, from here on but for what is ours.
    fn claim(&mut self, dir: &Directory) -> Result<(), StorageError> {
        let file = dir.segment(self.id);
        match self.named {
            Named::Nothing => {}
            Named::Ours => dir.remove(&file)?,
            Named::InDoubt => return Err(StorageError::Poisoned),
        }
        if dir.exists(&file)? {
            let reason = "another file is where the next segment was to begin";
            return Err(StorageError::Corrupt { file, offset: 0, reason });
        }
        self.named = Named::Ours;
        Ok(())
    }

    /// Removes the file of a spare that is not needed.
    pub(super) fn discard(&self, dir: &Directory) {
        dir.discard(&dir.segment(self.id));
    }
}

impl Spare {
    /// Makes a file of zeros, durable with its name, where there is none.
    pub(super) fn create(dir: &Directory, id: u64, size: u64) -> Result<Self, StorageError> {
        let made = Self::fill(dir, id, size);
        if made.is_err() {
            dir.discard(&dir.segment(id));
        }
        made
    }

    /// Makes one of a file that is no longer needed. There is no file under its name.
    fn recycle(dir: &Directory, from: &Path, id: u64) -> Result<Self, StorageError> {
        let path = dir.segment(id);
        let file = dir.disk.open(from, false).map_err(doing("opening", from))?;
        let size = file.size().map_err(doing("reading", from))?;
        if !dir.makes(Mistake::RecycleUnzeroed) {
            zero(&*file, 0, size).map_err(doing("clearing", from))?;
            file.sync_data().map_err(doing("syncing", from))?;
        }
        dir.disk.rename(from, &path).map_err(doing("renaming", from))?;
        dir.sync(&dir.segments)?;
        Ok(Self { id, file, size })
    }

    /// Turns it into a segment, durably.
    pub(super) fn begin(
        &self,
        dir: &Directory,
        header: &SegmentHeader,
    ) -> Result<(), StorageError> {
        let path = dir.segment(self.id);
        let written = self.file.write_all_at(&header.encode(), 0);
        written.map_err(full("writing a header to", &path, segment::HEADER as u64))?;
        if dir.makes(Mistake::HeaderUnsynced) {
            return Ok(());
        }
        let synced = self.file.sync_data();
        synced.map_err(full("syncing", &path, segment::HEADER as u64))
    }

    fn fill(dir: &Directory, id: u64, size: u64) -> Result<Self, StorageError> {
        let path = dir.segment(id);
        let file = dir.disk.open(&path, true).map_err(full("creating", &path, size))?;
        zero(&*file, 0, size).map_err(full("filling", &path, size))?;
        file.sync_data().map_err(full("syncing", &path, size))?;
        if !dir.makes(Mistake::SegmentNameUnsynced) {
            dir.sync(&dir.segments)?;
        }
        Ok(Self { id, file, size })
    }
}

/// How large the segment with this id becomes. Small stores have small files.
pub(super) fn size_of(id: u64, segment_bytes: u64) -> u64 {
    let grown = PREPARED << (2 * id.saturating_sub(1)).min(20);
    grown.min(segment_bytes)
}

/// How long a segment's file is made at first where nobody did so in advance.
pub(super) fn first_size(segment_bytes: u64) -> u64 {
    segment_bytes.min(PREPARED)
}

/// Writes zeros.
pub(super) fn zero(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut offset = from;
    while offset < to {
        let count = usize::try_from(to - offset).unwrap_or(ZEROS.len()).min(ZEROS.len());
        file.write_all_at(ZEROS.get(..count).unwrap_or_default(), offset)?;
        offset += count as u64;
    }
    Ok(())
}
