//! A durable bus on a simulated disk that outlives it.

use tidings::{
    Bus, Retention,
    storage::FileStorage,
    testing::{MemoryDisk, Simulator},
};

/// A store that outlives its buses.
pub(crate) struct Store {
    pub(crate) disk: MemoryDisk,
    pub(crate) sim: Simulator,
    pub(crate) retention: Retention,
    pub(crate) segment_bytes: u64,
}

impl Store {
    pub(crate) fn new() -> Self {
        let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
        Self { disk, sim, retention: Retention::forever(), segment_bytes: 1 << 26 }
    }

    /// With so many segments that old ones can go.
    pub(crate) fn in_small_segments() -> Self {
        Self { segment_bytes: 4096, ..Self::new() }
    }

    pub(crate) fn storage(&self) -> FileStorage {
        let builder = FileStorage::builder("store").disk(self.disk.clone());
        builder.segment_bytes(self.segment_bytes).open().unwrap()
    }

    /// A bus with a ring so small that much is read from the store.
    pub(crate) fn open(&self) -> Bus {
        let builder = Bus::builder().runtime(self.sim.runtime()).storage(self.storage());
        builder.retention(self.retention).ring(16).build().unwrap()
    }

    /// The process ends: what was written stays, everything else is gone.
    pub(crate) fn kill(&self, bus: Bus) {
        self.sim.crash();
        self.disk.kill();
        drop(bus);
    }
}
