//! Handlers that get several events at a time.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tidings::{
    Backoff, Batched, Bus, CircuitBreaker, DeadLetterReason, Event, HandlerError, Lanes, Rate,
    Window, testing::Simulator,
};

use crate::{
    events::{Placed, SECOND, Seen, Shipped, Tick, placed, seen, simulated},
    store::Store,
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "notes")]
struct Note {
    text: String,
}

type Orders<'a, 'b> = &'a mut [Batched<'b, Placed>];

/// Notes the steps of each batch.
fn note(batches: &Seen<Vec<u64>>) -> impl Fn(&[Batched<'_, Placed>]) + Send + Sync + use<> {
    let batches = batches.clone();
    move |orders| batches.lock().push(orders.iter().map(|order| order.step).collect())
}

fn steps(of: &[Vec<u64>]) -> Vec<u64> {
    of.concat()
}

#[test]
fn a_batch_is_handled_when_it_is_full_or_its_first_event_has_waited() {
    let (sim, bus) = simulated(1);
    let batches = seen();
    let list = batches.clone();
    let rows = bus
        .subscribe("rows")
        .on_batch(10, SECOND, move |ticks: &mut [Batched<'_, Tick>]| list.lock().push(ticks.len()))
        .start()
        .unwrap();
    bus.publish_all((0..25).map(Tick)).unwrap();
    sim.advance(SECOND / 2);
    assert_eq!(*batches.lock(), [10, 10]);
    let ledger = rows.ledger();
    assert!((ledger.acknowledged, ledger.held) == (20, 5) && ledger.is_balanced(), "{ledger:?}");
    bus.publish_all((0..2).map(Tick)).unwrap();
    sim.advance(SECOND / 2);
    assert_eq!(*batches.lock(), [10, 10, 7], "the last event has waited for half the time");
    bus.publish(Tick(0)).unwrap();
    assert!(bus.wait_idle(2 * SECOND), "waiting waits for what is gathered");
    assert_eq!((batches.lock()[3], sim.elapsed()), (1, 2 * SECOND));
}

#[test]
fn without_a_wait_a_batch_is_what_is_there() {
    let (sim, bus) = simulated(2);
    let batches = seen();
    let note = note(&batches);
    bus.subscribe("rows")
        .on_batch(1000, Duration::ZERO, move |orders: Orders<'_, '_>| note(orders))
        .start()
        .unwrap();
    bus.publish_all((0..50).map(|step| placed(step % 3, step))).unwrap();
    sim.run_until_idle();
    assert_eq!((steps(&batches.lock()), sim.elapsed()), ((0..50).collect(), Duration::ZERO));
    assert!(batches.lock().len() < 10, "{:?}", batches.lock());
}

#[test]
fn an_event_that_fails_comes_again_by_itself_and_later_ones_of_its_key_after_it() {
    let (sim, bus) = simulated(3);
    let batches = seen();
    let note = note(&batches);
    let rows = bus.subscribe("rows").retry(Backoff::constant(SECOND));
    let handler = move |orders: Orders<'_, '_>| {
        note(orders);
        for order in orders.iter_mut() {
            if order.step == 2 && order.context().attempt() < 3 {
                order.fail(HandlerError::retry("not now"));
            }
        }
    };
    let rows = rows.on_batch(6, SECOND, handler).start().unwrap();
    bus.publish_all((0..6).map(|step| placed(step % 2, step))).unwrap();
    sim.run_until_idle();
    let expected = [vec![0, 1, 2, 3, 4, 5], vec![2], vec![2], vec![4]];
    assert_eq!(*batches.lock(), expected);
    assert_eq!((rows.status().handled, rows.status().retried), (6, 2));
}

#[test]
fn a_batch_that_fails_as_a_whole_is_nobodys_attempt_until_the_culprit_is_found() {
    for panics in [false, true] {
        let (sim, bus) = simulated(4);
        let batches = seen();
        let note = note(&batches);
        let rows = bus.subscribe("rows").retry(Backoff::constant(SECOND).max_attempts(2));
        let handler = move |orders: Orders<'_, '_>| -> Result<(), HandlerError> {
            note(orders);
            if orders.iter().any(|order| order.step == 3) {
                assert!(!panics, "no row like this");
                return Err(HandlerError::reject("no row like this"));
            }
            Ok(())
        };
        let rows = rows.on_batch(5, SECOND, handler).start().unwrap();
        bus.publish_all((0..5).map(|step| placed(step, step))).unwrap();
        sim.run_until_idle();
        let letters = bus.dead_letters("rows").list().unwrap();
        let letters: Vec<_> =
            letters.iter().map(|letter| (letter.position().get(), letter.reason())).collect();
        let reason = if panics { DeadLetterReason::Exhausted } else { DeadLetterReason::Rejected };
        assert_eq!(letters, [(4, reason)]);
        assert_eq!(batches.lock()[0], [0, 1, 2, 3, 4]);
        let mut alone = steps(&batches.lock()[1..]);
        alone.sort_unstable();
        alone.dedup();
        assert_eq!(alone, [0, 1, 2, 3, 4]);
        assert!(batches.lock()[1..].iter().all(|batch| batch.len() == 1));
        assert_eq!(rows.status().handled, 4);
    }
}

#[test]
fn what_a_failed_event_has_published_is_forgotten_and_the_rest_is_caused_by_its_event() {
    let (sim, bus) = simulated(5);
    let shipped = seen();
    let list = shipped.clone();
    bus.subscribe("shipped")
        .on(move |event: &Shipped, ctx: &mut tidings::Context| {
            list.lock().push((event.order, ctx.causation_id()));
        })
        .start()
        .unwrap();
    let rows = bus.subscribe("rows");
    let handler = move |orders: Orders<'_, '_>| {
        for order in orders.iter_mut() {
            order.publish(Shipped { order: order.order }).unwrap();
            if order.order == 1 {
                order.fail(HandlerError::reject("no"));
            }
        }
    };
    rows.on_batch(3, SECOND, handler).start().unwrap();
    let ids: Vec<_> = (0..3).map(|order| bus.publish(placed(order, 0)).unwrap().id).collect();
    sim.run_until_idle();
    assert_eq!(*shipped.lock(), [(0, Some(ids[0])), (2, Some(ids[2]))]);
}

#[test]
fn one_call_publishes_8_mib_at_most_whatever_the_number_of_its_events() {
    let store = Store::new();
    let bus = store.open();
    let refused = seen();
    let list = refused.clone();
    let handler = move |orders: Orders<'_, '_>| {
        for order in orders.iter_mut() {
            let text = "x".repeat(3 << 20);
            list.lock().push(order.publish(Note { text }).is_err());
        }
    };
    bus.subscribe("rows").on_batch(3, SECOND, handler).start().unwrap();
    bus.publish_all((0..3).map(|order| placed(order, 0))).unwrap();
    store.sim.run_until_idle();
    assert_eq!(*refused.lock(), [false, false, true]);
}

#[test]
fn filters_copies_and_expiry_are_looked_at_before_an_event_joins() {
    let (sim, bus) = simulated(7);
    let batches = seen();
    let note = note(&batches);
    let rows = bus
        .subscribe("rows")
        .filter(|order: &Placed| order.step != 1)
        .idempotent_by(Window::last(10), |order: &Placed| order.step)
        .on_batch(10, SECOND, move |orders: Orders<'_, '_>| note(orders))
        .start()
        .unwrap();
    for step in [0, 1, 2, 0, 3] {
        bus.publish(placed(step, step)).unwrap();
    }
    sim.run_until_idle();
    assert_eq!(*batches.lock(), [[0, 2, 3]]);
    let ledger = rows.ledger();
    assert_eq!((ledger.acknowledged, ledger.filtered, ledger.duplicate), (3, 1, 1));
}

#[test]
fn other_handlers_of_the_subscription_keep_the_order_of_a_key() {
    let (sim, bus) = simulated(8);
    let handled = seen();
    let (orders, shipments) = (handled.clone(), handled.clone());
    bus.subscribe("story")
        .on_batch(100, SECOND, move |events: Orders<'_, '_>| {
            orders.lock().extend(events.iter().map(|event| (event.order, "placed")));
        })
        .on(move |event: &Shipped| shipments.lock().push((event.order, "shipped")))
        .start()
        .unwrap();
    for order in [1, 2] {
        bus.publish(placed(order, 0)).unwrap();
    }
    bus.publish(Shipped { order: 2 }).unwrap();
    bus.publish(Shipped { order: 3 }).unwrap();
    bus.publish(placed(2, 1)).unwrap();
    sim.run_until_idle();
    let expected = [(1, "placed"), (2, "placed"), (2, "shipped"), (3, "shipped"), (2, "placed")];
    assert_eq!(*handled.lock(), expected);
}

#[test]
fn a_pause_and_a_stop_leave_what_is_gathered_for_later() {
    let store = Store::new();
    let bus = store.open();
    let batches = seen();
    let start = |bus: &Bus| {
        let note = note(&batches);
        let rows = bus.subscribe("rows");
        rows.on_batch(10, SECOND, move |orders: Orders<'_, '_>| note(orders)).start().unwrap()
    };
    let rows = start(&bus);
    bus.publish_all((0..3).map(|step| placed(step, step))).unwrap();
    store.sim.advance(SECOND / 2);
    rows.pause();
    store.sim.advance(5 * SECOND);
    assert!(batches.lock().is_empty());
    rows.resume();
    store.sim.advance(Duration::ZERO);
    let handled = || {
        let mut steps = steps(&batches.lock());
        steps.sort_unstable();
        steps
    };
    assert_eq!(handled(), [0, 1, 2], "they have waited for long enough");
    bus.publish_all((3..6).map(|step| placed(step, step))).unwrap();
    store.sim.advance(SECOND / 2);
    drop(bus.shutdown(SECOND / 4));
    assert_eq!(handled(), [0, 1, 2]);
    let bus = store.open();
    start(&bus);
    store.sim.run_until_idle();
    assert_eq!(handled(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_batch_that_a_crash_interrupts_comes_again() {
    let store = Store::new();
    let batches = seen();
    for round in 0..2 {
        let bus = store.open();
        let note = note(&batches);
        let rows = bus.subscribe("rows").on(|_: &Shipped| ());
        let rows = rows.on_batch(10, SECOND, move |orders: Orders<'_, '_>| note(orders));
        let rows = rows.start().unwrap();
        if round == 0 {
            bus.publish_all((0..3).map(|step| placed(step, step))).unwrap();
            // Which is committed while the others wait.
            bus.publish(Shipped { order: 9 }).unwrap();
            store.sim.advance(SECOND / 2);
            assert_eq!(rows.status().handled, 1);
            store.kill(bus);
        } else {
            store.sim.run_until_idle();
        }
    }
    assert_eq!(steps(&batches.lock()), [0, 1, 2]);
}

#[test]
fn a_batch_is_one_call_to_a_breaker_and_waits_for_one_that_is_open() {
    let (sim, bus) = simulated(9);
    let batches = seen();
    let list = batches.clone();
    let clock = sim.clone();
    let breaker = CircuitBreaker::default().min_calls(2).open_for(10 * SECOND);
    let rows =
        bus.subscribe("rows").retry(Backoff::constant(Duration::ZERO)).circuit_breaker(breaker);
    let handler = move |orders: Orders<'_, '_>| -> Result<(), HandlerError> {
        list.lock().push(orders.len());
        if clock.elapsed() < 9 * SECOND {
            return Err(HandlerError::retry("the database is down"));
        }
        Ok(())
    };
    let rows = rows.on_batch(4, SECOND, handler).start().unwrap();
    bus.publish_all((0..8).map(|step| placed(step, step))).unwrap();
    sim.advance(2 * SECOND);
    assert_eq!(*batches.lock(), [4, 4], "two calls have failed, and the breaker is open");
    sim.run_until_idle();
    assert_eq!((rows.status().handled, rows.status().dead_letters), (8, 0));
}

#[test]
fn the_events_of_a_batch_keep_to_the_rate_one_by_one() {
    let (sim, bus) = simulated(14);
    let calls = seen();
    let (list, clock) = (calls.clone(), sim.clone());
    let note = move |ticks: &mut [Batched<'_, Tick>]| {
        list.lock().push((ticks.len(), clock.elapsed().as_millis()));
    };
    let rows = bus.subscribe("rows").rate_limit(Rate::per_second(10).burst(3));
    rows.on_batch(5, SECOND, note).start().unwrap();
    bus.publish_all((0..15).map(Tick)).unwrap();
    sim.run_until_idle();
    assert_eq!(*calls.lock(), [(5, 200), (5, 700), (5, 1200)]);
}

#[test]
fn a_copy_of_what_is_gathered_takes_nothing_of_the_rate() {
    let (sim, bus) = simulated(15);
    let calls = seen();
    let (list, clock) = (calls.clone(), sim.clone());
    let note = move |orders: Orders<'_, '_>| {
        list.lock().push((orders.len(), clock.elapsed().as_millis()));
    };
    let rows = bus.subscribe("rows").rate_limit(Rate::per_second(10));
    let rows = rows.idempotent_by(Window::last(100), |order: &Placed| order.step);
    let rows = rows.on_batch(10, 10 * SECOND, note).start().unwrap();
    bus.publish_all([placed(1, 7), placed(2, 7)]).unwrap();
    bus.publish_all((10..19).map(|order| placed(order, order))).unwrap();
    sim.run_until_idle();
    assert_eq!(*calls.lock(), [(10, 900)]);
    assert_eq!(rows.ledger().duplicate, 1);
}

#[test]
fn batches_of_several_lanes_keep_to_the_bound_of_handlers_at_work() {
    let (sim, bus) = simulated(10);
    let rows = bus.subscribe("rows").lanes(4).max_concurrency(1);
    let rows = rows.on_batch(3, SECOND, |_: Orders<'_, '_>| ()).start().unwrap();
    bus.publish_all((0..100).map(|step| placed(step, step))).unwrap();
    sim.run_until_idle();
    assert_eq!(rows.status().handled, 100);
}

/// Of each key, the steps that were handled for good: not those that come again because one before
/// them in their batch has failed.
#[derive(Default)]
struct Kept(BTreeMap<u64, Vec<u64>>);

#[test]
fn what_is_gathered_is_handled_in_its_time_however_often_the_lanes_change() {
    let (sim, bus) = simulated(5);
    let batches = seen();
    let list = batches.clone();
    let rows = bus
        .subscribe("rows")
        .lanes(Lanes::adaptive(1..=4))
        .rate_limit(Rate::per_second(1))
        .on_batch(10, SECOND / 2, move |ticks: &mut [Batched<'_, Tick>]| {
            list.lock().push(ticks.len());
        })
        .start()
        .unwrap();
    bus.publish_all((0..4).map(Tick)).unwrap();
    for round in 0..100 {
        rows.ask_for_lanes(1 + round % 4);
        sim.advance(SECOND / 20);
    }
    assert!(rows.status().lane_changes > 20, "{:?}", rows.status());
    assert_eq!(batches.lock().iter().sum::<usize>(), 4, "{:?}", batches.lock());
}

fn handle_at_random(
    sim: &Simulator,
    kept: &Seen<Kept>,
    orders: Orders<'_, '_>,
) -> Result<(), HandlerError> {
    match sim.random_below(10) {
        0 => panic!("at random"),
        1 => return Err(HandlerError::retry("at random")),
        _ => {}
    }
    let mut failed = Vec::new();
    let mut handled = Vec::new();
    for order in orders.iter_mut() {
        if failed.contains(&order.order) {
            continue;
        }
        if sim.random_below(5) == 0 {
            failed.push(order.order);
            order.fail(HandlerError::retry("at random"));
        } else {
            handled.push((order.order, order.step));
        }
    }
    if kept.lock().is_empty() {
        kept.lock().push(Kept::default());
    }
    for (order, step) in handled {
        kept.lock()[0].0.entry(order).or_default().push(step);
    }
    Ok(())
}

#[test]
fn whatever_fails_each_key_is_handled_in_order_and_nothing_is_lost() {
    for seed in 0..300 {
        let (sim, bus) = simulated(seed);
        let kept: Seen<Kept> = seen();
        let (list, clock) = (kept.clone(), sim.clone());
        let linger = Duration::from_millis(sim.random_below(50));
        let max = 1 + sim.random_below(20) as usize;
        let mut rows = bus.subscribe("rows");
        if seed % 2 == 0 {
            // Some of a key wait for their time while others of it are gathered.
            rows = rows.rate_limit_per_key(Rate::per_second(100).burst(2));
        }
        let rows = rows
            .lanes(1 + sim.random_below(3) as u32)
            .retry(
                Backoff::constant(Duration::from_millis(sim.random_below(20))).max_attempts(1000),
            )
            .on_batch(max, linger, move |orders: Orders<'_, '_>| {
                handle_at_random(&clock, &list, orders)
            })
            .on(|_: &Shipped| ())
            .start()
            .unwrap();
        for step in 0..40 {
            bus.publish_all((0..4).map(|order| placed(order, step))).unwrap();
            if sim.random_below(3) == 0 {
                bus.publish(Shipped { order: step % 4 }).unwrap();
            }
            match sim.random_below(8) {
                0 => rows.pause(),
                1 => rows.resume(),
                _ => sim.advance(Duration::from_millis(sim.random_below(30))),
            }
        }
        rows.resume();
        sim.run_until_idle();
        let expected: Vec<_> = (0..40).collect();
        let kept = std::mem::take(&mut kept.lock()[0].0);
        assert_eq!(kept.len(), 4, "seed {seed}");
        assert!(kept.values().all(|steps| *steps == expected), "seed {seed}: {kept:?}");
        let ledger = rows.ledger();
        assert!(ledger.is_balanced(), "seed {seed}: {ledger:?}");
    }
}
