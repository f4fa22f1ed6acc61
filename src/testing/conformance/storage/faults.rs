//! How a store is made to fail, and to lose power.

use crate::storage::file::{Fault, MemoryDisk};

/// Makes what lies below a store fail: its disk, its connection. An optional part of a
/// [`StorageFixture`](super::StorageFixture).
///
/// [`MemoryDisk`] is one, for a store that writes through a [`Disk`](crate::storage::file::Disk):
///
/// ```
/// use tidings::{
///     storage::{FileStorage, StorageError},
///     testing::{MemoryDisk, conformance::{StorageFaults, StorageFixture}},
/// };
///
/// struct OnDisk(MemoryDisk);
///
/// impl StorageFixture for OnDisk {
///     type Storage = FileStorage;
///
///     fn open(&self) -> Result<FileStorage, StorageError> {
///         FileStorage::builder("/store").disk(self.0.clone()).open()
///     }
///
///     fn persistent(&self) -> bool {
///         true
///     }
///
///     fn faults(&self) -> Option<&dyn StorageFaults> {
///         Some(&self.0)
///     }
/// }
/// # OnDisk(MemoryDisk::new()).open()?;
/// # Ok::<(), StorageError>(())
/// ```
pub trait StorageFaults {
    /// Makes the `nth` call from now on, counted from 1, and every later one, fail: at least those that
    /// write or sync. A write that fails may have done a part of its work, a sync that fails may have kept a part.
    fn fail_from(&self, nth: u64);

    /// Makes the `nth` call from now on fail as [`StorageFaults::fail_from`] does, but no other.
    fn fail_once(&self, nth: u64);

    /// Has calls succeed again.
    fn heal(&self);

    /// Ends the life of whatever has the store open, without closing it. Nothing of it has any effect
    /// afterwards, and the store can be opened again at once.
    fn crash(&self, crash: Crash);
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // fixtures written elsewhere do what it says
pub enum Crash {
    /// The process dies: what it has written is there.
    Process,
    /// The power fails: of what was not synced, each part is kept or lost, as the seed decides.
    Power {
        /// Another one, another outcome.
        seed: u64,
    },
}

impl StorageFaults for MemoryDisk {
    fn fail_from(&self, nth: u64) {
        self.fail_after(nth);
    }

    fn fail_once(&self, nth: u64) {
        self.fail(Fault::at(nth).once());
    }

    fn heal(&self) {
        self.heal();
    }

    fn crash(&self, crash: Crash) {
        match crash {
            Crash::Process => self.kill(),
            Crash::Power { seed } => self.crash(seed),
        }
    }
}
