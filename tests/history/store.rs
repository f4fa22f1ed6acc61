//! Events, and a durable bus on a simulated disk.

use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Event, Retention,
    storage::FileStorage,
    testing::{MemoryDisk, Simulator},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order")]
pub(crate) struct Placed {
    pub(crate) order: u64,
    pub(crate) cents: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.shipped", key = "order")]
pub(crate) struct Shipped {
    pub(crate) order: u64,
}

/// Another version of `Placed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", version = 2, key = "order")]
pub(crate) struct PlacedLater {
    pub(crate) order: u64,
}

pub(crate) fn placed(order: u64, cents: u64) -> Placed {
    Placed { order, cents }
}

pub(crate) struct Store {
    pub(crate) disk: MemoryDisk,
    pub(crate) sim: Simulator,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self { disk: MemoryDisk::new(), sim: Simulator::new(1) }
    }

    pub(crate) fn open(&self) -> Bus {
        self.open_with(Retention::forever())
    }

    pub(crate) fn open_with(&self, retention: Retention) -> Bus {
        let builder = Bus::builder().runtime(self.sim.runtime()).retention(retention);
        builder.storage(self.storage()).build().unwrap()
    }

    pub(crate) fn storage(&self) -> FileStorage {
        let builder = FileStorage::builder("store").disk(self.disk.clone());
        builder.segment_bytes(4096).open().unwrap()
    }
}
