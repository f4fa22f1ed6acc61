//! Dead letters that are kept for some time only.

use std::time::Duration;

use tidings::{Backoff, Bus, HandlerError, OnDeadLetter, Subscription};

use crate::{
    events::{Placed, SECOND, Seen, placed, seen, simulated},
    store::Store,
};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Handles every step but 0, and keeps dead letters for an hour.
fn billing(bus: &Bus, handled: &Seen<u64>) -> Subscription {
    let handled = handled.clone();
    let handle = move |event: &Placed| match event.step {
        0 => Err(HandlerError::reject("no step 0")),
        step => {
            handled.lock().push(step);
            Ok(())
        }
    };
    let billing = bus.subscribe("billing").retry(Backoff::never()).dead_letter_retention(HOUR);
    billing.on_dead_letter(OnDeadLetter::HoldKey).on(handle).start().unwrap()
}

fn count(bus: &Bus) -> usize {
    bus.dead_letters("billing").list().unwrap().len()
}

#[test]
fn letters_go_when_they_have_come_of_age_and_are_counted() {
    let (sim, bus) = simulated(1);
    let store = Store::new();
    let durable = (store.sim.clone(), store.open());
    for (sim, bus) in [(sim, bus), durable] {
        let billing = billing(&bus, &seen());
        for order in 0..3 {
            bus.publish(placed(order, 0)).unwrap();
            sim.advance(HOUR / 4);
        }
        assert_eq!(count(&bus), 3);
        sim.advance(HOUR / 4 + SECOND);
        assert_eq!((count(&bus), billing.ledger().discarded), (2, 1));
        sim.advance(HOUR / 4 + SECOND);
        assert_eq!((count(&bus), billing.status().discarded), (1, 2));
        sim.run_until_idle();
        assert_eq!(count(&bus), 0);
        bus.publish(placed(9, 0)).unwrap();
        sim.advance(59 * MINUTE);
        assert_eq!(count(&bus), 1);
        sim.advance(2 * MINUTE);
        assert_eq!(count(&bus), 0, "it looks again when there is a letter again");
        assert!(billing.ledger().is_balanced());
    }
}

#[test]
fn what_is_behind_an_old_letter_of_its_key_follows() {
    let (sim, bus) = simulated(1);
    let handled = seen();
    let _billing = billing(&bus, &handled);
    bus.publish(placed(7, 0)).unwrap();
    sim.advance(HOUR / 2);
    bus.publish(placed(7, 1)).unwrap();
    sim.advance(29 * MINUTE);
    assert!(handled.lock().is_empty());
    sim.advance(2 * MINUTE);
    assert_eq!(*handled.lock(), [1]);
}

#[test]
fn letters_that_grew_old_while_nobody_ran_go_at_the_start() {
    let store = Store::new();
    let bus = store.open();
    let _billing = billing(&bus, &seen());
    bus.publish_all((0..600).map(|order| placed(order, 0))).unwrap();
    store.sim.advance(SECOND);
    assert_eq!(count(&bus), 600);
    store.kill(bus);
    let bus = store.open();
    store.sim.advance(2 * HOUR);
    assert_eq!(count(&bus), 600, "nobody runs");
    let billing = billing(&bus, &seen());
    store.sim.advance(SECOND);
    assert_eq!((count(&bus), billing.status().discarded), (0, 600));
    assert!(billing.ledger().is_balanced());
}

#[test]
fn without_it_they_stay() {
    let (sim, bus) = simulated(1);
    let handle = |_: &Placed| -> Result<(), HandlerError> { Err(HandlerError::reject("no")) };
    bus.subscribe("billing").on(handle).start().unwrap();
    bus.publish(placed(7, 0)).unwrap();
    sim.advance(10_000 * HOUR);
    assert_eq!(count(&bus), 1);
}
