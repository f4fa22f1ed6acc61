//! A simulated disk that fails and loses power when told to.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use self::state::State;
pub use self::{call::Call, fault::Fault};

mod call;
mod chance;
mod change;
mod fault;
mod file;
mod image;
mod state;
mod tree;

/// A simulated disk that fails and loses power when told to. A clone is the same disk.
///
/// It knows which bytes, lengths and names were synced. What was not is made of atoms, each of which
/// a power loss keeps or loses on its own, later ones over earlier ones:
/// - each piece of a write, divided where its file is divided by [`MemoryDisk::set_tear`];
/// - the growth of a file that a write brings with it. Bytes that are kept without it make the file
///   as long as they need; growth without its bytes shows zeros;
/// - each [`DiskFile::set_len`](super::DiskFile::set_len);
/// - each file made, renamed or removed. A rename is one atom.
///
/// [`MemoryDisk::after_power_loss`] is the disk with the atoms one chooses, [`MemoryDisk::crash`]
/// leaves what a seed decides, and [`MemoryDisk::kill`] what the death of the process leaves.
/// [`MemoryDisk::fail`] makes calls fail.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// An independent disk that holds the same, is as full, fails and is locked alike.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::of(self.0.lock().clone())
    }

    /// How many atoms were not synced: a power loss leaves one of up to `2^atoms` disks.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.0.lock().atoms().count()
    }

    /// An independent disk as after a power loss that kept exactly the atoms, counted from 0 in the
    /// order of issue, of which `kept` says so. All it holds is durable, nothing is locked, nothing
    /// fails, no calls were counted or recorded; capacity and tear are the same.
    #[must_use]
    pub fn after_power_loss(&self, kept: impl Fn(usize) -> bool) -> Self {
        let state = self.0.lock();
        let mut image = state.durable.clone();
        for (index, (change, piece)) in state.atoms().enumerate() {
            if kept(index) {
                change.apply_piece(piece, &mut image);
            }
        }
        Self::of(state.holding(image))
    }

    /// An independent disk as after the death of the process: it holds the same, and what was not
    /// synced still is not. Otherwise as [`MemoryDisk::after_power_loss`].
    #[must_use]
    pub fn after_kill(&self) -> Self {
        Self::of(self.0.lock().as_after_kill())
    }

    /// A power loss. What was not synced is kept, lost or torn at any byte, as `seed` decides: each
    /// atom on its own. Open files are dead then, locks released.
    pub fn crash(&self, seed: u64) {
        self.0.lock().crash(seed);
    }

    /// The death of the process: everything that was written stays, synced or not. Open files are
    /// dead then, locks released.
    pub fn kill(&self) {
        self.0.lock().restart();
    }

    /// Divides every file at the multiples of so many bytes: a write across them may be torn there.
    /// 512 if it is not said; 0 is as 1. Holds for what was written before, too.
    pub fn set_tear(&self, bytes: u64) {
        self.0.lock().tear = usize::try_from(bytes.max(1)).unwrap_or(usize::MAX);
    }

    /// How many bytes fit in all files together; `None`, as at the beginning, for no limit. A write
    /// or a length that goes beyond it is done as far as it fits and fails with
    /// [`StorageFull`](std::io::ErrorKind::StorageFull). Names and directories take no room.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Makes calls fail, instead of those that any earlier fault makes fail. Survives
    /// [`MemoryDisk::crash`] and [`MemoryDisk::kill`].
    pub fn fail(&self, fault: Fault) {
        let mut state = self.0.lock();
        state.fault = Some(fault.after(state.io_count));
    }

    /// Makes the `n`th I/O call from now on, and every later one, fail: [`Fault::at`].
    pub fn fail_after(&self, n: u64) {
        self.fail(Fault::at(n));
    }

    /// Ends what [`MemoryDisk::fail`] or [`MemoryDisk::fail_after`] began.
    pub fn heal(&self) {
        self.0.lock().fault = None;
    }

    /// How many I/O calls there were so far.
    #[must_use]
    pub fn io_count(&self) -> u64 {
        self.0.lock().io_count
    }

    /// Records I/O calls from now on.
    pub fn record_trace(&self) {
        self.0.lock().trace.get_or_insert_default();
    }

    /// The I/O calls recorded so far, none before [`MemoryDisk::record_trace`].
    #[must_use]
    pub fn trace(&self) -> Vec<Call> {
        self.0.lock().trace.clone().unwrap_or_default()
    }

    /// Forgets the I/O calls recorded so far; later ones are recorded.
    pub fn clear_trace(&self) {
        if let Some(trace) = &mut self.0.lock().trace {
            trace.clear();
        }
    }

    /// The paths of all files, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.lock().current.names.keys().cloned().collect()
    }

    /// The bytes of a file, or `None` where there is none. Not counted as I/O.
    #[must_use]
    pub fn contents(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let file = state.file(path.as_ref()).ok()?;
        Some(state.current.bytes(file).to_vec())
    }

    /// Puts a file in place, durably, as bit rot or an operator would. Not counted as I/O.
    pub fn set_contents(&self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) {
        let state: &mut State = &mut self.0.lock();
        let (file, path, bytes) = (state.new_id(), path.into(), bytes.into());
        for image in [&mut state.current, &mut state.durable] {
            image.bytes_mut(file).clone_from(&bytes);
            image.names.insert(path.clone(), file);
        }
    }

    /// Flips the bits of `mask` in one byte of a file, under whoever has it open. Nothing happens
    /// where there is no such byte. Not counted as I/O.
    pub fn rot(&self, path: impl AsRef<Path>, offset: usize, mask: u8) {
        let state: &mut State = &mut self.0.lock();
        let Ok(file) = state.file(path.as_ref()) else {
            return;
        };
        for image in [&mut state.current, &mut state.durable] {
            if let Some(byte) = image.bytes_mut(file).get_mut(offset) {
                *byte ^= mask;
            }
        }
    }

    /// Takes a file away, durably. Not counted as I/O.
    pub fn lose(&self, path: impl AsRef<Path>) {
        let state: &mut State = &mut self.0.lock();
        for image in [&mut state.current, &mut state.durable] {
            image.names.remove(path.as_ref());
        }
    }
}
