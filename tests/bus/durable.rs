//! What a durable bus keeps, and what happens after a restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{
    Backoff, Bus, Context, DeadLetterReason, Event, HandlerError, OpenError, Rate, Start,
    SubscribeError,
    storage::{MemoryStorage, Query, Storage, StorageError},
};

use crate::{
    events::{Placed, SECOND, Seen, Shipped, Tick, placed, seen},
    store::Store,
};

fn collect(bus: &Bus, name: &str, list: &Seen<(u64, u64)>) {
    let list = list.clone();
    let subscription = bus.subscribe(name).lanes(2);
    subscription.on(move |e: &Placed| list.lock().push((e.order, e.step))).start().unwrap();
}

#[test]
fn a_subscription_resumes_where_it_stopped() {
    let store = Store::new();
    let bus = store.open();
    let first = seen();
    collect(&bus, "reader", &first);
    for order in 0..100 {
        bus.publish(placed(order, 0)).unwrap();
    }
    store.sim.run_until_idle();
    assert_eq!(first.lock().len(), 100);
    bus.publish(placed(100, 0)).unwrap();
    store.kill(bus);

    let bus = store.open();
    let second = seen();
    collect(&bus, "reader", &second);
    store.sim.run_until_idle();
    assert_eq!(*second.lock(), [(100, 0)], "what was acknowledged does not come again");
}

#[test]
fn a_new_subscription_starts_where_it_says() {
    let store = Store::new();
    let bus = store.open();
    let mut times = Vec::new();
    for n in 1..=5 {
        times.push(bus.publish(Tick(n)).unwrap());
        store.sim.advance(SECOND);
    }
    let stamps = seen();
    let list = stamps.clone();
    bus.subscribe("stamps")
        .on(move |_: &Tick, ctx: &mut Context| list.lock().push(ctx.published_at()))
        .start()
        .unwrap();
    store.sim.run_until_idle();
    let third = stamps.lock()[2];
    let got = |name: &str, start| {
        let all = seen();
        let list = all.clone();
        bus.subscribe(name)
            .start_at(start)
            .on(move |tick: &Tick| list.lock().push(tick.0))
            .start()
            .unwrap();
        all
    };
    let earliest = got("earliest", Start::Earliest);
    let latest = got("latest", Start::Latest);
    let position = got("position", Start::Position(times[3].position));
    let time = got("time", Start::Time(third));
    bus.publish(Tick(6)).unwrap();
    store.sim.run_until_idle();
    assert_eq!(*earliest.lock(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(*latest.lock(), [6]);
    assert_eq!(*position.lock(), [4, 5, 6]);
    assert_eq!(*time.lock(), [3, 4, 5, 6]);
}

#[test]
fn the_number_of_lanes_may_change() {
    let store = Store::new();
    let mut handled = Vec::new();
    for (round, lanes) in [4, 4, 3, 7, 1].into_iter().enumerate() {
        let bus = store.open();
        let list = seen();
        let in_handler = list.clone();
        bus.subscribe("reader")
            .lanes(lanes)
            .retry(Backoff::constant(3600 * SECOND))
            .on(move |e: &Placed, ctx: &mut Context| {
                // Some keys fail in their first round, and are still open at the restart.
                if e.order.is_multiple_of(5) && ctx.attempt() == 1 && e.step == round as u64 {
                    return Err(HandlerError::retry("later"));
                }
                in_handler.lock().push((e.order, e.step));
                Ok(())
            })
            .start()
            .unwrap();
        for order in 0..20 {
            bus.publish(placed(order, round as u64)).unwrap();
        }
        store.sim.advance(Duration::ZERO);
        handled.extend(list.lock().drain(..));
        store.kill(bus);
    }
    let bus = store.open();
    let list = seen();
    collect(&bus, "reader", &list);
    store.sim.run_until_idle();
    handled.extend(list.lock().drain(..));
    assert_eq!(handled.len(), 100, "each event once, whatever the lanes");
    for order in 0..20 {
        let steps: Vec<_> = handled.iter().filter(|(o, _)| *o == order).map(|(_, s)| *s).collect();
        assert_eq!(steps, [0, 1, 2, 3, 4], "order {order}");
    }
}

#[test]
fn attempts_are_counted_across_restarts() {
    let store = Store::new();
    let attempts = seen();
    for _ in 0..2 {
        let bus = store.open();
        let list = attempts.clone();
        bus.subscribe("failing")
            .retry(Backoff::constant(3600 * SECOND).max_attempts(3))
            .on(move |_: &Tick, ctx: &mut Context| -> Result<(), HandlerError> {
                list.lock().push(ctx.attempt());
                Err(HandlerError::retry("down"))
            })
            .start()
            .unwrap();
        if bus.end().get() == 1 {
            bus.publish(Tick(1)).unwrap();
            store.sim.advance(SECOND);
            store.kill(bus);
        } else {
            store.sim.run_until_idle();
            assert_eq!(bus.dead_letters("failing").list().unwrap()[0].attempts(), 3);
        }
    }
    assert_eq!(*attempts.lock(), [1, 2, 3]);
}

#[test]
fn dead_letters_are_kept_and_can_be_retried() {
    let store = Store::new();
    let bus = store.open();
    let reject = |_: &Placed| -> Result<(), HandlerError> { Err(HandlerError::reject("no")) };
    bus.subscribe("billing").on(reject).start().unwrap();
    for order in 1..=3 {
        bus.publish(placed(order, 0)).unwrap();
    }
    store.sim.run_until_idle();
    store.kill(bus);

    let bus = store.open();
    let letters = bus.dead_letters("billing");
    assert_eq!(letters.list().unwrap().len(), 3, "listed while nobody runs");
    assert!(letters.retry(letters.list().unwrap()[0].position()).is_err());
    let list = seen();
    let in_handler = list.clone();
    bus.subscribe("billing")
        .retry(Backoff::never())
        .on(move |e: &Placed| {
            in_handler.lock().push(e.order);
            if e.order == 2 { Err(HandlerError::reject("still no")) } else { Ok(()) }
        })
        .start()
        .unwrap();
    let second = letters.list().unwrap()[1].clone();
    assert_eq!(second.payload(), br#"{"order":2,"step":0}"#);
    assert_eq!(letters.retry_all().unwrap(), 3);
    store.sim.run_until_idle();
    list.lock().sort_unstable();
    assert_eq!(*list.lock(), [1, 2, 3]);
    let left = letters.list().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].position(), left[0].error()), (second.position(), "still no"));
    letters.discard(second.position()).unwrap();
    assert!(letters.discard(second.position()).is_err());
    store.kill(bus);
    let bus = store.open();
    assert!(bus.dead_letters("billing").list().unwrap().is_empty());
}

