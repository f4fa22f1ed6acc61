//! Reading what one has just written: waiting until a subscription is done with an event.

use std::{sync::Arc, time::Duration};

use tidings::{Backoff, HandlerError, SettleError};

use crate::{
    events::{Placed, SECOND, Tick, placed, seen, simulated},
    store::Store,
};

#[test]
fn what_was_published_is_in_the_view() {
    let store = Store::new();
    let (sim, volatile) = simulated(3);
    for (bus, sim) in [(store.open(), &store.sim), (volatile, &sim)] {
        for lanes in [1_u32, 4] {
            let view = seen();
            let orders = Arc::clone(&view);
            let name = format!("view-{lanes}");
            let on = move |event: &Placed| orders.lock().push(event.order);
            bus.subscribe(&name).lanes(lanes).on(on).start().unwrap();
            for order in (0..30).map(|order| 100 * u64::from(lanes) + order) {
                bus.publish(Tick(0)).unwrap();
                let receipt = bus.publish(placed(order, 0)).unwrap();
                receipt.settled_by(&bus, &name, SECOND).unwrap();
                assert!(view.lock().contains(&order), "{order}");
            }
            bus.publish(Tick(1)).unwrap().settled_by(&bus, &name, SECOND).unwrap();
        }
        sim.run_until_idle();
    }
}

/// Only the event itself is waited for, not what else the subscription has to do.
#[test]
fn others_that_fail_are_not_waited_for() {
    let store = Store::new();
    let (sim, volatile) = simulated(3);
    for (bus, sim) in [(store.open(), &store.sim), (volatile, &sim)] {
        bus.subscribe("view")
            .lanes(2)
            .retry(Backoff::constant(10 * SECOND).max_attempts(3))
            .on(|event: &Placed| match event.order {
                7 => Err(HandlerError::retry("it never works")),
                _ => Ok(()),
            })
            .start()
            .unwrap();
        let failing = bus.publish(placed(7, 0)).unwrap();
        let behind = bus.publish(placed(7, 1)).unwrap();
        for order in 0..7 {
            let receipt = bus.publish(placed(order, 0)).unwrap();
            receipt.settled_by(&bus, "view", SECOND).unwrap();
        }
        let open = failing.settled_by(&bus, "view", SECOND).unwrap_err();
        assert!(matches!(open, SettleError::Open { .. }), "{open}");
        let dead = failing.settled_by(&bus, "view", 60 * SECOND).unwrap_err();
        assert_eq!(
            dead.to_string(),
            "`view` could not handle the event at position 1: it is a dead letter"
        );
        assert!(matches!(
            behind.settled_by(&bus, "view", 100 * SECOND),
            Err(SettleError::Dead { .. })
        ));
        sim.run_until_idle();
    }
}

/// What is settled is committed: no crash takes it back.
#[test]
fn what_was_settled_does_not_come_again() {
    for seed in 0..40 {
        let store = Store { sim: tidings::testing::Simulator::new(seed), ..Store::new() };
        let calls = seen();
        let start = |bus: &tidings::Bus| {
            let called = Arc::clone(&calls);
            let retry = Backoff::constant(Duration::from_millis(5));
            let handler = move |event: &Placed, ctx: &mut tidings::Context| {
                if event.step == 1 && ctx.attempt() == 1 {
                    return Err(HandlerError::retry("the first attempt"));
                }
                called.lock().push(ctx.position().get());
                Ok(())
            };
            bus.subscribe("view").lanes(2).retry(retry).on(handler).start().unwrap()
        };
        let bus = store.open();
        start(&bus);
        let wanted = bus.publish(placed(1, seed % 2)).unwrap();
        bus.publish_all((2..6).map(|order| placed(order, order % 2))).unwrap();
        wanted.settled_by(&bus, "view", SECOND).unwrap();
        store.kill(bus);
        let bus = store.open();
        start(&bus);
        store.sim.run_until_idle();
        let times = calls.lock().iter().filter(|at| **at == wanted.position.get()).count();
        assert_eq!(times, 1, "seed {seed}");
    }
}

#[test]
fn waiting_for_nobody_is_refused() {
    let (sim, bus) = simulated(1);
    let receipt = bus.publish(Tick(1)).unwrap();
    let error = receipt.settled_by(&bus, "nobody", SECOND).unwrap_err();
    assert_eq!(error.to_string(), "no subscription named `nobody` runs");
    let refusals = seen();
    let (refused, inner) = (Arc::clone(&refusals), bus.clone());
    let handler = move |_: &Tick| {
        let receipt = inner.publish(placed(1, 1)).unwrap();
        refused.lock().push(receipt.settled_by(&inner, "view", SECOND).unwrap_err().to_string());
    };
    let view = bus.subscribe("view").on(handler).start().unwrap();
    bus.publish(Tick(2)).unwrap();
    sim.run_until_idle();
    let error = refusals.lock()[0].clone();
    assert_eq!(error, "a handler cannot wait for what a subscription does with an event");
    view.stop(SECOND);
}
