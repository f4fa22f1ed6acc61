//! Micro-benchmarks of the engine, for daily work.
//!
//! `cargo bench -p tidings-bench --bench engine`
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use divan::{Bencher, counter::ItemsCount};
use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Context, Durability, Envelope, Event, MessageId, Position,
    storage::{Commit, FileStorage, Query, Record, Storage},
    testing::MemoryDisk,
};

/// 100 bytes of payload, about.
#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "bench.measured", key = "sensor")]
struct Measured {
    sensor: u64,
    values: [u64; 8],
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "bench.other")]
struct Other;

const EVENTS: u64 = 10_000;

fn measured(n: u64) -> Measured {
    Measured { sensor: n % 64, values: [n; 8] }
}

fn wait(bus: &Bus) {
    assert!(bus.wait_idle(Duration::from_mins(1)));
}

fn main() {
    divan::main();
}

/// Publish one by one until every subscription has handled all.
#[divan::bench(args = [0, 1, 4, 8], sample_count = 10, sample_size = 1)]
fn volatile_fan_out(bencher: Bencher, subscriptions: usize) {
    let bus = Bus::volatile();
    for n in 0..subscriptions {
        let name = format!("reader-{n}");
        bus.subscribe(&name)
            .on(|event: &Measured| {
                divan::black_box(event.sensor);
            })
            .start()
            .unwrap();
    }
    let publisher = bus.publisher::<Measured>().unwrap();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for n in 0..EVENTS {
            publisher.publish(measured(n)).unwrap();
        }
        wait(&bus);
    });
}

/// The same with idle subscriptions of another event.
#[divan::bench(args = [1, 64], sample_count = 10, sample_size = 1)]
fn volatile_idle_subscriptions(bencher: Bencher, idle: usize) {
    let bus = Bus::volatile();
    for n in 0..idle {
        bus.subscribe(&format!("idle-{n}")).on(|_: &Other| ()).start().unwrap();
    }
    let publisher = bus.publisher::<Measured>().unwrap();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for n in 0..EVENTS {
            publisher.publish(measured(n)).unwrap();
        }
    });
}

/// Enqueue with everything in flight, until stored and handled.
#[divan::bench(args = [Durability::Buffered, Durability::Synced], sample_count = 10, sample_size = 1)]
fn durable_end_to_end(bencher: Bencher, durability: Durability) {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::builder().durability(durability).open(dir.path()).unwrap();
    bus.subscribe("reader")
        .on(|event: &Measured| {
            divan::black_box(event.sensor);
        })
        .start()
        .unwrap();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let pending: Vec<_> = (0..EVENTS).map(|n| bus.enqueue(measured(n)).unwrap()).collect();
        for pending in pending {
            pending.wait().unwrap();
        }
        wait(&bus);
    });
}

/// Events that each make another one, with state, on the durable bus.
#[divan::bench(args = [1, 4], sample_count = 10, sample_size = 1)]
fn durable_handlers_with_state_and_outputs(bencher: Bencher, lanes: u32) {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::open(dir.path()).unwrap();
    bus.subscribe("counter")
        .lanes(lanes)
        .on(|_: &Measured, ctx: &mut Context| -> Result<(), tidings::HandlerError> {
            let count: u64 = ctx.state().get("count")?.unwrap_or(0);
            ctx.state().put("count", &(count + 1))?;
            Ok(ctx.publish(Other)?)
        })
        .start()
        .unwrap();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for chunk in 0..10 {
            bus.publish_all((0..EVENTS / 10).map(|n| measured(chunk * 1000 + n))).unwrap();
        }
        wait(&bus);
    });
}

/// One blocking publisher.
#[divan::bench(args = [Durability::Buffered, Durability::Synced])]
fn durable_publish(bencher: Bencher, durability: Durability) {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::builder().durability(durability).open(dir.path()).unwrap();
    bencher.bench_local(|| bus.publish(measured(1)).unwrap());
}

/// Reading records back, checksummed, from memory.
#[divan::bench(args = [100, 1024])]
fn storage_read(bencher: Bencher, bytes: usize) {
    let storage = FileStorage::builder("bench").disk(MemoryDisk::new()).open().unwrap();
    let envelope = Envelope::new("bench.measured", 1, MessageId::from_bytes([1; 16])).into();
    let record = Record { envelope, payload: vec![7; bytes] };
    for _ in 0..EVENTS / 64 {
        let commit = Commit { records: vec![record.clone(); 64], ..Commit::default() };
        storage.commit(commit).unwrap();
    }
    let records = EVENTS / 64 * 64;
    bencher.counter(ItemsCount::new(records)).bench_local(|| {
        let mut from = Position::FIRST;
        while from < storage.end() {
            let chunk = storage.read(&Query::from(from)).unwrap().records;
            from = from.plus(chunk.len() as u64);
        }
    });
}
