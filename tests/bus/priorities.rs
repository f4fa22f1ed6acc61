//! Who comes first in a pool, and who rests while it is overloaded.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tidings::{Bus, Priority, Subscription};

use crate::events::{Placed, SECOND, Shipped, Tick, placed, seen, simulated};

/// One thread, and a handler of `Tick` that keeps it until it is told to go on.
fn one_thread() -> (Bus, impl Fn()) {
    let bus = Bus::builder().pool("narrow", 1).build().unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let held = Mutex::new(held);
    let blocker = bus.subscribe("blocker").pool("narrow").on(move |_: &Tick| {
        tell.send(()).unwrap();
        held.lock().recv().ok();
    });
    blocker.start().unwrap();
    bus.publish(Tick(1)).unwrap();
    told.recv().unwrap();
    (bus, move || release.send(()).unwrap())
}

fn until(subscription: &Subscription, holds: impl Fn(&Subscription) -> bool) {
    let start = Instant::now();
    while !holds(subscription) {
        assert!(start.elapsed() < 60 * SECOND, "{:?}", subscription.status());
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_thread_that_becomes_free_takes_what_has_priority() {
    let (bus, release) = one_thread();
    let order = seen();
    for (name, priority) in [("a", Priority::Low), ("b", Priority::Normal), ("c", Priority::High)] {
        let list = order.clone();
        let builder = bus.subscribe(name).pool("narrow").priority(priority);
        builder.on(move |_: &Placed| list.lock().push(name)).start().unwrap();
    }
    bus.publish(placed(1, 0)).unwrap();
    release();
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!(*order.lock(), ["c", "b", "a"]);
    bus.shutdown(30 * SECOND).unwrap();
}

#[test]
fn what_is_low_gets_on_while_what_is_high_never_stops() {
    let bus = Bus::builder().pool("narrow", 1).build().unwrap();
    let on = |name: &str, priority| bus.subscribe(name).pool("narrow").priority(priority);
    let publisher = bus.clone();
    let again = move |event: &Placed| {
        publisher.publish(placed(event.order, 0)).ok();
    };
    let high = on("high", Priority::High).lanes(4).on(again).start().unwrap();
    let low = on("low", Priority::Low).on(|_: &Shipped| ()).start().unwrap();
    bus.publish_all((0..64).map(|order| placed(order, 0))).unwrap();
    until(&high, |high| high.status().handled > 1000);
    bus.publish_all((0..1000).map(|order| Shipped { order })).unwrap();
    until(&low, |low| low.status().handled == 1000);
    bus.shutdown(30 * SECOND).unwrap();
}

/// Longer than anything should wait for a thread.
const LONG: Duration = Duration::from_millis(150);

#[test]
fn what_is_sheddable_rests_while_others_wait_too_long() {
    let (bus, release) = one_thread();
    let publisher = bus.clone();
    let trends = bus.subscribe("trends").pool("narrow").sheddable().on(move |event: &Placed| {
        if event.order == 1 {
            publisher.publish(Shipped { order: 1 }).unwrap(); // and has it wait
        }
        thread::sleep(LONG);
    });
    let trends = trends.start().unwrap();
    let ships = bus.subscribe("ships").pool("narrow").on(|_: &Shipped| ()).start().unwrap();
    bus.publish_all((0..3).map(|order| placed(order, 0))).unwrap();
    assert!(!trends.status().shed);
    release();
    until(&ships, |ships| ships.status().handled == 1);
    assert_eq!((trends.status().handled, trends.status().shed), (2, true));
    assert!(bus.wait_idle(60 * SECOND), "it goes on after that");
    assert_eq!((trends.status().handled, trends.status().shed), (3, false));
    bus.shutdown(30 * SECOND).unwrap();
}

#[test]
fn nothing_is_lost_while_a_sheddable_subscription_rests() {
    let (sim, bus) = simulated(1);
    let trends = bus.subscribe("trends").sheddable().on(|_: &Tick| ()).start().unwrap();
    let ticks = bus.subscribe("ticks").on(|_: &Tick| ()).start().unwrap();
    sim.overload(10 * SECOND);
    bus.publish_all((0..5).map(Tick)).unwrap();
    sim.advance(9 * SECOND);
    assert_eq!((ticks.status().handled, trends.status().handled), (5, 0));
    assert!(trends.status().shed && !ticks.status().shed);
    assert_eq!(trends.ledger().to_string(), "5 matched = 0 acknowledged + 5 waiting");
    sim.advance(2 * SECOND);
    assert_eq!((trends.status().handled, trends.status().shed), (5, false));
    assert_eq!(trends.ledger().to_string(), "5 matched = 5 acknowledged");
}

#[test]
fn sheddable_subscriptions_that_wait_for_each_other_overload_nobody() {
    let bus = Bus::builder().pool("narrow", 1).build().unwrap();
    let slow = |name: &str| {
        let builder = bus.subscribe(name).pool("narrow").sheddable();
        builder.on(|_: &Placed| thread::sleep(LONG)).start().unwrap()
    };
    let both = [slow("trends"), slow("statistics")];
    bus.publish_all((0..2).map(|order| placed(order, 0))).unwrap();
    for subscription in both {
        until(&subscription, |subscription| {
            assert!(!subscription.status().shed);
            subscription.status().handled == 2
        });
    }
    bus.shutdown(30 * SECOND).unwrap();
}
