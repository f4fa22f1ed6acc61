//! Events that a subscription passes over: counted, never in silence.

use std::{sync::Arc, time::Duration};

use tidings::{Backoff, Bus, HandlerError, Message, SubscribeError};

use crate::{
    events::{Placed, SECOND, Tick, placed, seen, simulated},
    store::Store,
};

#[test]
fn a_filter_keeps_events_from_the_handler() {
    let (sim, bus) = simulated(1);
    let large = seen();
    let orders = Arc::clone(&large);
    let reader = bus
        .subscribe("large")
        .on(move |event: &Placed| orders.lock().push(event.order))
        .filter(|event: &Placed| event.order >= 10)
        .filter(|event: &Placed| event.order.is_multiple_of(2))
        .start()
        .unwrap();
    (8..15).for_each(|order| _ = bus.publish(placed(order, 0)).unwrap());
    sim.run_until_idle();
    assert_eq!(*large.lock(), [10, 12, 14]);
    assert_eq!(reader.ledger().to_string(), "7 matched = 3 acknowledged + 4 filtered");
    assert_eq!(reader.status().handled, 3, "what is filtered out was not handled");
}

/// As a handler that panics.
#[test]
fn f20_a_filter_that_panics_is_a_failed_attempt() {
    let (sim, bus) = simulated(1);
    let calls = seen();
    let called = Arc::clone(&calls);
    let reader = bus
        .subscribe("reader")
        .retry(Backoff::constant(SECOND).max_attempts(3))
        .filter(move |tick: &Tick| {
            called.lock().push(tick.0);
            if tick.0 == 1 {
                std::panic::resume_unwind(Box::new("a filter"));
            }
            true
        })
        .on(|_: &Tick| ())
        .start()
        .unwrap();
    bus.publish_all([Tick(1), Tick(2)]).unwrap();
    sim.run_until_idle();
    assert_eq!(*calls.lock(), [1, 2, 1, 1]);
    assert_eq!(reader.ledger().to_string(), "2 matched = 1 acknowledged + 1 dead");
}

#[test]
fn a_filter_needs_a_handler() {
    let (_sim, bus) = simulated(1);
    let started = bus.subscribe("x").filter(|_: &Tick| true).on(|_: &Placed| ()).start();
    let error = started.unwrap_err();
    assert!(
        matches!(&error, SubscribeError::Unhandled { event, .. } if event == "ticks"),
        "{error}"
    );
    let inline = bus.subscribe("x").filter(|_: &Tick| true).on_inline(|_: &Tick| ()).start();
    assert!(matches!(inline, Err(SubscribeError::Unhandled { .. })));
}

#[test]
fn an_event_expires_while_it_waits() {
    let (sim, bus) = simulated(1);
    let handled = seen();
    let ticks = Arc::clone(&handled);
    let reader =
        bus.subscribe("reader").on(move |tick: &Tick| ticks.lock().push(tick.0)).start().unwrap();
    reader.pause();
    for (tick, seconds) in [(1, 2), (2, 4), (3, 8)] {
        let time = Duration::from_secs(seconds);
        bus.publish(Message::new(Tick(tick)).expires_after(time)).unwrap();
    }
    bus.publish(Tick(4)).unwrap();
    sim.advance(4 * SECOND);
    reader.resume();
    sim.run_until_idle();
    assert_eq!(*handled.lock(), [3, 4]);
    assert_eq!(reader.ledger().to_string(), "4 matched = 2 acknowledged + 2 expired");
}

#[test]
fn an_event_expires_between_attempts_and_sets_its_key_free() {
    let store = Store::new();
    let bus = store.open();
    let handled = seen();
    let orders = Arc::clone(&handled);
    let reader = bus
        .subscribe("reader")
        .retry(Backoff::constant(SECOND))
        .on(move |event: &Placed| {
            if event.step == 0 {
                return Err(HandlerError::retry("the first step fails"));
            }
            orders.lock().push(event.step);
            Ok(())
        })
        .start()
        .unwrap();
    bus.publish(Message::new(placed(7, 0)).expires_after(10 * SECOND)).unwrap();
    bus.publish(placed(7, 1)).unwrap();
    store.sim.advance(9 * SECOND);
    assert_eq!(reader.ledger().to_string(), "2 matched = 0 acknowledged + 2 held");
    store.sim.run_until_idle();
    assert_eq!(*handled.lock(), [1]);
    assert_eq!(reader.ledger().to_string(), "2 matched = 1 acknowledged + 1 expired");
}

#[test]
fn the_ledger_of_a_stored_subscription_goes_on_after_a_restart() {
    let store = Store::new();
    let start = |bus: &Bus, lanes: u32| {
        let builder = bus.subscribe("reader").lanes(lanes).retry(Backoff::never());
        let builder = builder.filter(|event: &Placed| event.order != 3);
        let fails = |event: &Placed| match event.order {
            0 => Err(HandlerError::reject("no")),
            _ => Ok(()),
        };
        builder.on(fails).start().unwrap()
    };
    for (life, lanes) in [(1, 2), (2, 5), (3, 1)] {
        let bus = store.open();
        let reader = start(&bus, lanes);
        (0..4).for_each(|order| _ = bus.publish(placed(order, 0)).unwrap());
        store.sim.run_until_idle();
        let ledger = reader.ledger();
        assert!(ledger.is_balanced(), "{ledger}");
        let counts = (ledger.matched, ledger.acknowledged, ledger.dead, ledger.filtered);
        assert_eq!(counts, (4 * life, 2 * life, 1, life), "{ledger}");
        assert_eq!(ledger.discarded, life - 1);
        let letters = bus.dead_letters("reader");
        letters.discard(letters.list().unwrap()[0].position()).unwrap();
        assert_eq!((reader.ledger().dead, reader.ledger().discarded), (0, life));
        if life == 1 { store.kill(bus) } else { drop(bus.shutdown(SECOND).unwrap()) }
    }
}
