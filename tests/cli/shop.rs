//! A store to look at.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tidings::{Bus, Durability, Event, HandlerError, Message, Subscription, storage::FileStorage};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", version = 2, key = "order")]
pub(crate) struct Placed {
    pub(crate) order: u64,
    pub(crate) note: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "orders.shipped", key = "order")]
pub(crate) struct Shipped {
    pub(crate) order: u64,
}

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A directory with a store.
pub(crate) struct Shop {
    _root: TempDir,
    pub(crate) dir: PathBuf,
    pub(crate) other: PathBuf,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (dir, other) = (root.path().join("shop"), root.path().join("rescued"));
        Self { _root: root, dir, other }
    }

    /// With small segments, so that there are several.
    pub(crate) fn open(&self) -> Bus {
        open(&self.dir)
    }

    /// A closed store with events 1 to `count`, and the subscription `billing` behind all of them,
    /// for which each order that ends in 3 is a dead letter.
    pub(crate) fn with(count: u64) -> Self {
        let shop = Self::new();
        let bus = shop.open();
        let _billing = bill(&bus, &Arc::default());
        place(&bus, 1..=count);
        close(&bus);
        shop
    }

    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.join("segments")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// The bytes of everything.
    pub(crate) fn image(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for part in ["", "segments", "state"] {
            for entry in fs::read_dir(self.dir.join(part)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    files.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

pub(crate) fn open(dir: &Path) -> Bus {
    let storage = FileStorage::builder(dir).segment_bytes(16 * 1024).open().unwrap();
    // Synced it would be slow, and nothing here loses power.
    Bus::builder().storage(storage).durability(Durability::Buffered).build().unwrap()
}

pub(crate) fn close(bus: &Bus) {
    assert!(bus.wait_idle(SOON));
    bus.shutdown(SOON).unwrap();
}

/// Handles orders, and writes down which.
pub(crate) fn bill(bus: &Bus, handled: &Arc<Mutex<Vec<u64>>>) -> Subscription {
    let handled = Arc::clone(handled);
    let handle = move |placed: &Placed| -> Result<(), HandlerError> {
        if placed.order % 10 == 3 && placed.note != "paid" {
            return Err(HandlerError::reject("no card \u{1b}[31m for it"));
        }
        handled.lock().push(placed.order);
        Ok(())
    };
    bus.subscribe("billing").lanes(2).on(handle).start().unwrap()
}

/// Publishes an order each: position and order are the same.
pub(crate) fn place(bus: &Bus, orders: impl IntoIterator<Item = u64>) {
    for order in orders {
        let placed = Placed { order, note: "\u{1b}[2J\"quoted\"\n".into() };
        bus.publish(Message::new(placed).header("tenant", "acme")).unwrap();
    }
}

/// Where in a segment the batch that holds a position is.
pub(crate) fn batch_of(segment: &Path, position: u64) -> Option<(usize, usize)> {
    let bytes = fs::read(segment).unwrap();
    let number = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let half = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let mut start = 96;
    while bytes.get(start..start + 48).is_some_and(|header| header.starts_with(b"tdb")) {
        let end = start + (48 + half(start + 4) as usize).next_multiple_of(8);
        let first = number(start + 24);
        if (first..first + u64::from(half(start + 12))).contains(&position) {
            return Some((start, end));
        }
        start = end;
    }
    None
}

/// Overwrites the batch that holds a position.
pub(crate) fn damage(shop: &Shop, position: u64) {
    for path in shop.segments() {
        if let Some((start, end)) = batch_of(&path, position) {
            let mut bytes = fs::read(&path).unwrap();
            bytes[start..end].fill(0x55);
            fs::write(&path, bytes).unwrap();
            return;
        }
    }
    panic!("nothing holds {position}");
}
