//! Handlers that run on the thread that publishes.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use tidings::{
    Backoff, Bus, Context, DeadLetterReason, HandlerError, Message, PublishFailure, SubscribeError,
    storage::MemoryStorage, testing::Simulator,
};

use crate::events::{Placed, SECOND, Shipped, Tick, placed, seen, simulated};

#[test]
fn a_handler_is_called_before_publish_returns_and_on_its_thread() {
    let bus = Bus::volatile();
    let calls = seen();
    for name in ["first", "second"] {
        let calls = calls.clone();
        let handle = move |tick: &Tick| calls.lock().push((name, tick.0, thread::current().id()));
        bus.subscribe(name).on_inline(handle).start().unwrap();
    }
    let own = thread::current().id();
    bus.publish(Tick(1)).unwrap();
    assert_eq!(*calls.lock(), [("first", 1, own), ("second", 1, own)]);

    let other = thread::scope(|scope| {
        let published = scope.spawn(|| {
            bus.publisher().unwrap().publish(Tick(2)).unwrap();
            thread::current().id()
        });
        published.join().unwrap()
    });
    assert_eq!(calls.lock()[2..], [("first", 2, other), ("second", 2, other)]);
}

#[test]
fn every_way_to_publish_calls_it() {
    let (sim, bus) = simulated(1);
    let ticks = seen();
    let handled = ticks.clone();
    let inline = bus
        .subscribe("inline")
        .on_inline(move |tick: &Tick| handled.lock().push(tick.0))
        .start()
        .unwrap();
    let publish = |event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
        ctx.publish(Tick(event.order))?;
        Ok(())
    };
    bus.subscribe("lane").on(publish).start().unwrap();

    bus.publish(Tick(1)).unwrap();
    bus.publish(Message::new(Tick(2)).header("tenant", "acme")).unwrap();
    bus.enqueue(Tick(3)).unwrap().wait().unwrap();
    bus.publish_all([Tick(4), Tick(5)]).unwrap();
    bus.publisher().unwrap().publish_batch(&mut vec![Tick(6), Tick(7)]).unwrap();
    bus.publish(placed(8, 0)).unwrap();
    sim.run_until_idle();
    assert_eq!(*ticks.lock(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(inline.status().handled, 8);
    assert_eq!((inline.status().held, inline.lag()), (0, 0));
}

#[test]
fn lanes_of_others_get_the_event_too_and_only_it() {
    let (sim, bus) = simulated(2);
    let order = seen();
    let (lane, inline) = (order.clone(), order.clone());
    bus.subscribe("lane")
        .on(move |tick: &Tick| lane.lock().push(("lane", tick.0)))
        .start()
        .unwrap();
    bus.subscribe("inline")
        .on_inline(move |tick: &Tick| inline.lock().push(("inline", tick.0)))
        .start()
        .unwrap();
    let first = bus.publish(Tick(1)).unwrap();
    let second = bus.publish(Tick(2)).unwrap();
    assert_eq!(second.position, first.position.next());
    sim.run_until_idle();
    assert_eq!(*order.lock(), [("inline", 1), ("inline", 2), ("lane", 1), ("lane", 2)]);
}

#[test]
fn an_event_that_only_inline_handlers_want_takes_no_place_but_has_an_id_of_its_own() {
    let bus = Bus::volatile();
    bus.subscribe("inline").on_inline(|_: &Tick| ()).start().unwrap();
    let end = bus.end();
    let publish = || (0..1000).map(|n| bus.publish(Tick(n)).unwrap().id).collect::<Vec<_>>();
    let ids: BTreeSet<_> = thread::scope(|scope| {
        let threads = [0; 3].map(|_| scope.spawn(publish));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 3000);
    assert_eq!(bus.end(), end);
}

/// A subscription whose handler does with the n-th call what is written there.
fn scripted(
    bus: &Bus,
    script: &'static [fn() -> Result<(), HandlerError>],
) -> (tidings::Subscription, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    let handle = move |_: &Placed| {
        let at = counted.fetch_add(1, Ordering::Relaxed);
        script[usize::try_from(at).unwrap()]()
    };
    let subscription = bus
        .subscribe("inline")
        .retry(Backoff::constant(SECOND).max_attempts(3))
        .on_inline(handle)
        .start()
        .unwrap();
    (subscription, calls)
}

const FAIL: fn() -> Result<(), HandlerError> = || Err(HandlerError::retry("not now"));
const PANIC: fn() -> Result<(), HandlerError> = || panic!("on purpose");

#[test]
fn what_fails_is_retried_on_a_lane_and_the_call_of_the_publisher_counts() {
    for first in [FAIL, PANIC] {
        let script = Box::leak(Box::new([first, FAIL, || Ok(())]));
        let (sim, bus) = simulated(3);
        let (subscription, calls) = scripted(&bus, script);
        bus.publish(placed(1, 0)).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        sim.advance(SECOND / 2);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        sim.advance(SECOND);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        assert_eq!((subscription.status().handled, subscription.status().held), (0, 1));
        sim.advance(SECOND);
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        let status = subscription.status();
        assert_eq!((status.handled, status.retried, status.held), (1, 2, 0));
    }
}

#[test]
fn what_is_rejected_or_exhausted_becomes_a_dead_letter_with_the_id_of_the_receipt() {
    let rejected: &[fn() -> Result<(), HandlerError>] =
        &[|| Err(HandlerError::reject("never")), || Ok(())];
    let exhausted: &[fn() -> Result<(), HandlerError>] = &[FAIL, FAIL, PANIC, || Ok(())];
    let cases =
        [(rejected, DeadLetterReason::Rejected, 1), (exhausted, DeadLetterReason::Exhausted, 3)];
    for (script, reason, attempts) in cases {
        let (sim, bus) = simulated(4);
        let (subscription, calls) = scripted(&bus, script);
        let receipt = bus.publish(placed(7, 0)).unwrap();
        sim.advance(10 * SECOND);
        let letters = bus.dead_letters("inline");
        let letter = letters.list().unwrap().remove(0);
        assert_eq!((letter.reason(), letter.attempts()), (reason, attempts));
        assert_eq!(letter.envelope().id, receipt.id);
        assert_eq!(letter.envelope().key.as_ref().unwrap().as_str(), "7");
        assert_eq!(letter.event(), "orders.placed");
        assert_eq!(calls.load(Ordering::Relaxed), u64::from(attempts));

        letters.retry(letter.position()).unwrap();
        sim.run_until_idle();
        assert_eq!(calls.load(Ordering::Relaxed), u64::from(attempts) + 1);
        assert_eq!((subscription.status().handled, subscription.status().dead_letters), (1, 0));
    }
}

#[test]
fn a_handler_that_fails_or_panics_keeps_no_other_from_its_call() {
    let bus = Bus::volatile();
    let calls = seen();
    for (name, outcome) in [("a", PANIC), ("b", FAIL), ("c", PANIC), ("d", || Ok(()))] {
        let calls = calls.clone();
        let handle = move |_: &Tick| {
            calls.lock().push(name);
            outcome()
        };
        bus.subscribe(name)
            .retry(Backoff::constant(3600 * SECOND))
            .on_inline(handle)
            .start()
            .unwrap();
    }
    bus.publish(Tick(1)).unwrap();
    assert_eq!(*calls.lock(), ["a", "b", "c", "d"]);
}

#[test]
fn a_pause_holds_events_back_and_loses_none() {
    let (sim, bus) = simulated(5);
    let ticks = seen();
    let handled = ticks.clone();
    let subscription = bus
        .subscribe("inline")
        .on_inline(move |tick: &Tick| handled.lock().push(tick.0))
        .start()
        .unwrap();
    bus.publish(Tick(1)).unwrap();
    subscription.pause();
    bus.publish(Tick(2)).unwrap();
    bus.publish_all([Tick(3), Tick(4)]).unwrap();
    sim.run_until_idle();
    assert_eq!(*ticks.lock(), [1]);
    subscription.resume();
    sim.run_until_idle();
    bus.publish(Tick(5)).unwrap();
    assert_eq!(*ticks.lock(), [1, 2, 3, 4, 5]);
    assert_eq!((subscription.status().handled, subscription.status().retried), (5, 0));
}

#[test]
fn a_paused_subscription_holds_publishers_up_when_the_ring_is_full() {
    let sim = Simulator::new(6);
    let bus = Bus::builder().runtime(sim.runtime()).ring(4).build().unwrap();
    let subscription = bus.subscribe("inline").on_inline(|_: &Tick| ()).start().unwrap();
    subscription.pause();
    let full = (0..100).find_map(|n| bus.enqueue(Tick(n)).err()).unwrap();
    assert!(matches!(full.failure(), PublishFailure::Full { .. }));
    subscription.resume();
    sim.run_until_idle();
    bus.enqueue(Tick(100)).unwrap().wait().unwrap();
}

#[test]
fn after_a_stop_it_is_not_called_and_what_it_owns_is_dropped() {
    let bus = Bus::volatile();
    let (sender, receiver) = mpsc::channel();
    let handle = move |tick: &Tick| sender.send(tick.0).unwrap();
    let subscription = bus.subscribe("inline").on_inline(handle).start().unwrap();
    bus.publish(Tick(1)).unwrap();
    assert!(subscription.stop(SECOND));
    bus.publish(Tick(2)).unwrap();
    drop(subscription);
    // Ends only because the sender is gone.
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [1]);
    bus.subscribe("inline").on_inline(|_: &Tick| ()).start().unwrap();
}

#[test]
fn when_the_bus_is_dropped_so_is_what_handlers_own() {
    let bus = Bus::volatile();
    let (sender, receiver) = mpsc::channel();
    let handle = move |tick: &Tick| sender.send(tick.0).unwrap();
    bus.subscribe("inline").on_inline(handle).start().unwrap();
    bus.publish(Tick(1)).unwrap();
    drop(bus);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn handlers_may_publish_other_events_and_their_own() {
    let bus = Bus::volatile();
    let seen = seen();
    let (on_tick, on_shipped) = (seen.clone(), seen.clone());
    let inner = bus.clone();
    let subscription = bus
        .subscribe("inline")
        .on_inline(move |tick: &Tick| {
            on_tick.lock().push(tick.0);
            if tick.0 > 0 {
                inner.publish(Tick(tick.0 - 1)).unwrap();
                inner.publish(Shipped { order: tick.0 }).unwrap();
            }
        })
        .on_inline(move |shipped: &Shipped| on_shipped.lock().push(shipped.order * 100))
        .start()
        .unwrap();
    bus.publish(Tick(2)).unwrap();
    assert_eq!(*seen.lock(), [2, 1, 0, 100, 200]);
    assert_eq!(subscription.status().handled, 5);
    bus.shutdown(SECOND).unwrap(); // the handler owns a clone of the bus
}

#[test]
fn a_closed_bus_refuses_events_that_only_inline_handlers_want() {
    let bus = Bus::volatile();
    bus.subscribe("inline").on_inline(|_: &Tick| ()).start().unwrap();
    let publisher = bus.publisher().unwrap();
    bus.shutdown(SECOND).unwrap();
    let refused = publisher.publish(Tick(1)).unwrap_err();
    assert!(matches!(refused.failure(), PublishFailure::Closed));
    assert_eq!(refused.into_message().into_event(), Tick(1));
    let mut batch = vec![Tick(1), Tick(2)];
    assert!(publisher.publish_batch(&mut batch).is_err());
    assert_eq!(batch, [Tick(1), Tick(2)]);
}

#[test]
fn an_event_that_takes_no_place_does_not_wait_for_room() {
    let sim = Simulator::new(1);
    let bus = Bus::builder().runtime(sim.runtime()).ring(2).build().unwrap();
    let resting = bus.subscribe("resting").on(|_: &Tick| ()).start().unwrap();
    resting.pause();
    let floods = |_: &Placed, ctx: &mut Context| (0..9).try_for_each(|n| ctx.publish(Tick(n)));
    bus.subscribe("floods").on(floods).start().unwrap();
    let seen = seen();
    let list = seen.clone();
    let inline = bus.subscribe("inline").on_inline(move |e: &Shipped| list.lock().push(e.order));
    inline.start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    sim.run_until_idle();
    assert!(bus.publish(Tick(9)).is_err(), "no room");
    bus.publish(Shipped { order: 7 }).unwrap();
    bus.publish_all([Shipped { order: 8 }]).unwrap_err();
    assert_eq!(*seen.lock(), [7]);
    resting.resume();
    sim.run_until_idle();
    assert_eq!(resting.status().handled, 9);
}

#[test]
fn a_durable_bus_has_no_inline_handlers() {
    let bus = Bus::builder().storage(MemoryStorage::new()).build().unwrap();
    let refused = bus.subscribe("inline").on_inline(|_: &Tick| ()).start().unwrap_err();
    assert!(matches!(refused, SubscribeError::Inline { name } if name == "inline"));
}

#[test]
fn a_batch_in_which_some_fail_is_published_once() {
    let (sim, bus) = simulated(8);
    let (calls, lane) = (seen(), seen());
    let (handled, read) = (calls.clone(), lane.clone());
    let handle = move |tick: &Tick| {
        handled.lock().push(tick.0);
        if tick.0.is_multiple_of(2) && handled.lock().len() <= 4 { FAIL() } else { Ok(()) }
    };
    let inline = bus.subscribe("inline").on_inline(handle).start().unwrap();
    bus.subscribe("lane").on(move |tick: &Tick| read.lock().push(tick.0)).start().unwrap();
    bus.publisher().unwrap().publish_batch(&mut vec![Tick(1), Tick(2), Tick(3), Tick(4)]).unwrap();
    assert_eq!(*calls.lock(), [1, 2, 3, 4]);
    sim.advance(60 * SECOND);
    assert_eq!(*lane.lock(), [1, 2, 3, 4]);
    let mut all = calls.lock().clone();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 2, 3, 4, 4]);
    assert_eq!(inline.status().handled, 4);
}

