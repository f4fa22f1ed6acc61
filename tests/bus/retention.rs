//! Old events: how long they stay, who holds them, and what becomes of those nobody waited for.

use std::time::Duration;

use tidings::{
    Bus, Loss, Position, Retention, TrimError, Unread,
    storage::{Query, Storage},
};

use crate::{
    events::{Placed, SECOND, Seen, placed, seen},
    store::Store,
};

fn store(retention: Retention) -> Store {
    Store { retention, ..Store::in_small_segments() }
}

/// Ends a bus and says what its log keeps.
fn close(store: &Store, bus: &Bus) -> (Position, u64) {
    bus.shutdown(SECOND).unwrap();
    let storage = store.storage();
    let kept = (storage.first(), storage.log_bytes());
    storage.close().unwrap();
    kept
}

fn collect(bus: &Bus, name: &str, list: &Seen<u64>) -> tidings::Subscription {
    let list = list.clone();
    bus.subscribe(name).on(move |e: &Placed| list.lock().push(e.order)).start().unwrap()
}

fn publish(bus: &Bus, orders: std::ops::Range<u64>) {
    for order in orders {
        bus.publish(placed(order, 0)).unwrap();
    }
}

fn position(number: u64) -> Position {
    Position::new(number).unwrap()
}

#[test]
fn without_a_retention_everything_stays() {
    let store = store(Retention::forever());
    let bus = store.open();
    publish(&bus, 0..500);
    store.sim.run_until_idle();
    assert_eq!(close(&store, &bus).0, Position::FIRST);
}

#[test]
fn a_log_that_is_too_large_loses_its_oldest_events() {
    let store = store(Retention::forever().max_bytes(20_000));
    let bus = store.open();
    let all = seen();
    collect(&bus, "reader", &all);
    for round in 0..20 {
        publish(&bus, round * 50..(round + 1) * 50);
        store.sim.advance(SECOND * 3);
    }
    store.sim.run_until_idle();
    assert_eq!(all.lock().len(), 1000, "what is dropped has been handled");
    let (first, bytes) = close(&store, &bus);
    assert!(first > position(500) && bytes < 20_000 + 2 * 4096, "{first}, {bytes} bytes");
}

#[test]
fn events_that_are_too_old_go() {
    let store = store(Retention::forever().max_age(Duration::from_mins(1)));
    let bus = store.open();
    publish(&bus, 0..200);
    store.sim.advance(SECOND * 50);
    publish(&bus, 200..400);
    store.sim.advance(SECOND * 30);
    publish(&bus, 400..401);
    store.sim.run_until_idle();
    let (first, _) = close(&store, &bus);
    assert!(first > position(100) && first <= position(201), "{first}");
}

#[test]
fn f6_what_a_subscription_has_not_handled_stays_also_while_it_does_not_run() {
    let store = store(Retention::forever().max_bytes(1));
    let bus = store.open();
    let list = seen();
    let reader = collect(&bus, "reader", &list);
    publish(&bus, 0..300);
    store.sim.run_until_idle();
    assert!(reader.stop(SECOND));
    publish(&bus, 300..900);
    store.sim.run_until_idle();
    let (first, _) = close(&store, &bus);
    assert!(first > position(200) && first <= position(301), "{first}");

    let bus = store.open();
    let list = seen();
    let reader = collect(&bus, "reader", &list);
    store.sim.run_until_idle();
    assert_eq!(*list.lock(), (300..900).collect::<Vec<_>>());
    assert_eq!(reader.status().lost, 0);
}

#[test]
fn a_subscription_that_needs_old_events_is_named() {
    let store = store(Retention::forever());
    let bus = store.open();
    let reader = collect(&bus, "slow-reader", &seen());
    publish(&bus, 0..100);
    store.sim.run_until_idle();
    reader.stop(SECOND);
    publish(&bus, 100..300);
    match bus.trim(position(200), Unread::Keep) {
        Err(TrimError::Unread { subscription, position: at }) => {
            assert_eq!((&*subscription, at), ("slow-reader", position(101)));
        }
        other => panic!("expected `Unread`, found {other:?}"),
    }
    let first = bus.trim(position(101), Unread::Keep).unwrap();
    assert!(first > position(1) && first <= position(101), "{first}");
}