#[test]
fn a_retry_while_nobody_runs_waits_for_the_start() {
    let store = Store::new();
    let bus = store.open();
    let reject = |_: &Placed| -> Result<(), HandlerError> { Err(HandlerError::reject("no")) };
    bus.subscribe("billing").on(reject).start().unwrap();
    for order in 1..=3 {
        bus.publish(placed(order, 0)).unwrap();
    }
    store.sim.run_until_idle();
    store.kill(bus);

    let bus = store.open();
    let letters = bus.dead_letters("billing");
    let [one, two, _] = &*letters.list().unwrap() else { panic!("there are three") };
    letters.retry_at_start(one.position()).unwrap();
    letters.retry_at_start(two.position()).unwrap();
    assert!(letters.retry_at_start(bus.end()).is_err());
    let marks = |letters: &tidings::DeadLetters| -> Vec<bool> {
        letters.list().unwrap().iter().map(tidings::DeadLetter::is_retried_at_start).collect()
    };
    assert_eq!(marks(&letters), [true, true, false]);
    store.kill(bus);

    for round in 1..=2 {
        let bus = store.open();
        let list = seen();
        let in_handler = list.clone();
        bus.subscribe("billing")
            .on(move |e: &Placed| {
                in_handler.lock().push(e.order);
                if e.order == 2 { Err(HandlerError::reject("still no")) } else { Ok(()) }
            })
            .start()
            .unwrap();
        store.sim.run_until_idle();
        let expected: &[u64] = if round == 1 { &[1, 2] } else { &[] };
        list.lock().sort_unstable();
        assert_eq!(*list.lock(), expected, "once, and not at every start");
        assert_eq!(marks(&bus.dead_letters("billing")), [false, false]);
        let stored = bus.stored_subscriptions().unwrap();
        assert_eq!((&*stored[0].name, stored[0].dead_letters), ("billing", 2));
        assert_eq!(stored[0].events, ["orders.placed"]);
        store.kill(bus);
    }
}

