//! What can be a handler, and what becomes of its outcome.

use std::{num::ParseIntError, time::Duration};

use tidings::{
    Backoff, Bus, Context, DeadLetterReason, Handler, HandlerError, HandlerErrorExt, SubscribeError,
};

use crate::events::{Placed, SECOND, Seen, Shipped, Tick, placed, seen, simulated};

#[test]
fn a_handler_is_a_closure_a_function_or_a_type() {
    fn function(event: &Placed) {
        assert_eq!(event.order, 1);
    }
    fn fallible(event: &Placed, ctx: &mut Context) -> Result<(), ParseIntError> {
        let key: u64 = ctx.key().unwrap().as_str().parse()?;
        assert_eq!(key, event.order);
        Ok(())
    }
    struct Counting(Seen<u64>);
    impl Handler<Placed> for Counting {
        fn handle(&self, event: &Placed, _: &mut Context) -> Result<(), HandlerError> {
            self.0.lock().push(event.order);
            Ok(())
        }
    }

    let (sim, bus) = simulated(1);
    let count = seen();
    let in_closure = count.clone();
    bus.subscribe("closure").on(move |e: &Placed| in_closure.lock().push(e.order)).start().unwrap();
    bus.subscribe("function").on(function).start().unwrap();
    bus.subscribe("fallible").on(fallible).start().unwrap();
    bus.subscribe("type").on(Counting(count.clone())).start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    sim.run_until_idle();
    assert_eq!(*count.lock(), [1, 1]);
}

#[test]
fn several_events_share_one_order() {
    let (sim, bus) = simulated(2);
    let order = seen();
    let (first, second) = (order.clone(), order.clone());
    bus.subscribe("both")
        .on(move |event: &Placed| first.lock().push(format!("placed {}", event.order)))
        .on(move |event: &Shipped| second.lock().push(format!("shipped {}", event.order)))
        .start()
        .unwrap();
    bus.publish(placed(1, 0)).unwrap();
    bus.publish(Shipped { order: 1 }).unwrap();
    bus.publish(Tick(9)).unwrap();
    bus.publish(placed(2, 0)).unwrap();
    sim.run_until_idle();
    assert_eq!(*order.lock(), ["placed 1", "shipped 1", "placed 2"]);
}

#[test]
fn a_failing_event_parks_its_key_and_no_other() {
    let (sim, bus) = simulated(3);
    let handled = seen();
    let list = handled.clone();
    bus.subscribe("flaky")
        .retry(Backoff::constant(SECOND).max_attempts(3))
        .on(move |event: &Placed, ctx: &mut Context| {
            if event.order == 1 && event.step == 0 && ctx.attempt() < 3 {
                return Err(HandlerError::retry("not yet"));
            }
            list.lock().push((event.order, event.step));
            Ok(())
        })
        .start()
        .unwrap();
    for (order, step) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        bus.publish(placed(order, step)).unwrap();
    }
    sim.advance(Duration::ZERO);
    assert_eq!(*handled.lock(), [(2, 0), (2, 1)], "the other key goes on");
    sim.run_until_idle();
    assert_eq!(*handled.lock(), [(2, 0), (2, 1), (1, 0), (1, 1)], "the key keeps its order");
    assert_eq!(sim.elapsed(), 2 * SECOND);
}

#[test]
fn an_event_without_a_key_parks_alone() {
    let (sim, bus) = simulated(4);
    let handled = seen();
    let list = handled.clone();
    bus.subscribe("flaky")
        .retry(Backoff::constant(SECOND))
        .on(move |tick: &Tick, ctx: &mut Context| {
            if tick.0 == 1 && ctx.attempt() == 1 {
                return Err(HandlerError::retry("not yet"));
            }
            list.lock().push(tick.0);
            Ok(())
        })
        .start()
        .unwrap();
    for n in 1..=3 {
        bus.publish(Tick(n)).unwrap();
    }
    sim.run_until_idle();
    assert_eq!(*handled.lock(), [2, 3, 1]);
}