#[test]
fn of_several_subscriptions_the_slowest_says_what_stays() {
    for (quick, slow) in [("a", "b"), ("b", "a")] {
        let store = store(Retention::forever());
        let bus = store.open();
        collect(&bus, quick, &seen());
        let reader = collect(&bus, slow, &seen());
        publish(&bus, 0..100);
        store.sim.run_until_idle();
        reader.stop(SECOND);
        publish(&bus, 100..300);
        store.sim.run_until_idle();
        match bus.trim(position(200), Unread::Keep) {
            Err(TrimError::Unread { subscription, position: at }) => {
                assert_eq!((&*subscription, at), (slow, position(101)));
            }
            other => panic!("expected `Unread`, found {other:?}"),
        }
    }
}

#[test]
fn f6_a_loss_by_choice_is_counted_and_named_and_the_rest_comes() {
    let store = store(Retention::forever());
    let bus = store.open();
    let reader = collect(&bus, "reader", &seen());
    publish(&bus, 0..100);
    store.sim.run_until_idle();
    reader.stop(SECOND);
    publish(&bus, 100..400);
    let first = bus.trim(position(350), Unread::Drop).unwrap();
    assert!(first > position(200), "{first}");

    let list = seen();
    let reader = collect(&bus, "reader", &list);
    store.sim.run_until_idle();
    assert_eq!(*list.lock(), (first.get() - 1..400).collect::<Vec<_>>());
    let [Loss { first: from, last, .. }] = reader.losses().unwrap()[..] else { panic!("a loss") };
    assert_eq!((from, last.next()), (position(101), first));
    assert_eq!(reader.status().lost, first.get() - 101);
    bus.shutdown(SECOND).unwrap();

    let reader = collect(&store.open(), "reader", &seen());
    assert_eq!(reader.status().lost, first.get() - 101, "it stays on record");
}

#[test]
fn g3_a_lane_that_lags_notices_what_was_dropped_under_it() {
    let store = store(Retention::forever());
    let bus = store.open();
    let list = seen();
    let reader = collect(&bus, "reader", &list);
    reader.pause();
    publish(&bus, 0..400);
    let first = bus.trim(position(300), Unread::Drop).unwrap();
    reader.resume();
    store.sim.run_until_idle();
    assert_eq!(*list.lock(), (first.get() - 1..400).collect::<Vec<_>>());
    assert_eq!(reader.status().lost, first.get() - 1);
}

#[test]
fn g3_a_reader_of_what_was_dropped_is_told() {
    let store = store(Retention::forever());
    let bus = store.open();
    publish(&bus, 0..300);
    let first = bus.trim(position(200), Unread::Keep).unwrap();
    bus.shutdown(SECOND).unwrap();
    let storage = store.storage();
    assert!(storage.read(&Query::from(Position::FIRST)).is_err());
    assert_eq!(storage.read(&Query::from(first)).unwrap().records[0].0, first);
}

#[test]
fn lanes_that_lose_the_same_events_count_them_once() {
    let store = store(Retention::forever());
    let bus = store.open();
    let reader = bus.subscribe("reader").lanes(4).on(|_: &Placed| ()).start().unwrap();
    reader.pause();
    publish(&bus, 0..400);
    let first = bus.trim(position(300), Unread::Drop).unwrap();
    reader.resume();
    store.sim.run_until_idle();
    assert_eq!(reader.status().lost, first.get() - 1);
    let losses = reader.losses().unwrap();
    assert_eq!(losses.iter().map(Loss::positions).sum::<u64>(), first.get() - 1);
}

#[test]
fn an_event_whose_record_is_gone_can_still_become_a_dead_letter() {
    let store = store(Retention::forever());
    let bus = store.open();
    let list = seen();
    let handled = list.clone();
    let failing = bus.subscribe("failing").ephemeral();
    failing
        .retry(tidings::Backoff::constant(SECOND * 10).max_attempts(3))
        .on(move |e: &Placed| {
            handled.lock().push(e.order);
            if e.order == 0 { Err(std::io::Error::other("not this one")) } else { Ok(()) }
        })
        .start()
        .unwrap();
    publish(&bus, 0..1);
    store.sim.advance(SECOND);
    publish(&bus, 1..200);
    store.sim.advance(SECOND);
    assert!(bus.trim(position(100), Unread::Keep).unwrap() > position(50), "nobody is waited for");
    store.sim.run_until_idle();
    assert_eq!(list.lock().iter().filter(|order| **order == 0).count(), 3);
    let dead = bus.dead_letters("failing").list().unwrap();
    assert_eq!(dead.len(), 1);
}
