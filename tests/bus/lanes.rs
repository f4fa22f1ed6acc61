//! How many lanes a subscription has, and how the number follows the load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tidings::{Bus, Delivery, Durability, Lanes, PoolSize, Status, SubscribeError, Subscription};

use crate::events::{Placed, SECOND, Seen, placed, seen, simulated};

const MILLISECOND: Duration = Duration::from_millis(1);

fn slow_bus() -> Bus {
    Bus::builder().pool("slow", PoolSize::adaptive(1..=16)).build().unwrap()
}

/// With a handler that takes 2 ms.
fn slow_reader(bus: &Bus, lanes: Lanes) -> Subscription {
    let builder = bus.subscribe("reader").pool("slow").lanes(lanes);
    builder.on(|_: &Placed| thread::sleep(2 * MILLISECOND)).start().unwrap()
}

/// Asks until it is so.
fn until(reader: &Subscription, holds: impl Fn(&Status) -> bool) {
    let start = Instant::now();
    while !holds(&reader.status()) {
        assert!(start.elapsed() < 60 * SECOND, "{:?}", reader.status());
        thread::sleep(MILLISECOND);
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let (_, bus) = simulated(1);
    let error = |lanes: Lanes| {
        let refused = bus.subscribe("x").lanes(lanes).on(|_: &Placed| ()).start().unwrap_err();
        assert!(matches!(refused, SubscribeError::Lanes { lanes: named } if named == lanes));
        refused.to_string()
    };
    assert_eq!(error(0.into()), "0 lanes are out of range: 1 to 1024");
    assert_eq!(error(Lanes::adaptive(0..=4)), "0 to 4 lanes are out of range: 1 to 1024");
    assert_eq!(error(Lanes::adaptive(1..=1025)), "1 to 1025 lanes are out of range: 1 to 1024");
    let (least, most) = (5, 3);
    assert_eq!(error(Lanes::adaptive(least..=most)), "5 to 3 lanes are out of range: 1 to 1024");
}

#[test]
fn the_status_shows_how_many_lanes_there_are() {
    let (sim, bus) = simulated(1);
    let start = |name, lanes: Lanes| bus.subscribe(name).lanes(lanes).on(|_: &Placed| ()).start();
    let fixed = start("fixed", 8.into()).unwrap().status();
    assert_eq!((fixed.lanes, fixed.lane_bounds, fixed.lane_changes), (8, Lanes::fixed(8), 0));
    let bounds = Lanes::adaptive(2..=16);
    let adaptive = start("adaptive", bounds).unwrap();
    assert_eq!((adaptive.status().lanes, adaptive.status().lane_bounds), (2, bounds));
    adaptive.ask_for_lanes(11);
    sim.advance(SECOND / 10);
    assert_eq!((adaptive.status().lanes, adaptive.status().lane_changes), (11, 1));
    adaptive.ask_for_lanes(99);
    sim.advance(SECOND / 10);
    assert_eq!((adaptive.status().lanes, adaptive.status().lane_changes), (16, 2));
    sim.run_until_idle();
    assert_eq!(adaptive.status().lanes, 2, "what is not needed ends");
    assert!(sim.elapsed() > 5 * SECOND, "but slowly");
}

#[test]
fn lanes_grow_under_handlers_that_take_their_time_and_go_when_all_is_done() {
    let bus = slow_bus();
    let reader = slow_reader(&bus, Lanes::adaptive(1..=4));
    let mut published = 0;
    let start = Instant::now();
    while reader.status().lanes < 4 {
        assert!(start.elapsed() < 60 * SECOND, "{:?}", reader.status());
        for _ in 0..1000_u64.saturating_sub(reader.lag()) {
            bus.publish(placed(published % 200, published / 200)).unwrap();
            published += 1;
        }
        thread::sleep(MILLISECOND);
    }
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!(reader.status().handled, published);
    until(&reader, |status| status.lanes == 1);
    bus.publish(placed(1, published)).unwrap();
    assert!(bus.wait_idle(60 * SECOND), "and what is left works");
    assert_eq!(reader.status().handled, published + 1);
    bus.shutdown(30 * SECOND).unwrap();
}

#[test]
fn one_key_gets_one_lane() {
    let bus = slow_bus();
    let reader = slow_reader(&bus, Lanes::adaptive(1..=8));
    for step in 0..200 {
        bus.publish(placed(1, step)).unwrap();
    }
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!((reader.status().lanes, reader.status().lane_changes), (1, 0));
}

#[test]
fn a_handler_that_hangs_holds_up_a_change_for_a_moment_only() {
    let bus = slow_bus();
    let hangs = Arc::new(AtomicU32::new(1));
    let in_handler = Arc::clone(&hangs);
    let builder = bus.subscribe("reader").pool("slow").lanes(Lanes::adaptive(2..=8));
    let reader = builder.on(move |event: &Placed| {
        while event.order == 0 && in_handler.load(Ordering::Acquire) == 1 {
            thread::sleep(MILLISECOND);
        }
    });
    let reader = reader.start().unwrap();
    bus.publish_all((0..100).map(|order| placed(order, 0))).unwrap();
    until(&reader, |status| status.handled > 20);
    reader.ask_for_lanes(5);
    thread::sleep(50 * MILLISECOND);
    bus.publish_all((0..1000).map(|order| placed(order, 1))).unwrap();
    // The lanes that do not hang go on; how many there are is up to the keys.
    until(&reader, |status| status.handled > 400);
    assert_eq!(reader.status().lanes, 2);
    hangs.store(0, Ordering::Release);
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!(reader.status().handled, 1100);
    reader.ask_for_lanes(5);
    until(&reader, |status| status.lanes == 5);
    bus.shutdown(30 * SECOND).unwrap();
}

#[test]
fn lanes_that_were_busy_a_moment_ago_are_looked_at_again() {
    let bus = slow_bus();
    let builder = bus.subscribe("reader").pool("slow").lanes(Lanes::adaptive(1..=4));
    let reader = builder.on(|_: &Placed| thread::sleep(15 * MILLISECOND)).start().unwrap();
    reader.ask_for_lanes(4);
    until(&reader, |status| status.lanes == 4);
    bus.publish_all((0..8).map(|order| placed(order, 0))).unwrap();
    until(&reader, |status| status.lanes < 4);
    assert_eq!(reader.status().handled, 8);
}

#[test]
fn a_lane_that_is_alone_may_take_its_time_to_come_in() {
    let bus = slow_bus();
    let (is_free, calls) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let (waits, called) = (Arc::clone(&is_free), Arc::clone(&calls));
    let builder = bus.subscribe("reader").pool("slow").lanes(Lanes::adaptive(1..=4));
    let reader = builder.on(move |_: &Placed| {
        called.fetch_add(1, Ordering::AcqRel);
        while waits.load(Ordering::Acquire) == 0 {
            thread::sleep(MILLISECOND);
        }
    });
    let reader = reader.start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    until(&reader, |_| calls.load(Ordering::Acquire) == 1);
    reader.ask_for_lanes(3);
    thread::sleep(400 * MILLISECOND); // twice as long as others would wait for one of several
    assert_eq!(reader.status().lanes, 1);
    is_free.store(1, Ordering::Release);
    until(&reader, |status| status.lanes == 3);
}

#[test]
fn a_change_is_made_as_soon_as_all_lanes_have_come_in() {
    let (sim, bus) = simulated(1);
    let lanes = Lanes::adaptive(1..=8);
    let reader = bus.subscribe("reader").lanes(lanes).on(|_: &Placed| ()).start().unwrap();
    for lanes in [3, 8, 2, 1, 5] {
        sim.advance(MILLISECOND);
        reader.ask_for_lanes(lanes);
        sim.advance(MILLISECOND);
        assert_eq!(reader.status().lanes, lanes);
    }
}

#[test]
fn lanes_that_are_full_of_what_is_handled_elsewhere_do_not_end() {
    for (pulled, left) in [(4, 4), (1, 1)] {
        let (sim, bus) = simulated(1);
        let lanes = Lanes::adaptive(1..=4);
        let builder = bus.subscribe("reader").lanes(lanes).max_in_flight(2);
        let mut events = builder.stream::<Placed>().unwrap();
        events.subscription().ask_for_lanes(4);
        sim.advance(SECOND / 10);
        bus.publish_all((0..pulled).map(|order| placed(order, 0))).unwrap();
        let held: Vec<_> = (0..pulled).map(|_| events.next_within(SECOND).unwrap()).collect();
        sim.advance(60 * SECOND);
        assert_eq!(events.subscription().status().lanes, left);
        drop(held);
    }
}

/// Publishes from several threads while the number of lanes changes all the time, and checks that each
/// key comes in order and exactly once.
fn stress(bus: &Bus, reader: &Subscription, handled: &Seen<(u64, u64)>) {
    const KEYS: u64 = 10;
    let publish = |publisher: u64| {
        let mut step = 0;
        while reader.status().lane_changes < 25 {
            for key in 0..KEYS {
                bus.publish(placed(publisher * KEYS + key, step)).unwrap();
            }
            reader.ask_for_lanes(1 + (step * 7 + publisher) as u32 % 11);
            step += 1;
            thread::sleep(MILLISECOND / 10);
        }
        step
    };
    let steps: Vec<u64> = thread::scope(|scope| {
        let publish = &publish;
        let publishers = (0..3).map(|publisher| scope.spawn(move || publish(publisher)));
        let publishers: Vec<_> = publishers.collect();
        publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect()
    });
    assert!(bus.wait_idle(120 * SECOND), "{:?}", reader.status());
    let handled = handled.lock();
    for key in 0..KEYS * 3 {
        let got: Vec<_> = handled.iter().filter(|(k, _)| *k == key).map(|(_, s)| *s).collect();
        assert!(got.iter().copied().eq(0..steps[(key / KEYS) as usize]), "key {key}: {got:?}");
    }
}

#[test]
fn lanes_may_change_while_threads_publish_and_handle() {
    let dir = tempfile::tempdir().unwrap();
    let buses = [Bus::builder().ring(256).build().unwrap(), {
        let storage = tidings::storage::FileStorage::open(dir.path()).unwrap();
        Bus::builder().storage(storage).durability(Durability::Buffered).ring(64).build().unwrap()
    }];
    for bus in buses {
        let handled = seen();
        let list = handled.clone();
        let builder = bus.subscribe("reader").lanes(Lanes::adaptive(1..=16));
        let reader = builder
            .on(move |event: &Placed| list.lock().push((event.order, event.step)))
            .start()
            .unwrap();
        stress(&bus, &reader, &handled);
        bus.shutdown(30 * SECOND).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_may_change_while_async_handlers_are_under_way() {
    let bus = Bus::builder().ring(256).build().unwrap();
    let handled = seen();
    let list = handled.clone();
    let builder = bus.subscribe("reader").lanes(Lanes::adaptive(1..=16)).max_in_flight(8);
    let reader = builder.on_async(move |event: Delivery<Placed>| {
        let list = list.clone();
        async move {
            tokio::task::yield_now().await;
            list.lock().push((event.order, event.step));
        }
    });
    let reader = reader.start().unwrap();
    tokio::task::spawn_blocking(move || {
        stress(&bus, &reader, &handled);
        bus.shutdown(30 * SECOND).unwrap();
    })
    .await
    .unwrap();
}
