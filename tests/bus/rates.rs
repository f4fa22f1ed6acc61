//! How often handlers are called at most.

use std::time::Duration;

use tidings::{Backoff, Context, HandlerError, Rate, Window, testing::Simulator};

use crate::{
    events::{Placed, SECOND, Seen, Tick, placed, seen, simulated},
    store::Store,
};

/// When events were handled, in milliseconds.
fn times<K: PartialEq>(handled: &Seen<(K, Duration)>, of: &K) -> Vec<u128> {
    let handled = handled.lock();
    handled.iter().filter(|(key, _)| key == of).map(|(_, at)| at.as_millis()).collect()
}

fn note<K: Clone>(sim: &Simulator, handled: &Seen<(K, Duration)>) -> impl Fn(K) + use<K> {
    let (sim, list) = (sim.clone(), handled.clone());
    move |key| list.lock().push((key, sim.elapsed()))
}

#[test]
fn a_subscription_keeps_its_rate_over_all_lanes() {
    let (sim, bus) = simulated(1);
    let handled = seen();
    let note = note(&sim, &handled);
    let rate = Rate::per_second(10).burst(3);
    bus.subscribe("slow").lanes(4).rate_limit(rate).on(move |_: &Placed| note(())).start().unwrap();
    bus.publish_all((0..20).map(|order| placed(order, 0))).unwrap();
    sim.advance(SECOND);
    assert_eq!(times(&handled, &()).len(), 13, "a burst, and what is due since");
    assert!(bus.wait_idle(10 * SECOND), "waiting waits for what rests");
    let expected: Vec<_> = [0, 0, 0].into_iter().chain((1..=17).map(|n| n * 100)).collect();
    assert_eq!(times(&handled, &()), expected);
}

#[test]
fn a_key_over_its_rate_waits_in_order_while_others_go_on() {
    let (sim, bus) = simulated(2);
    let handled = seen();
    let note = note(&sim, &handled);
    bus.subscribe("fair")
        .rate_limit_per_key(Rate::per_second(1))
        .on(move |event: &Placed| note((event.order, event.step)))
        .start()
        .unwrap();
    for step in 0..3 {
        bus.publish_all((0..3).map(|order| placed(order, step))).unwrap();
    }
    sim.run_until_idle();
    for order in 0..3 {
        for step in 0..3 {
            assert_eq!(times(&handled, &(order, step)), [u128::from(step) * 1000]);
        }
    }
}

#[test]
fn events_without_a_key_have_no_rate_for_each() {
    let (sim, bus) = simulated(3);
    let fast = bus.subscribe("fast").rate_limit_per_key(Rate::per_minute(1));
    let fast = fast.on(|_: &Tick| ()).start().unwrap();
    bus.publish_all((0..50).map(Tick)).unwrap();
    sim.run_until_idle();
    assert_eq!((fast.status().handled, sim.elapsed()), (50, Duration::ZERO));
}

#[test]
fn retries_keep_to_the_rate_too() {
    let (sim, bus) = simulated(4);
    let handled = seen();
    let note = note(&sim, &handled);
    bus.subscribe("failing")
        .retry(Backoff::constant(Duration::ZERO).max_attempts(3))
        .rate_limit(Rate::per_second(1))
        .on(move |_: &Placed, _: &mut Context| -> Result<(), HandlerError> {
            note(());
            Err(HandlerError::retry("never"))
        })
        .start()
        .unwrap();
    bus.publish_all([placed(1, 0), placed(2, 0)]).unwrap();
    sim.run_until_idle();
    assert_eq!(times(&handled, &()), [0, 1000, 2000, 3000, 4000, 5000]);
    assert_eq!(bus.dead_letters("failing").list().unwrap().len(), 2);
}

#[test]
fn what_waits_for_its_turn_survives_a_restart_without_an_attempt() {
    let store = Store::new();
    let handled = seen();
    for _ in 0..2 {
        let bus = store.open();
        let note = note(&store.sim, &handled);
        bus.subscribe("slow")
            .rate_limit(Rate::per_second(1).burst(10))
            .rate_limit_per_key(Rate::per_minute(1))
            .on(move |event: &Placed, ctx: &mut Context| note((event.step, ctx.attempt())))
            .start()
            .unwrap();
        if handled.lock().is_empty() {
            bus.publish_all((0..4).map(|step| placed(1, step))).unwrap();
        }
        store.sim.advance(61 * SECOND);
        store.kill(bus);
    }
    let order: Vec<_> = handled.lock().iter().map(|(what, _)| *what).collect();
    assert_eq!(order, [(0, 1), (1, 1), (2, 1), (3, 1)]);
}

/// It is looked at now and then, which is no call.
#[test]
fn a_copy_that_waits_for_its_original_takes_nothing_of_the_rate() {
    let (sim, bus) = simulated(1);
    let builder = bus.subscribe("reader").rate_limit(Rate::per_second(10)).max_in_flight(100);
    let builder = builder.idempotent_by(Window::last(100), |event: &Placed| event.step);
    let mut events = builder.stream::<Placed>().unwrap();
    bus.publish_all([placed(1, 7), placed(2, 7)]).unwrap();
    let original = events.next_within(SECOND).unwrap();
    bus.publish_all((10..40).map(|order| placed(order, order))).unwrap();
    let began = sim.elapsed();
    let others: Vec<_> = (0..20).map(|_| events.next_within(60 * SECOND).unwrap()).collect();
    let took = sim.elapsed().saturating_sub(began);
    assert!(took <= 2 * SECOND, "{took:?} for 20 events at 10 a second");
    others.into_iter().for_each(tidings::Unsettled::ack);
    original.ack();
    while let Some(event) = events.next_within(SECOND) {
        event.ack();
    }
    let ledger = events.subscription().ledger();
    assert_eq!((ledger.acknowledged, ledger.duplicate), (31, 1), "{ledger}");
}