#[test]
fn f9_a_subscription_with_no_room_for_dead_letters_rests() {
    let store = Store::new();
    let bus = store.open();
    let subscription = bus
        .subscribe("billing")
        .dead_letters(2)
        .on(|e: &Placed| if e.order < 3 { Err(HandlerError::reject("no")) } else { Ok(()) })
        .start()
        .unwrap();
    for order in 0..5 {
        bus.publish(placed(order, 0)).unwrap();
    }
    store.sim.advance(10 * SECOND);
    assert_eq!(subscription.status().condition, tidings::Condition::DeadLettersFull);
    assert_eq!(subscription.status().handled, 0, "nothing new while there is no room");
    let letters = bus.dead_letters("billing");
    letters.discard(letters.list().unwrap()[0].position()).unwrap();
    store.sim.advance(10 * SECOND);
    assert_eq!(letters.list().unwrap().len(), 2);
    letters.discard(letters.list().unwrap()[0].position()).unwrap();
    store.sim.advance(10 * SECOND);
    assert_eq!(subscription.status().handled, 2);
    assert_eq!(subscription.lag(), 0);
}

/// What another build may have put on the log under a known name.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", version = 2)]
struct PlacedV2 {
    everything_else: bool,
}

/// The same version, and another shape.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.shipped", key = "order")]
struct ShippedOtherwise {
    order: String,
}

/// The letter has the payload as it was published.
#[test]
fn f8_what_cannot_be_decoded_becomes_a_dead_letter() {
    let store = Store::new();
    let bus = store.open();
    bus.publish(PlacedV2 { everything_else: true }).unwrap();
    bus.publish(ShippedOtherwise { order: "seven".into() }).unwrap();
    bus.shutdown(SECOND).unwrap();

    let bus = store.open();
    bus.subscribe("reader").on(|_: &Placed| ()).on(|_: &Shipped| ()).start().unwrap();
    store.sim.run_until_idle();
    let letters = bus.dead_letters("reader").list().unwrap();
    assert!(letters.iter().all(|letter| letter.reason() == DeadLetterReason::Undecodable));
    assert_eq!(letters[0].error(), "it has version 2, and this build knows version 1");
    assert!(letters[1].error().starts_with("its payload does not decode: invalid type: string"));
    assert_eq!(letters[1].payload(), br#"{"order":"seven"}"#);
}

/// What is not there is not made up, and what is not known is not passed over.
#[test]
fn f19_an_event_of_an_older_or_newer_version_is_never_filled_in() {
    let store = Store::new();
    let bus = store.open();
    bus.publish(placed(1, 0)).unwrap();
    bus.shutdown(SECOND).unwrap();

    let bus = store.open();
    bus.publish(PlacedV2 { everything_else: true }).unwrap();
    let handled = seen();
    let list = handled.clone();
    let newer = bus.subscribe("newer");
    newer.on(move |e: &PlacedV2| list.lock().push(e.everything_else)).start().unwrap();
    store.sim.run_until_idle();
    let letters = bus.dead_letters("newer").list().unwrap();
    assert_eq!((letters.len(), letters[0].reason()), (1, DeadLetterReason::Undecodable));
    assert_eq!(letters[0].error(), "it has version 1, and this build knows version 2");
    assert_eq!(*handled.lock(), [true]);
    bus.shutdown(SECOND).unwrap();

    let bus = store.open();
    let handled = seen();
    collect(&bus, "older", &handled);
    store.sim.run_until_idle();
    let letters = bus.dead_letters("older").list().unwrap();
    assert_eq!((letters.len(), letters[0].position().get()), (1, 2));
    assert_eq!(letters[0].payload(), br#"{"everything_else":true}"#);
    assert_eq!(*handled.lock(), [(1, 0)]);
}

#[test]
fn f19_events_of_a_handler_that_is_gone_are_never_skipped() {
    let store = Store::new();
    let bus = store.open();
    bus.subscribe("reader").on(|_: &Placed| ()).on(|_: &Shipped| ()).start().unwrap();
    bus.shutdown(SECOND).unwrap();

    let bus = store.open();
    bus.publish(Shipped { order: 1 }).unwrap();
    bus.subscribe("reader").on(|_: &Placed| ()).start().unwrap();
    store.sim.run_until_idle();
    let letters = bus.dead_letters("reader").list().unwrap();
    assert_eq!(letters[0].reason(), DeadLetterReason::NoHandler);
    assert_eq!(letters[0].error(), "the subscription has no handler for `orders.shipped`");
    bus.shutdown(SECOND).unwrap();

    let bus = store.open();
    bus.publish(Shipped { order: 2 }).unwrap();
    let reader = bus.subscribe("reader").ignore("orders.shipped").on(|_: &Placed| ());
    reader.start().unwrap();
    store.sim.run_until_idle();
    assert_eq!(bus.dead_letters("reader").list().unwrap().len(), 1, "unless it is given up");
}

#[test]
fn two_buses_on_one_directory_are_refused_with_the_holder_named() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::open(dir.path()).unwrap();
    let error = Bus::open(dir.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Storage(StorageError::InUse { .. })));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    bus.shutdown(SECOND).unwrap();
    let bus = Bus::open(dir.path()).unwrap();
    drop(bus);
    Bus::open(dir.path()).unwrap();
}

