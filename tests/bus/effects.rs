//! Effects outside that are done once, whatever becomes of the attempt around them.

use std::{io, sync::Arc, time::Duration};

use tidings::{Backoff, Bus, Context, HandlerError, HandlerErrorExt, Subscription};

use crate::{
    events::{Placed, SECOND, Seen, Tick, placed, seen, simulated},
    store::Store,
};

/// Charges once and then fails, but for the last attempt; the sum goes to the state.
fn charging(bus: &Bus, charges: &Seen<u64>, results: &Seen<u64>) -> Subscription {
    let (charges, results) = (Arc::clone(charges), Arc::clone(results));
    bus.subscribe("billing")
        .retry(Backoff::constant(SECOND).max_attempts(4))
        .on(move |tick: &Tick, ctx: &mut Context| -> Result<(), HandlerError> {
            let receipt = ctx.once("charge", || {
                charges.lock().push(tick.0);
                Ok::<_, io::Error>(tick.0 + 100)
            })?;
            let mail = ctx.once("mail", || Ok::<_, io::Error>("sent".to_owned()))?;
            assert_eq!(mail, "sent");
            results.lock().push(receipt);
            if ctx.attempt() < 3 {
                Err(HandlerError::retry("the printer is on fire"))
            } else {
                Ok(())
            }
        })
        .start()
        .unwrap()
}

#[test]
fn later_attempts_get_the_result_and_do_nothing() {
    let durable = Store::new();
    let (sim, volatile) = simulated(1);
    for (bus, sim) in [(durable.open(), &durable.sim), (volatile, &sim)] {
        let (charges, results) = (seen(), seen());
        charging(&bus, &charges, &results);
        bus.publish_all([Tick(1), Tick(2)]).unwrap();
        sim.run_until_idle();
        charges.lock().sort_unstable();
        assert_eq!(*charges.lock(), [1, 2]);
        results.lock().sort_unstable();
        assert_eq!(*results.lock(), [101, 101, 101, 102, 102, 102]);
    }
}

/// The result is kept before the handler goes on, so a process that ends after it does not matter.
#[test]
fn the_result_outlives_the_process() {
    for steps in 0..25 {
        let store = Store::new();
        let (charges, results) = (seen(), seen());
        let bus = store.open();
        charging(&bus, &charges, &results);
        bus.publish(Tick(1)).unwrap();
        (0..steps).for_each(|_| _ = store.sim.step());
        store.kill(bus);
        let bus = store.open();
        let billing = charging(&bus, &charges, &results);
        store.sim.run_until_idle();
        assert_eq!(*charges.lock(), [1], "after {steps} steps");
        assert_eq!(billing.ledger().acknowledged, 1);
        store.kill(bus);
        assert!(no_effects_are_left(&store), "after {steps} steps");
    }
}

fn no_effects_are_left(store: &Store) -> bool {
    use tidings::storage::Storage;
    store.storage().scan(b"effects", None, 10).unwrap().is_empty()
}

#[test]
fn a_dead_letter_that_is_tried_again_has_its_results() {
    let store = Store::new();
    let charges = seen();
    let start = |bus: &Bus, fails: bool| {
        let done = Arc::clone(&charges);
        bus.subscribe("billing")
            .retry(Backoff::never())
            .on(move |event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
                ctx.once("charge", || {
                    done.lock().push(event.order);
                    Ok::<_, io::Error>(())
                })?;
                if fails { Err(HandlerError::reject("not today")) } else { Ok(()) }
            })
            .start()
            .unwrap()
    };
    let bus = store.open();
    start(&bus, true);
    bus.publish_all([placed(1, 0), placed(2, 0)]).unwrap();
    store.sim.run_until_idle();
    store.kill(bus);
    let bus = store.open();
    start(&bus, false);
    let letters = bus.dead_letters("billing");
    let list = letters.list().unwrap();
    letters.retry(list[0].position()).unwrap();
    letters.discard(list[1].position()).unwrap();
    store.sim.run_until_idle();
    assert_eq!(*charges.lock(), [1, 2]);
    assert!(letters.list().unwrap().is_empty());
    store.kill(bus);
    assert!(no_effects_are_left(&store));
}