#[test]
fn publishing_and_subscribing_side_by_side_loses_nothing() {
    const EVENTS: u64 = 20_000;
    let bus = Bus::volatile();
    let steady = Arc::new(AtomicU64::new(0));
    let counted = steady.clone();
    let handle = move |tick: &Tick| {
        counted.fetch_add(1, Ordering::Relaxed);
        // Some go to a lane, and come again.
        if tick.0 % 1000 == 999 && counted.load(Ordering::Relaxed).is_multiple_of(2) {
            FAIL()
        } else {
            Ok(())
        }
    };
    let steady = bus.subscribe("steady").retry(Backoff::constant(Duration::ZERO)).on_inline(handle);
    let steady = steady.start().unwrap();
    thread::scope(|scope| {
        let publishers = [0; 3].map(|_| {
            let publish = |n| {
                bus.publish(Tick(n)).unwrap();
            };
            scope.spawn(move || (0..EVENTS).for_each(publish))
        });
        let mut round = 0;
        while !publishers.iter().all(ScopedJoinHandle::is_finished) {
            let passing = bus.subscribe(&format!("passing-{round}")).on_inline(|_: &Tick| ());
            passing.start().unwrap().stop(SECOND);
            if round % 4 == 0 {
                steady.pause();
            } else {
                steady.resume();
            }
            round += 1;
        }
    });
    steady.resume();
    assert!(bus.wait_idle(30 * SECOND));
    assert_eq!(steady.status().handled, 3 * EVENTS);
    assert_eq!(steady.status().dead_lettered, 0);
}
