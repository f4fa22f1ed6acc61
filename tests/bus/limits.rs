//! What is too large, and positions too far on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde::{Deserialize, Serialize, Serializer};
use tidings::{
    Bus, Context, Event, Message, OpenError, Position, PublishFailure,
    storage::{Commit, KeyValue, MemoryStorage, Page, Query, Storage, StorageError},
    testing::Simulator,
};

use crate::{
    events::{SECOND, Tick, seen},
    store::Store,
};

/// As JSON it has two bytes more: the quotes.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "tests.blob")]
struct Blob(String);

const MOST: usize = 8 * 1024 * 1024;

fn blob(bytes: usize) -> Blob {
    Blob("x".repeat(bytes - 2))
}

#[test]
fn e3_a_payload_may_be_as_large_as_the_limit_and_no_byte_larger() {
    let store = Store { segment_bytes: 1 << 28, ..Store::new() };
    let bus = store.open();
    for bytes in [MOST - 1, MOST] {
        bus.publish(blob(bytes)).unwrap();
    }
    let end = bus.end();
    let error = bus.publish(blob(MOST + 1)).unwrap_err();
    let limit = PublishFailure::TooLarge { bytes: MOST + 1, limit: MOST };
    assert_eq!(error.failure().to_string(), limit.to_string());
    assert_eq!(error.into_event().0.len(), MOST - 1, "it is handed back");
    assert!(bus.enqueue(blob(MOST + 1)).is_err());
    assert!(bus.publish_all([blob(10), blob(MOST + 1)]).is_err());
    assert_eq!(bus.end(), end, "nothing of that was published");
    let refused = seen();
    let list = refused.clone();
    let handler = move |_: &Tick, ctx: &mut Context| {
        list.lock().push(ctx.publish(blob(MOST + 1)).is_err());
    };
    bus.subscribe("handler").on(handler).start().unwrap();
    bus.publish(Tick(1)).unwrap();
    store.sim.run_until_idle();
    assert_eq!((&*refused.lock(), bus.end()), (&vec![true], end.next()));
}

static ENCODED: AtomicUsize = AtomicUsize::new(0);

/// Counts how often it is encoded.
#[derive(Debug, Deserialize, Event)]
#[event(name = "tests.counted")]
struct Counted;

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ENCODED.fetch_add(1, Ordering::Relaxed);
        serializer.serialize_unit()
    }
}

#[test]
fn e3_metadata_out_of_bounds_is_refused_before_the_event_is_encoded() {
    let store = Store::new();
    let bus = store.open();
    let message = || Message::new(Counted);
    assert!(bus.publish(message().key("k".repeat(1024))).is_ok());
    assert_eq!(ENCODED.load(Ordering::Relaxed), 1);
    for refused in [
        message().key("k".repeat(1025)),
        message().correlation_id("c".repeat(256)),
        message().idempotency_key("i".repeat(1025)),
        message().header("h", &"v".repeat(16 * 1024)),
    ] {
        assert!(bus.publish(refused).is_err());
    }
    assert_eq!(ENCODED.load(Ordering::Relaxed), 1);
}

/// A storage whose first position is `1 + skipped`.
#[derive(Debug, Clone)]
struct Far {
    storage: MemoryStorage,
    skipped: u64,
}

impl Far {
    fn near(&self, position: Position) -> Position {
        Position::new(position.get() - self.skipped).unwrap()
    }

    fn far(&self, position: Position) -> Position {
        position.plus(self.skipped)
    }
}

impl Storage for Far {
    fn end(&self) -> Position {
        self.far(self.storage.end())
    }

    fn first(&self) -> Position {
        self.far(self.storage.first())
    }

    fn commit(&self, commit: Commit) -> Result<Position, StorageError> {
        Ok(self.far(self.storage.commit(commit)?))
    }

    fn read(&self, query: &Query) -> Result<Page, StorageError> {
        let mut query = query.clone();
        (query.from, query.to) = (self.near(query.from), self.near(query.to));
        let mut page = self.storage.read(&query)?;
        page.next = self.far(page.next);
        for (position, _) in &mut page.records {
            *position = self.far(*position);
        }
        Ok(page)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.storage.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        self.storage.scan(prefix, after, max)
    }

    fn close(&self) -> Result<(), StorageError> {
        self.storage.close()
    }
}

/// The last position at which a bus begins.
const HIGHEST: u64 = u64::MAX / 4;

#[test]
fn e9_positions_near_the_limit_are_as_good_as_others_and_beyond_it_no_bus_is_opened() {
    let sim = Simulator::new(1);
    let far = Far { storage: MemoryStorage::new(), skipped: HIGHEST - 100 };
    let open = |far: &Far| {
        let far = Far { storage: far.storage.reopened(), ..far.clone() };
        Bus::builder().runtime(sim.runtime()).storage(far).ring(16).build()
    };
    for life in 0..2 {
        let bus = open(&far).unwrap();
        let positions = seen();
        let list = Arc::clone(&positions);
        let handler = move |_: &Tick, ctx: &mut Context| list.lock().push(ctx.position().get());
        let reader = bus.subscribe("reader").on(handler).start().unwrap();
        reader.pause();
        let first = HIGHEST - 99 + 99 * life;
        for n in 0..99 {
            assert_eq!(bus.publish(Tick(n)).unwrap().position.get(), first + n);
        }
        reader.resume();
        sim.run_until_idle();
        assert_eq!(*positions.lock(), (first..first + 99).collect::<Vec<_>>());
        bus.shutdown(SECOND).unwrap();
    }
    let Err(OpenError::PositionsUsedUp { end }) = open(&far) else { panic!("it was opened") };
    assert_eq!(end.get(), HIGHEST + 99);
    let last = Far { skipped: u64::MAX - 1, storage: MemoryStorage::new() };
    assert!(open(&last).is_err());
}