#[test]
fn an_effect_that_fails_is_done_again_as_its_error_says() {
    let (sim, bus) = simulated(1);
    let calls = seen();
    let called = Arc::clone(&calls);
    let reader = bus
        .subscribe("reader")
        .retry(Backoff::constant(SECOND))
        .on(move |tick: &Tick, ctx: &mut Context| -> Result<(), HandlerError> {
            ctx.once("charge", || {
                called.lock().push(tick.0);
                match called.lock().len() {
                    0..3 => Err(io::Error::other("no connection").into()),
                    _ => Err(io::Error::other("no such card").reject()),
                }
            })
        })
        .start()
        .unwrap();
    bus.publish(Tick(1)).unwrap();
    sim.run_until_idle();
    assert_eq!(*calls.lock(), [1, 1, 1]);
    assert_eq!(reader.ledger().to_string(), "1 matched = 0 acknowledged + 1 dead");
}

#[test]
fn a_result_of_another_type_is_an_error() {
    let (sim, bus) = simulated(1);
    bus.subscribe("reader")
        .retry(Backoff::constant(SECOND).max_attempts(2))
        .on(|_: &Tick, ctx: &mut Context| -> Result<(), HandlerError> {
            if ctx.attempt() == 1 {
                ctx.once("step", || Ok::<_, HandlerError>("text".to_owned()))?;
                return Err(HandlerError::retry("once more"));
            }
            ctx.once("step", || Ok::<_, HandlerError>(7_u32)).map(drop)
        })
        .start()
        .unwrap();
    bus.publish(Tick(1)).unwrap();
    sim.run_until_idle();
    let letter = &bus.dead_letters("reader").list().unwrap()[0];
    assert!(letter.error().contains("`step` is of another type"), "{}", letter.error());
}

/// A bus that shuts down takes nothing from publishers, but lets handlers finish.
#[test]
fn effects_are_kept_while_the_bus_shuts_down() {
    let store = Store::new();
    let (charges, results) = (seen(), seen());
    let bus = store.open();
    let billing = charging(&bus, &charges, &results);
    bus.publish(Tick(1)).unwrap();
    bus.shutdown(10 * SECOND).unwrap();
    assert_eq!(billing.ledger().held, 1, "it failed after its effect");
    let bus = store.open();
    charging(&bus, &charges, &results);
    store.sim.run_until_idle();
    assert_eq!(*charges.lock(), [1]);
}

#[tokio::test]
async fn async_handlers_wait_without_blocking() {
    let dir = tempfile::tempdir().unwrap();
    for bus in [Bus::open(dir.path()).unwrap(), Bus::volatile()] {
        let calls = seen();
        let called = Arc::clone(&calls);
        let reader = bus
            .subscribe("reader")
            .retry(Backoff::constant(Duration::ZERO).max_attempts(3))
            .on_async(move |mut tick: tidings::Delivery<Tick>| {
                let called = Arc::clone(&called);
                async move {
                    let number = tick.0;
                    let effect = async {
                        tokio::task::yield_now().await;
                        called.lock().push(number);
                        Ok::<_, io::Error>(number)
                    };
                    assert_eq!(tick.once_async("charge", effect).await?, number);
                    if tick.attempt() < 3 { Err(HandlerError::retry("again")) } else { Ok(()) }
                }
            })
            .start()
            .unwrap();
        bus.enqueue(Tick(7)).unwrap().await.unwrap();
        let waiting = bus.clone();
        let idle = tokio::task::spawn_blocking(move || waiting.wait_idle(20 * SECOND));
        assert!(idle.await.unwrap());
        assert_eq!((calls.lock().as_slice(), reader.status().handled), ([7].as_slice(), 1));
    }
}