#[test]
fn a_storage_of_ones_own_needs_nothing_else() {
    let storage = MemoryStorage::new();
    let bus = Bus::builder().storage(storage.clone()).build().unwrap();
    bus.publish(Tick(1)).unwrap();
    bus.shutdown(SECOND).unwrap();
    assert_eq!(
        storage.reopened().read(&Query::from(tidings::Position::FIRST)).unwrap().records.len(),
        1
    );
}

#[test]
fn an_ephemeral_subscription_leaves_nothing_behind() {
    let store = Store::new();
    let bus = store.open();
    bus.publish(placed(1, 0)).unwrap();
    for _ in 0..2 {
        let list = seen();
        let in_handler = list.clone();
        let cache = bus.subscribe("cache").ephemeral();
        let cache = cache.on(move |e: &Placed| in_handler.lock().push(e.order)).start().unwrap();
        store.sim.run_until_idle();
        assert_eq!(*list.lock(), [1]);
        assert!(cache.stop(SECOND));
    }
}

#[test]
fn f6_a_slow_subscription_lags_alone() {
    let store = Store::new(); // a ring of 16
    let bus = store.open();
    let (quick, slow) = (seen(), seen());
    collect(&bus, "quick", &quick);
    let list = slow.clone();
    let limited = bus
        .subscribe("slow")
        .rate_limit(Rate::per_second(1).burst(1))
        .on(move |e: &Placed| list.lock().push(e.step))
        .start()
        .unwrap();
    for step in 0..1000 {
        bus.publish(placed(step % 7, step)).unwrap();
    }
    store.sim.advance(10 * SECOND);
    assert_eq!(quick.lock().len(), 1000);
    let handled = slow.lock().len() as u64;
    assert!((5..50).contains(&handled), "{handled}");
    assert_eq!(limited.lag(), 1000 - handled);
    store.sim.run_until_idle();
    assert_eq!(*slow.lock(), (0..1000).collect::<Vec<_>>(), "it loses nothing");
}

#[test]
fn f18_a_name_has_one_subscription_at_a_time() {
    let store = Store::new();
    let bus = store.open();
    let start = |list: &Seen<u64>| {
        let list = list.clone();
        bus.subscribe("reader").on(move |tick: &Tick| list.lock().push(tick.0)).start()
    };
    let (first, second) = (seen(), seen());
    let reader = start(&first).unwrap();
    let refused = start(&second).unwrap_err();
    assert!(matches!(refused, SubscribeError::DuplicateName { .. }), "{refused}");
    bus.publish(Tick(1)).unwrap();
    store.sim.run_until_idle();
    assert_eq!(*first.lock(), [1], "the one that runs is as it was");
    assert!(reader.stop(SECOND));
    start(&second).unwrap();
    bus.publish(Tick(2)).unwrap();
    store.sim.run_until_idle();
    assert_eq!((first.lock().len(), &*second.lock()), (1, &vec![2]));
}

#[test]
fn f7_a_lagging_reader_gets_everything_from_storage_and_catches_up() {
    let store = Store::new(); // a ring of 16
    let bus = store.open();
    let list = seen();
    collect(&bus, "reader", &list);
    for order in 0..1000 {
        drop(bus.enqueue(placed(order % 7, order)).unwrap());
        if order % 100 == 0 {
            store.sim.advance(Duration::ZERO);
        }
    }
    store.sim.run_until_idle();
    let list = list.lock();
    assert_eq!(list.len(), 1000);
    for key in 0..7 {
        let steps: Vec<_> = list.iter().filter(|(k, _)| *k == key).map(|(_, s)| *s).collect();
        assert!(steps.is_sorted());
    }
}

