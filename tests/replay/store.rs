//! A durable bus under a virtual clock, and the events of the tests.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::{Bus, Event, storage::MemoryStorage, testing::Simulator};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order")]
pub(crate) struct Placed {
    pub(crate) order: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.mended", key = "order")]
pub(crate) struct Mended {
    pub(crate) order: u64,
}

/// What a handler has seen: the order, and whether that was a replay.
pub(crate) type Seen = Arc<Mutex<Vec<(u64, bool)>>>;

/// A store that outlives its buses.
pub(crate) struct Store {
    pub(crate) sim: Simulator,
    storage: Mutex<MemoryStorage>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self { sim: Simulator::new(1), storage: Mutex::new(MemoryStorage::new()) }
    }

    /// With a ring so small that much is read from storage.
    pub(crate) fn open(&self) -> Bus {
        let mut storage = self.storage.lock();
        *storage = storage.reopened();
        let builder = Bus::builder().runtime(self.sim.runtime()).storage(storage.clone());
        builder.ring(16).build().unwrap()
    }
}

/// One event after another, a second apart.
pub(crate) fn place(bus: &Bus, sim: &Simulator, orders: impl IntoIterator<Item = u64>) {
    for order in orders {
        bus.publish(Placed { order }).unwrap();
        sim.advance(SECOND);
    }
}

pub(crate) fn orders(seen: &Seen) -> Vec<u64> {
    seen.lock().iter().map(|(order, _)| *order).collect()
}

pub(crate) fn replayed(seen: &Seen) -> Vec<bool> {
    seen.lock().iter().map(|(_, is_replay)| *is_replay).collect()
}
