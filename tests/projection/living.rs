//! A projection that is up to date: its rows follow the events.

use tidings::{Backoff, Bus, ProjectError, SubscribeError, ViewError};

use crate::shop::{
    Cancelled, LookedAt, Placed, SECOND, Spent, Store, cancelled, expected, placed, rows, spending,
};

#[test]
fn what_was_published_is_in_the_rows() {
    let bus = Store::new().open();
    let spent = spending(&bus, 1).start().unwrap();
    for order in 0..50 {
        bus.publish(placed(order)).unwrap().settled_by(&bus, "spent", SECOND).unwrap();
    }
    let last = bus.publish(cancelled(7)).unwrap();
    last.settled_by(&bus, "spent", SECOND).unwrap();
    assert_eq!(rows(&spent), expected(&bus, 1));
    assert_eq!(spent.get(7 % 5).unwrap().unwrap().orders, 9);
    assert_eq!(spent.get("nobody").unwrap(), None);
    assert_eq!(spent.lag(), 0);
    let status = spent.status().unwrap();
    assert_eq!((status.serving, status.building, status.halted), (Some(1), None, None));
    assert_eq!(status.subscription.unwrap().handled, 51);
}

#[test]
fn a_row_that_is_removed_is_gone() {
    let bus = Store::new().open();
    let spent = spending(&bus, 1).start().unwrap();
    bus.publish(placed(1)).unwrap();
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&spent).len(), 1);
    bus.publish(cancelled(1)).unwrap();
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&spent).len(), 0);
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let store = Store::new();
    for round in 0..5 {
        let bus = store.open();
        let spent = spending(&bus, 1).start().unwrap();
        for order in 0..30 {
            bus.publish(placed(30 * round + order)).unwrap();
        }
        if round % 2 == 0 {
            assert!(bus.wait_idle(SECOND));
            assert_eq!(rows(&spent), expected(&bus, 1));
            bus.shutdown(SECOND).unwrap();
        } else {
            store.kill(bus);
        }
    }
    let bus = store.open();
    let spent = spending(&bus, 1).start().unwrap();
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&spent), expected(&bus, 1));
}

#[test]
fn many_rows_are_read_page_by_page_and_in_order() {
    let bus = Store::new().open();
    let by_order = bus.project::<i64>("by-order", 1);
    let by_order = by_order.on(|order: &Placed, rows| *rows.at(order.order) = order.cents);
    let by_order = by_order.start().unwrap();
    bus.publish_all((0..1000).map(placed)).unwrap();
    assert!(bus.wait_idle(SECOND));
    let read: Vec<_> = by_order.iter().map(Result::unwrap).collect();
    let mut keys: Vec<_> = (0..1000_u64).map(|order| order.to_string()).collect();
    keys.sort();
    assert_eq!(read.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), keys);
    assert!(read.iter().all(|(key, cents)| key.as_str().parse::<i64>().unwrap() + 1 == *cents));
}

#[test]
fn a_handler_that_panics_leaves_no_trace_and_its_event_is_kept() {
    let bus = Store::new().open();
    let picky = bus
        .project::<Spent>("picky", 1)
        .retry(Backoff::constant(SECOND).max_attempts(2))
        .on(|order: &Placed, rows| {
            rows.at(order.customer).orders += 1;
            assert!(order.order != 3, "not this one");
            rows.at(order.customer).cents += order.cents;
        })
        .start()
        .unwrap();
    for order in 0..10 {
        bus.publish(placed(order)).unwrap();
    }
    assert!(bus.wait_idle(10 * SECOND));
    let letters = bus.dead_letters("picky").list().unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].error().contains("not this one"));
    let row = picky.get(3).unwrap().unwrap();
    assert_eq!((row.orders, row.cents), (1, 9), "of order 8 alone");
}

#[test]
fn on_a_volatile_bus_rows_live_as_long_as_it_does() {
    let bus = Bus::volatile();
    let spent = spending(&bus, 1).start().unwrap();
    for order in 0..300 {
        bus.publish(placed(order)).unwrap();
    }
    assert!(bus.wait_idle(10 * SECOND));
    let read = rows(&spent);
    assert_eq!(read.values().map(|row| row.orders).sum::<i64>(), 300);
    assert_eq!(spent.get(0).unwrap(), read.get("0").copied());
    assert!(spent.wait_built(SECOND));
    assert_eq!(spent.status().unwrap().serving, Some(1));
    assert!(matches!(spent.rebuild(), Err(ProjectError::Volatile { .. })));
}

#[test]
fn rows_of_another_shape_are_told_by_name() {
    let store = Store::new();
    let bus = store.open();
    let spent = spending(&bus, 1).start().unwrap();
    bus.publish(placed(1)).unwrap();
    assert!(bus.wait_idle(SECOND));
    drop((bus, spent));
    let bus = store.open();
    let texts = bus.project::<String>("spent", 1);
    let texts = texts.on(|order: &Placed, rows| rows.at(order.customer).push('x')).start().unwrap();
    assert!(matches!(texts.get(1), Err(ViewError::Row { key, .. }) if key.as_str() == "1"));
    assert!(matches!(texts.iter().next(), Some(Err(ViewError::Row { .. }))));
    // What cannot be read is not overwritten.
    bus.publish(placed(1)).unwrap();
    store.sim.advance(SECOND);
    assert!(matches!(texts.get(1), Err(ViewError::Row { .. })));
}

#[test]
fn what_cannot_work_does_not_start() {
    let bus = Store::new().open();
    let start = |name: &str| bus.project::<Spent>(name, 1).on(|_: &Placed, _| ()).start();
    assert!(matches!(
        bus.project::<Spent>("none", 1).start(),
        Err(ProjectError::Subscribe(SubscribeError::NoHandler { .. }))
    ));
    assert!(matches!(
        start("no name"),
        Err(ProjectError::Subscribe(SubscribeError::InvalidName { .. }))
    ));
    let twice = bus.project::<Spent>("twice", 1).on(|_: &Placed, _| ()).on(|_: &Placed, _| ());
    assert!(matches!(
        twice.start(),
        Err(ProjectError::Subscribe(SubscribeError::DuplicateHandler { .. }))
    ));
    let late = bus.project::<Spent>("late", 1).on(|_: &Placed, _| ());
    let late = late.reconcile(|_: &Cancelled, _| ());
    assert!(matches!(late.start(), Err(ProjectError::Unhandled { .. })));
    bus.subscribe("plain").on(|_: &LookedAt| ()).start().unwrap().stop(SECOND);
    assert!(matches!(start("plain"), Err(ProjectError::NoProjection { .. })));
    start("good").unwrap();
    assert!(bus.wait_idle(SECOND));
    assert!(matches!(
        start("good"),
        Err(ProjectError::Subscribe(SubscribeError::DuplicateName { .. }))
    ));
}