#[test]
fn a_retry_of_dead_letters_counts_as_work_and_keeps_their_story() {
    let dir = tempfile::tempdir().unwrap();
    for bus in [Bus::volatile(), Bus::open(dir.path()).unwrap()] {
        let attempts = seen();
        let list = attempts.clone();
        let subscription = bus
            .subscribe("billing")
            .retry(Backoff::never())
            .on(move |e: &Placed, ctx: &mut Context| {
                list.lock().push((e.order, ctx.attempt()));
                if ctx.attempt() < 3 { Err(HandlerError::retry("not yet")) } else { Ok(()) }
            })
            .start()
            .unwrap();
        bus.publish_all([placed(1, 0), placed(2, 0)]).unwrap();
        assert!(bus.wait_idle(30 * SECOND));
        let letters = bus.dead_letters("billing");
        let first = letters.list().unwrap()[0].clone();
        assert_eq!(letters.retry_all().unwrap(), 2);
        assert!(bus.wait_idle(30 * SECOND));
        let second = letters.list().unwrap()[0].clone();
        assert_eq!((first.attempts(), second.attempts()), (1, 2));
        assert_eq!(first.first_failed_at(), second.first_failed_at());
        assert_eq!(letters.retry_all().unwrap(), 2);
        assert!(bus.wait_idle(30 * SECOND));
        assert_eq!(subscription.status().dead_letters, 0);
        attempts.lock().sort_unstable();
        assert_eq!(*attempts.lock(), [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]);
    }
}

#[test]
fn a_dead_letter_that_is_discarded_while_it_is_tried_again_is_gone() {
    let store = Store::new();
    let bus = store.open();
    let inside = bus.clone();
    let calls = seen();
    let list = calls.clone();
    let subscription = bus
        .subscribe("billing")
        .on(move |e: &Placed, ctx: &mut Context| {
            list.lock().push(e.order);
            if ctx.attempt() > 1 {
                inside.dead_letters("billing").discard(ctx.position()).unwrap();
            }
            Err(HandlerError::reject("no"))
        })
        .start()
        .unwrap();
    bus.publish_all([placed(1, 0), placed(2, 0)]).unwrap();
    store.sim.run_until_idle();
    let letters = bus.dead_letters("billing");
    for _ in 0..3 {
        letters.retry_all().unwrap(); // several at once make one attempt
    }
    store.sim.run_until_idle();
    calls.lock().sort_unstable();
    assert_eq!(*calls.lock(), [1, 1, 2, 2]);
    assert_eq!(subscription.status().dead_letters, 0);
    assert!(letters.list().unwrap().is_empty());
    assert_eq!(subscription.status().condition, tidings::Condition::Running);
}

#[test]
fn dead_letters_of_nobody_are_an_error() {
    let store = Store::new();
    let bus = store.open();
    let error = bus.dead_letters("typo").list().unwrap_err();
    assert_eq!(error.to_string(), "there is no subscription named `typo`");
}

/// A restart does not begin the time anew in which an event is tried.
#[test]
fn the_time_since_the_first_failure_counts_through_restarts() {
    let store = Store::new();
    let start = |bus: &Bus| {
        let retry = Backoff::constant(SECOND).max_elapsed(10 * SECOND);
        let fails = |_: &Tick| Err::<(), _>(HandlerError::retry("down"));
        bus.subscribe("reader").retry(retry).on(fails).start().unwrap()
    };
    let bus = store.open();
    start(&bus);
    bus.publish(Tick(1)).unwrap();
    store.sim.advance(7 * SECOND);
    bus.shutdown(SECOND).unwrap();
    let bus = store.open();
    let reader = start(&bus);
    store.sim.advance(2 * SECOND);
    assert_eq!(reader.status().dead_letters, 0);
    store.sim.advance(3 * SECOND);
    assert_eq!(reader.status().dead_letters, 1);
}

/// So that it holds up no old event, and reads none again.
#[test]
fn what_a_subscription_has_passed_over_is_stored_when_it_stops() {
    let store = Store::new();
    let bus = store.open();
    collect(&bus, "reader", &seen());
    bus.publish(placed(1, 0)).unwrap();
    bus.publish_all((0..100).map(Tick)).unwrap();
    store.sim.run_until_idle();
    bus.shutdown(SECOND).unwrap();
    let bus = store.open();
    let stored = bus.stored_subscriptions().unwrap();
    assert_eq!(stored.iter().map(|stored| stored.lag).collect::<Vec<_>>(), [0]);
}
