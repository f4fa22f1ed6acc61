//! A copy of a store as it is at one moment, made while it is in use.

use std::{path::Path, sync::Arc};

use super::{
    FileStorage,
    directory::Directory,
    disk::DiskFile,
    failure::{doing, full},
    manifest::{Manifest, Phase, ReplaceError},
    next::zero,
    planted::Planted,
    segment::Segment,
};
use crate::storage::StorageError;

/// How much is copied at a time.
const CHUNK: usize = 1024 * 1024;

impl FileStorage {
    /// Copies the store into a directory that is empty or not there yet.
    ///
    /// What is copied has been made durable before, and nothing is removed meanwhile. Commits go on.
    pub(super) fn copy_to(&self, path: &Path) -> Result<(), StorageError> {
        let disk = Arc::clone(&self.dir.disk);
        let root = disk.absolute(path).map_err(doing("finding", path))?;
        let copy = Directory::new(disk, &root, Planted::default());
        prepare(&copy)?;
        let _no_upkeep = self.keeper.lock();
        let (manifest, segments) = self.freeze()?;
        for run in &manifest.runs {
            self.check_not_closing()?;
            copy_file(&self.dir, &self.dir.run(run.id), &copy.run(run.id), run.len, run.len)?;
        }
        for segment in &segments {
            self.check_not_closing()?;
            let (path, target) = (
                &segment.segment.path,
                copy.rewritten(segment.segment.header.id, segment.segment.rewritten),
            );
            copy_file(&self.dir, path, &target, segment.len, segment.size)?;
        }
        for dir in [&copy.segments, &copy.state] {
            copy.sync(dir)?;
        }
        let mut first = manifest.clone();
        first.replace(&copy, manifest).map_err(ReplaceError::into_inner)
    }

    /// Makes all commits durable, and says what there is.
    fn freeze(&self) -> Result<(Manifest, Vec<Copied>), StorageError> {
        let mut log = self.log.lock();
        log.check_usable()?;
        log.step(|log| log.sync(&self.dir))?;
        let mut manifest = log.manifest.clone();
        manifest.durable = log.seq;
        manifest.phase = Phase::Copied(log.log_end());
        manifest.dropped_runs.clear();
        let segments = self.check_open()?.segments.clone();
        let active = segments.last().map(|segment| segment.header.id);
        let copied = segments.into_iter().map(|segment| {
            let len = segment.valid();
            // The active one is to be as long as its header says.
            let is_active = active == Some(segment.header.id);
            let size = if is_active { len.max(segment.header.size) } else { len };
            Copied { segment, len, size }
        });
        Ok((manifest, copied.collect()))
    }
}

/// A segment, how much of it is copied, and how long the copy is made.
struct Copied {
    segment: Arc<Segment>,
    len: u64,
    size: u64,
}

fn prepare(copy: &Directory) -> Result<(), StorageError> {
    let create = |dir: &Path| copy.disk.create_dir_all(dir).map_err(doing("creating", dir));
    create(&copy.root)?;
    if !copy.list(&copy.root)?.is_empty() {
        return Err(StorageError::NotEmpty { path: copy.root.clone() });
    }
    create(&copy.segments)?;
    create(&copy.state)
}

fn copy_file(
    dir: &Directory,
    from: &Path,
    to: &Path,
    len: u64,
    size: u64,
) -> Result<(), StorageError> {
    let source = dir.disk.open_read(from).map_err(doing("opening", from))?;
    let target = dir.disk.open(to, true).map_err(full("creating", to, size))?;
    copy_bytes(&*source, &*target, len).map_err(full("copying to", to, len))?;
    zero(&*target, len, size).map_err(full("extending", to, size))?;
    target.sync_data().map_err(doing("syncing", to))
}

fn copy_bytes(source: &dyn DiskFile, target: &dyn DiskFile, len: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    while offset < len {
        let wanted = usize::try_from(len - offset).unwrap_or(CHUNK).min(CHUNK);
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        if source.read_at(chunk, offset)? < wanted {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        target.write_all_at(chunk, offset)?;
        offset += wanted as u64;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::storage::file::disk::{Disk, MemoryDisk};

    #[test]
    fn a_file_that_is_shorter_than_it_was_is_not_copied_in_part() {
        let disk = MemoryDisk::new();
        disk.create_dir_all("/".as_ref()).unwrap();
        disk.set_contents("/from", vec![7; 3 * CHUNK / 2]);
        let source = disk.open_read("/from".as_ref()).unwrap();
        let target = disk.open("/to".as_ref(), true).unwrap();
        let len = 3 * CHUNK as u64 / 2;
        copy_bytes(&*source, &*target, len).unwrap();
        assert_eq!(disk.contents("/to"), disk.contents("/from"));
        let error = copy_bytes(&*source, &*target, len + 1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
