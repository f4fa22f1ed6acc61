//! Events and small tools that the tests share.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::{Bus, Event, testing::Simulator};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order")]
pub(crate) struct Placed {
    pub(crate) order: u64,
    pub(crate) step: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.shipped", key = "order")]
pub(crate) struct Shipped {
    pub(crate) order: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "ticks")]
pub(crate) struct Tick(pub(crate) u64);

pub(crate) fn placed(order: u64, step: u64) -> Placed {
    Placed { order, step }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A list that handlers write and tests read.
pub(crate) type Seen<T> = Arc<Mutex<Vec<T>>>;

pub(crate) fn seen<T>() -> Seen<T> {
    Arc::default()
}

/// A volatile bus under a seed.
pub(crate) fn simulated(seed: u64) -> (Simulator, Bus) {
    let sim = Simulator::new(seed);
    let bus = Bus::builder().runtime(sim.runtime()).build().unwrap();
    (sim, bus)
}
