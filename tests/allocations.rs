//! The hot path of a volatile bus allocates nothing for an event: publishing to plain handlers, in
//! steady state.
#![allow(unsafe_code)] // to count allocations
#![allow(clippy::unwrap_used)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidings::{Bus, Event};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "meter.read", key = "meter")]
struct MeterRead {
    meter: u64,
    values: [u64; 6],
}

const EVENTS: u64 = 200_000;

/// Allocations while so many events go through a bus with four subscriptions, one by one or in
/// batches.
fn allocations(bus: &Bus, batch: usize) -> u64 {
    let publisher = bus.publisher::<MeterRead>().unwrap();
    let mut events = Vec::with_capacity(batch);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for meter in 0..EVENTS {
        let event = MeterRead { meter, values: [meter; 6] };
        if batch == 1 {
            publisher.publish(event).unwrap();
            continue;
        }
        events.push(event);
        if events.len() == batch {
            publisher.publish_batch(&mut events).unwrap();
        }
    }
    assert!(bus.wait_idle(Duration::from_secs(30)));
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn publishing_and_handling_allocate_nothing_an_event() {
    let bus = Bus::builder().ring(1024).build().unwrap();
    let handled = Arc::new(AtomicU64::new(0));
    for name in ["a", "b", "c", "d"] {
        let handled = Arc::clone(&handled);
        let handle = move |event: &MeterRead| {
            handled.fetch_add(event.values[0] / event.values[0].max(1), Ordering::Relaxed);
        };
        bus.subscribe(name).on(handle).start().unwrap();
    }
    allocations(&bus, 1); // grows what has to grow once
    for batch in [1, 64] {
        let count = allocations(&bus, batch);
        // Falling asleep and being woken may cost one now and then.
        println!("batch {batch}: {count} allocations for {EVENTS} events and 4 subscriptions");
        // What is left is the queue of the pool: a block of it for every 31 turns of a lane.
        assert!(count < EVENTS / 20, "{count} allocations");
    }
    assert_eq!(handled.load(Ordering::Relaxed), 3 * 4 * (EVENTS - 1));
}
