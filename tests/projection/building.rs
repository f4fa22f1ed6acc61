//! Building rows from history: in the background, and beside those that are served.

use tidings::{Position, ProjectError, Retention, Unread, ViewError};

use crate::shop::{
    LookedAt, Placed, SECOND, Spent, Store, cancelled, expected, placed, rows, spending,
};

fn publish(bus: &tidings::Bus, orders: std::ops::Range<u64>) {
    for order in orders {
        bus.publish(placed(order)).unwrap();
        bus.publish(LookedAt).unwrap();
        if order % 3 == 0 {
            bus.publish(cancelled(order)).unwrap();
        }
    }
}

#[test]
fn a_new_projection_has_everything_that_was_published_before_it() {
    let bus = Store::new().open();
    publish(&bus, 0..300);
    let spent = spending(&bus, 1).build_in_chunks_of(32).start().unwrap();
    assert!(matches!(spent.get(1), Err(ViewError::NotBuilt { .. })));
    let progress = spent.status().unwrap().building.unwrap();
    assert_eq!((progress.position, progress.end), (Position::FIRST, bus.end()));
    assert_eq!(spent.lag(), bus.end().since(Position::FIRST));
    assert!(spent.wait_built(SECOND));
    publish(&bus, 300..400);
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&spent), expected(&bus, 1));
    // Most was built, and each event counted once.
    let handled = spent.status().unwrap().subscription.unwrap().handled;
    assert!((100..200).contains(&handled), "{handled}");
}

#[test]
fn who_waits_for_an_event_waits_for_the_build_as_well() {
    let bus = Store::new().open();
    publish(&bus, 0..300);
    let spent = spending(&bus, 1).build_in_chunks_of(32).start().unwrap();
    let last = bus.publish(placed(1000)).unwrap();
    last.settled_by(&bus, "spent", SECOND).unwrap();
    assert_eq!(rows(&spent), expected(&bus, 1));
}

#[test]
fn a_build_that_dies_goes_on_from_its_last_chunk() {
    let store = Store::new();
    let bus = store.open();
    publish(&bus, 0..300);
    drop(bus);
    let mut reached = Position::FIRST;
    for round in 0..1000 {
        let bus = store.open();
        let spent = spending(&bus, 1).build_in_chunks_of(32).start().unwrap();
        if spent.status().unwrap().building.is_none() {
            assert!(reached > Position::FIRST);
            assert!(bus.wait_idle(SECOND));
            assert_eq!(rows(&spent), expected(&bus, 1));
            return;
        }
        let position = spent.status().unwrap().building.unwrap().position;
        assert!(position >= reached);
        reached = position;
        assert!((0..round % 16).all(|_| store.sim.step()));
        assert!(spent.get(1).is_err() || spent.wait_built(SECOND));
        store.kill(bus);
    }
    panic!("it was never built");
}

#[test]
fn rows_are_built_anew_beside_those_that_are_served_and_kept_up_to_date() {
    let store = Store::new();
    let bus = store.open();
    let spent = spending(&bus, 1).build_in_chunks_of(16).start().unwrap();
    publish(&bus, 0..200);
    assert!(bus.wait_idle(SECOND));
    spent.rebuild().unwrap();
    assert!(matches!(spent.rebuild(), Err(ProjectError::Building { .. })));
    let mut order = 1000;
    while spent.status().unwrap().building.is_some() {
        let last = bus.publish(placed(order)).unwrap();
        last.settled_by(&bus, "spent", SECOND).unwrap();
        assert_eq!(rows(&spent), expected(&bus, 1), "after order {order}");
        order += 1;
    }
    assert!(order > 1005, "{order}");
    publish(&bus, 2000..2010);
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&spent), expected(&bus, 1));
    spent.rebuild().unwrap();
    assert!(spent.wait_built(SECOND));
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&spent), expected(&bus, 1));
}

#[test]
fn a_later_version_takes_the_place_of_one_that_goes_on_until_then() {
    let store = Store::new();
    let bus = store.open();
    let old = spending(&bus, 1).start().unwrap();
    publish(&bus, 0..200);
    assert!(bus.wait_idle(SECOND));
    let new = spending(&bus, 2).build_in_chunks_of(16).start().unwrap();
    let mut order = 1000;
    while new.status().unwrap().building.is_some() {
        let last = bus.publish(placed(order)).unwrap();
        last.settled_by(&bus, "spent", SECOND).unwrap();
        let (served, read) = (new.status().unwrap().serving.unwrap(), rows(&new));
        assert_eq!(read, expected(&bus, served));
        order += 1;
    }
    assert!(order > 1005, "{order}");
    assert_eq!(new.status().unwrap().serving, Some(2));
    publish(&bus, 2000..2010);
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&new), expected(&bus, 2));
    assert_eq!(rows(&old), rows(&new), "one name, one set of rows");
}

