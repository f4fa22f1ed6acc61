//! Open files of the simulated disk.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{MemoryDisk, call::Call, chance::Chance, state::State};
use crate::storage::file::DiskFile;

#[derive(Debug)]
pub(super) struct Handle {
    disk: MemoryDisk,
    file: u64,
    path: PathBuf,
    is_writable: bool,
    life: u64,
}

impl Handle {
    pub(super) fn new(disk: &MemoryDisk, state: &State, file: u64, path: &Path) -> Self {
        let (disk, path) = (disk.clone(), path.to_owned());
        Self { disk, file, path, is_writable: true, life: state.life }
    }

    pub(super) fn for_reading(mut self) -> Self {
        self.is_writable = false;
        self
    }

    /// Counts a call and does it. `failing` is what a call does that is to fail.
    fn call<T>(
        &self,
        call: impl FnOnce(PathBuf) -> Call,
        work: impl FnOnce(&mut State) -> io::Result<T>,
        failing: impl FnOnce(&mut State, &mut Chance),
    ) -> io::Result<T> {
        let state: &mut State = &mut self.disk.0.lock();
        let outcome = state.admit(|| call(self.path.clone()));
        if self.life != state.life {
            return Err(io::Error::other("opened before the simulated crash"));
        }
        let Err(failure) = outcome else {
            return work(state);
        };
        if failure.has_effect {
            let mut chance = state.chance(state.io_count);
            failing(state, &mut chance);
        }
        Err(failure.raise())
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.is_writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

/// Simulated files fit in memory.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn all_fit(fits: bool) -> io::Result<()> {
    if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}

impl DiskFile for Handle {
    fn size(&self) -> io::Result<u64> {
        let size = |state: &mut State| Ok(state.current.bytes(self.file).len() as u64);
        self.call(Call::Size, size, |_, _| ())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64);
        let read = |state: &mut State| {
            let bytes = state.current.bytes(self.file).get(index(offset)..).unwrap_or_default();
            let count = bytes.len().min(buffer.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            Ok(count)
        };
        self.call(|path| Call::Read(path, offset..end), read, |_, _| ())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        let (start, end) = (index(offset), offset.saturating_add(bytes.len() as u64));
        self.call(
            |path| Call::Write(path, offset..end),
            |state| all_fit(state.write(self.file, bytes, start) == bytes.len()),
            |state, chance| {
                state.write(self.file, &bytes[..chance.part(bytes.len())], start);
            },
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let wanted = index(len);
        self.call(
            |path| Call::SetLen(path, len),
            |state| all_fit(state.resize(self.file, wanted) == wanted),
            |state, chance| {
                if chance.flip() {
                    state.resize(self.file, wanted);
                }
            },
        )
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(
            Call::Sync,
            |state| {
                state.sync_data(self.file);
                Ok(())
            },
            |state, chance| state.sync_some(self.file, chance),
        )
    }
}