#[test]
fn the_last_attempt_and_a_rejection_make_dead_letters() {
    let (sim, bus) = simulated(5);
    let subscription = bus
        .subscribe("failing")
        .retry(Backoff::constant(SECOND).max_attempts(2))
        .on(|event: &Placed| match event.order {
            1 => Err(HandlerError::retry("out of luck")),
            2 => "x".parse::<u64>().map(drop).map_err(HandlerErrorExt::reject),
            _ => Ok(()),
        })
        .start()
        .unwrap();
    for order in 1..=3 {
        bus.publish(placed(order, 0)).unwrap();
    }
    sim.run_until_idle();

    let letters = bus.dead_letters("failing").list().unwrap();
    let story: Vec<_> =
        letters.iter().map(|l| (l.reason(), l.attempts(), l.error().to_owned())).collect();
    assert_eq!(
        story,
        [
            (DeadLetterReason::Exhausted, 2, "out of luck".to_owned()),
            (DeadLetterReason::Rejected, 1, "invalid digit found in string".to_owned()),
        ]
    );
    assert_eq!(letters[0].event(), "orders.placed");
    assert_eq!(letters[0].envelope().key.as_ref().unwrap().as_str(), "1");
    let status = subscription.status();
    assert_eq!((status.handled, status.retried, status.dead_lettered), (1, 1, 2));
    assert_eq!(subscription.lag(), 0);
}

#[test]
fn retry_after_overrides_the_backoff_but_not_the_attempts() {
    let (sim, bus) = simulated(6);
    bus.subscribe("limited")
        .retry(Backoff::constant(SECOND).max_attempts(3))
        .on(|_: &Tick| -> Result<(), HandlerError> {
            Err(HandlerError::retry_after("come back later", 100 * SECOND))
        })
        .start()
        .unwrap();
    bus.publish(Tick(1)).unwrap();
    sim.run_until_idle();
    assert_eq!(sim.elapsed(), 200 * SECOND);
    assert_eq!(bus.dead_letters("limited").list().unwrap()[0].attempts(), 3);
}

#[test]
fn f1_a_panic_is_an_error_like_any_other() {
    let (sim, bus) = simulated(7);
    let handled = seen();
    let list = handled.clone();
    bus.subscribe("panicking")
        .retry(Backoff::constant(SECOND).max_attempts(2))
        .on(move |tick: &Tick| {
            assert!(tick.0 != 1, "one is too few");
            list.lock().push(tick.0);
        })
        .start()
        .unwrap();
    bus.publish(Tick(1)).unwrap();
    bus.publish(Tick(2)).unwrap();
    sim.run_until_idle();
    assert_eq!(*handled.lock(), [2]);
    let letter = &bus.dead_letters("panicking").list().unwrap()[0];
    assert_eq!(letter.error(), "the handler panicked: one is too few");
}

#[test]
fn a_subscription_that_cannot_run_says_why() {
    #[derive(serde::Serialize, serde::Deserialize, tidings::Event)]
    #[event(name = "ticks")]
    struct Impostor;

    let bus = Bus::volatile();
    let on = |name: &str| bus.subscribe(name).on(|_: &Tick| ());
    on("first").start().unwrap();
    let error = |result: Result<_, SubscribeError>| result.map(drop).unwrap_err().to_string();
    assert_eq!(
        error(on("first").start()),
        "a subscription named `first` runs already; every subscription needs its own name"
    );
    assert!(error(on("a name").start()).contains("is not a name for a subscription"));
    assert!(error(on("x").lanes(0).start()).contains("out of range"));
    assert!(error(on("x").pool("slow").start()).contains("no pool named `slow`"));
    assert!(error(on("x").on(|_: &Tick| ()).start()).contains("two handlers for `ticks`"));
    assert!(error(bus.subscribe("x").start()).contains("has no handler"));
    assert!(error(bus.subscribe("x").on(|_: &Impostor| ()).start()).contains("belongs to"));
}

#[test]
fn state_that_is_removed_is_gone_at_once_and_for_good() {
    let store = crate::store::Store::new();
    for life in 0..2 {
        let (bus, found) = (store.open(), seen());
        let list = found.clone();
        bus.subscribe("counter")
            .on(move |event: &Placed, ctx: &mut Context| {
                let state = &mut ctx.state();
                list.lock().push(state.get::<u64>("step")?);
                if event.step == 1 {
                    state.remove("step")?;
                } else {
                    state.put("step", &event.step)?;
                }
                list.lock().push(state.get::<u64>("step")?);
                Ok::<_, HandlerError>(())
            })
            .start()
            .unwrap();
        let steps = if life == 0 { [0, 1] } else { [2, 1] };
        for step in steps {
            bus.publish(placed(1, step)).unwrap();
            store.sim.advance(SECOND);
        }
        let stored = Some(steps[0]);
        assert_eq!(*found.lock(), [None, stored, stored, None]);
        store.kill(bus);
    }
}