#[test]
fn after_a_restart_older_rows_are_served_as_they_are_until_the_new_ones_are_there() {
    let store = Store::new();
    let bus = store.open();
    let spent = spending(&bus, 1).start().unwrap();
    publish(&bus, 0..200);
    assert!(bus.wait_idle(SECOND));
    let before = expected(&bus, 1);
    drop((bus, spent));
    let bus = store.open();
    let spent = spending(&bus, 2).build_in_chunks_of(16).start().unwrap();
    publish(&bus, 200..210);
    assert_eq!(rows(&spent), before);
    assert_eq!(spent.status().unwrap().serving, Some(1));
    assert!(spent.wait_built(SECOND));
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&spent), expected(&bus, 2));
    drop((bus, spent));
    let bus = store.open();
    let superseded = spending(&bus, 1).start().unwrap_err();
    assert!(matches!(superseded, ProjectError::Superseded { stored: 2, version: 1, .. }));
}

#[test]
fn nothing_is_left_of_rows_that_are_not_served() {
    let store = Store::new();
    let bus = store.open();
    let spent = spending(&bus, 1).start().unwrap();
    publish(&bus, 0..50);
    assert!(bus.wait_idle(SECOND));
    for _ in 0..3 {
        spent.rebuild().unwrap();
        assert!(bus.wait_idle(SECOND));
    }
    let count = rows(&spent).len();
    drop((bus, spent));
    let stored = store.stored(b"row\0spent\0");
    assert_eq!(stored.len(), count);
}

#[test]
fn an_iteration_across_a_switch_is_told_so() {
    let store = Store::new();
    let bus = store.open();
    let by_order = bus.project::<i64>("by-order", 1);
    let by_order = by_order.on(|order: &Placed, rows| *rows.at(order.order) += 1);
    let by_order = by_order.start().unwrap();
    bus.publish_all((0..600).map(placed)).unwrap();
    assert!(bus.wait_idle(SECOND));
    let mut iter = by_order.iter();
    assert!(iter.next().unwrap().is_ok());
    by_order.rebuild().unwrap();
    assert!(bus.wait_idle(SECOND));
    let rest: Vec<_> = iter.collect();
    let (last, good) = rest.split_last().unwrap();
    assert!(good.iter().all(Result::is_ok));
    assert!(matches!(last, Err(ViewError::Switched { .. })));
    assert!(by_order.iter().all(|row| row.unwrap().1 == 1));
}

#[test]
fn a_new_version_that_cannot_take_an_event_never_replaces_the_old_one() {
    let store = Store::new();
    let bus = store.open();
    let old = spending(&bus, 1).start().unwrap();
    publish(&bus, 0..100);
    assert!(bus.wait_idle(SECOND));
    let bad = bus.project::<Spent>("spent", 2).build_in_chunks_of(16);
    let bad = bad.on(|order: &Placed, _| assert!(order.order != 50, "not this one"));
    let bad = bad.start().unwrap();
    assert!(!bad.wait_built(SECOND));
    let status = bad.status().unwrap();
    let halted = status.halted.unwrap();
    let position = bus
        .history()
        .of::<Placed>()
        .into_iter()
        .map(Result::unwrap)
        .find(|past| past.order == 50)
        .unwrap()
        .position();
    assert_eq!((status.serving, halted.position), (Some(1), position));
    assert!(halted.reason.contains("not this one"), "{halted:?}");
    publish(&bus, 100..110);
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&old), expected(&bus, 1));
    // A better one begins anew.
    let good = spending(&bus, 3).start().unwrap();
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&good), expected(&bus, 3));
}

#[test]
fn the_first_build_leaves_what_it_cannot_take_to_the_subscription() {
    let bus = Store::new().open();
    publish(&bus, 0..100);
    let picky = bus.project::<Spent>("picky", 1).build_in_chunks_of(16);
    let picky = picky.retry(tidings::Backoff::never()).on(|order: &Placed, rows| {
        rows.at("all").orders += 1;
        assert!(order.order != 50, "not this one");
    });
    let picky = picky.start().unwrap();
    assert!(picky.wait_built(SECOND));
    assert!(bus.wait_idle(SECOND));
    assert_eq!(picky.get("all").unwrap().unwrap().orders, 99);
    assert_eq!(bus.dead_letters("picky").list().unwrap().len(), 1);
}

#[test]
fn retention_keeps_what_is_not_built_yet() {
    let store = Store::new();
    let bus = store.open_with(Retention::forever().max_bytes(1));
    publish(&bus, 0..300);
    let spent = spending(&bus, 1).build_in_chunks_of(16).start().unwrap();
    while spent.status().unwrap().building.unwrap().position == Position::FIRST {
        assert!(store.sim.step());
    }
    let refused = bus.trim(bus.end(), Unread::Keep);
    let kept = refused.map_or_else(|_| true, |first| first < bus.end());
    assert!(kept);
    assert!(spent.wait_built(SECOND));
    assert!(bus.wait_idle(SECOND));
    assert_eq!(rows(&spent).values().map(|row| row.orders).sum::<i64>(), 200);
}

#[test]
fn rows_too_large_for_one_commit_are_built_in_smaller_chunks() {
    let bus = Store::new().open();
    bus.publish_all((0..40).map(placed)).unwrap();
    let large = bus.project::<String>("large", 1);
    let large = large.on(|order: &Placed, rows| {
        let text = rows.at(order.order);
        *text = "x".repeat(1 << 20);
    });
    let large = large.start().unwrap();
    assert!(large.wait_built(10 * SECOND));
    assert!(bus.wait_idle(SECOND));
    assert_eq!(large.iter().filter(|row| row.as_ref().unwrap().1.len() == 1 << 20).count(), 40);
}
