//! Real threads, many at once: every count is exact.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use parking_lot::Mutex;
use tidings::{Bus, Context};

use crate::events::{Placed, SECOND, Shipped, placed, seen};

const PUBLISHERS: u64 = 8;
const EVENTS: u64 = 400;

/// Each publisher has keys of its own, so the order of its events is known.
fn publish(bus: &Bus, publisher: u64) {
    let mut step = 0;
    while step < EVENTS {
        let event = placed(publisher, step);
        step += match step % 4 {
            0 => bus.publish(event).map(|_| 1).unwrap(),
            1 => {
                // Where there is no room the event comes back, and waits its turn.
                if let Err(full) = bus.enqueue(event) {
                    bus.publish(full.into_message()).unwrap();
                }
                1
            }
            _ => bus.publish_all([event, placed(publisher, step + 1)]).map(|_| 2).unwrap(),
        };
    }
}

fn check(bus: &Bus, lanes: u32) {
    let seen: Arc<Mutex<BTreeMap<u64, Vec<u64>>>> = Arc::default();
    let in_handler = Arc::clone(&seen);
    let shipped = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&shipped);
    bus.subscribe("ship")
        .lanes(lanes)
        .on(move |event: &Placed, ctx: &mut Context| {
            in_handler.lock().entry(event.order).or_default().push(event.step);
            ctx.publish(Shipped { order: event.order })
        })
        .start()
        .unwrap();
    bus.subscribe("count")
        .on(move |_: &Shipped| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .start()
        .unwrap();
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            scope.spawn(move || publish(bus, publisher));
        }
    });
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!(shipped.load(Ordering::Relaxed), PUBLISHERS * EVENTS);
    for (publisher, steps) in &*seen.lock() {
        assert!(steps.iter().copied().eq(0..EVENTS), "publisher {publisher}: {steps:?}");
    }
    let report = bus.shutdown(30 * SECOND).unwrap();
    assert_eq!((report.left, report.abandoned), (0, 0));
    assert_eq!(bus.end().get(), 1 + 2 * PUBLISHERS * EVENTS);
}

#[test]
fn a_volatile_bus_under_load() {
    for (ring, lanes) in [(2, 1), (7, 3), (8192, 4)] {
        check(&Bus::builder().ring(ring).build().unwrap(), lanes);
    }
}

#[test]
fn a_durable_bus_under_load() {
    for (ring, lanes) in [(1, 1), (7, 3), (8192, 4)] {
        let dir = tempfile::tempdir().unwrap();
        check(&Bus::builder().ring(ring).open(dir.path()).unwrap(), lanes);
    }
}

#[test]
fn f17_subscriptions_that_come_and_go_under_load_resume_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::builder().ring(16).open(dir.path()).unwrap();
    let handled = Arc::new(AtomicU64::new(0));
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..2)
            .map(|publisher| {
                scope.spawn({
                    let bus = &bus;
                    move || publish(bus, publisher)
                })
            })
            .collect();
        let mut round = 0;
        while !publishers.iter().all(thread::ScopedJoinHandle::is_finished) {
            round += 1;
            let count = Arc::clone(&handled);
            let subscription = bus
                .subscribe("fickle")
                .lanes(1 + round % 3)
                .on(move |_: &Placed| {
                    count.fetch_add(1, Ordering::Relaxed);
                })
                .start()
                .unwrap();
            thread::yield_now();
            assert!(subscription.stop(30 * SECOND));
        }
    });
    let count = Arc::clone(&handled);
    let last = bus.subscribe("fickle").on(move |_: &Placed| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    last.start().unwrap();
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!(handled.load(Ordering::Relaxed), 2 * EVENTS, "each event once");
}

#[test]
fn e7_all_subscriptions_see_one_order_and_that_of_each_publisher_within_it() {
    let dir = tempfile::tempdir().unwrap();
    for bus in [Bus::volatile(), Bus::open(dir.path()).unwrap()] {
        let lists = [seen(), seen()];
        for (number, list) in lists.iter().enumerate() {
            let list = Arc::clone(list);
            let handler = move |event: &Placed, ctx: &mut Context| {
                list.lock().push((ctx.position().get(), event.order, event.step));
            };
            bus.subscribe(&format!("reader-{number}")).on(handler).start().unwrap();
        }
        thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                let bus = &bus;
                scope.spawn(move || publish(bus, publisher));
            }
        });
        assert!(bus.wait_idle(60 * SECOND));
        let [one, other] = lists.map(|list| std::mem::take(&mut *list.lock()));
        assert_eq!(one, other);
        let positions: Vec<_> = one.iter().map(|(position, ..)| *position).collect();
        assert_eq!(positions, (1..=PUBLISHERS * EVENTS).collect::<Vec<_>>());
        for publisher in 0..PUBLISHERS {
            let own = one.iter().filter(|(_, order, _)| *order == publisher);
            let steps: Vec<_> = own.map(|(.., step)| *step).collect();
            assert_eq!(steps, (0..EVENTS).collect::<Vec<_>>(), "of publisher {publisher}");
        }
    }
}
