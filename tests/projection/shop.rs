//! Orders and cancellations, what customers have spent, and a durable bus on a simulated disk.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Event, ProjectionBuilder, Retention, View,
    storage::{FileStorage, KeyValue, Storage},
    testing::{MemoryDisk, Simulator},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order")]
pub(crate) struct Placed {
    pub(crate) order: u64,
    pub(crate) customer: u64,
    pub(crate) cents: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.cancelled", key = "order")]
pub(crate) struct Cancelled {
    pub(crate) order: u64,
    pub(crate) customer: u64,
    pub(crate) cents: i64,
}

/// Nobody projects it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.looked-at")]
pub(crate) struct LookedAt;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) orders: i64,
    pub(crate) cents: i64,
}

pub(crate) fn placed(order: u64) -> Placed {
    Placed { order, customer: order % 5, cents: i64::try_from(order).unwrap() + 1 }
}

pub(crate) fn cancelled(order: u64) -> Cancelled {
    let Placed { order, customer, cents } = placed(order);
    Cancelled { order, customer, cents }
}

/// What customers have spent; each later version counts in larger steps.
pub(crate) fn spending(bus: &Bus, version: u32) -> ProjectionBuilder<Spent> {
    let step = i64::from(version);
    bus.project::<Spent>("spent", version)
        .on(move |order: &Placed, rows| {
            let row = rows.at(order.customer);
            row.orders += step;
            row.cents += step * order.cents;
        })
        .on(move |order: &Cancelled, rows| {
            let row = rows.at(order.customer);
            row.orders -= step;
            row.cents -= step * order.cents;
            if *row == Spent::default() {
                rows.remove(order.customer);
            }
        })
}

pub(crate) fn rows(view: &View<Spent>) -> BTreeMap<String, Spent> {
    let rows = view.iter().map(|row| row.map(|(key, row)| (key.as_str().to_owned(), row)));
    rows.collect::<Result<_, _>>().unwrap()
}

/// The same made of the log.
pub(crate) fn expected(bus: &Bus, version: u32) -> BTreeMap<String, Spent> {
    let mut rows: BTreeMap<String, Spent> = BTreeMap::new();
    let step = i64::from(version);
    for past in bus.history().of::<(Placed, Cancelled)>() {
        let past = past.unwrap();
        let placed = past.get::<Placed>().map(|order| (order.customer, 1, order.cents));
        let cancelled = past.get::<Cancelled>().map(|order| (order.customer, -1, -order.cents));
        let (customer, orders, cents) = placed.or(cancelled).unwrap();
        let row = rows.entry(customer.to_string()).or_default();
        row.orders += step * orders;
        row.cents += step * cents;
    }
    rows.retain(|_, row| *row != Spent::default());
    rows
}

/// A store that outlives its buses.
pub(crate) struct Store {
    disk: MemoryDisk,
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
        let builder = Bus::builder().runtime(self.sim.runtime()).ring(64).retention(retention);
        builder.storage(self.storage()).build().unwrap()
    }

    fn storage(&self) -> FileStorage {
        let builder = FileStorage::builder("store").disk(self.disk.clone());
        builder.segment_bytes(8192).open().unwrap()
    }

    /// What is stored under keys that begin so. No bus has it open.
    pub(crate) fn stored(&self, prefix: &[u8]) -> Vec<KeyValue> {
        let storage = self.storage();
        let stored = storage.scan(prefix, None, 10_000).unwrap();
        storage.close().unwrap();
        stored
    }

    /// The process ends: what was written stays, everything else is gone.
    pub(crate) fn kill(&self, bus: Bus) {
        self.sim.crash();
        self.disk.kill();
        drop(bus);
    }
}
