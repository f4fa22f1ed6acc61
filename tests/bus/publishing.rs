//! Publishing, and what handlers publish.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::{
    Backoff, Bus, Context, CorrelationId, Event, HandlerError, Message, MessageId, PublishFailure,
    testing::Simulator,
};

use crate::{
    events::{Placed, SECOND, Shipped, Tick, placed, seen, simulated},
    store::Store,
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.billed", key = "order")]
struct Billed {
    order: u64,
}

#[test]
fn positions_are_dense_and_ids_are_unique() {
    let bus = Bus::volatile();
    let one = bus.publish(Tick(1)).unwrap();
    let rest = bus.publish_all([Tick(2), Tick(3)]).unwrap();
    let late = bus.enqueue(Tick(4)).unwrap().wait().unwrap();
    let positions: Vec<_> = [one, rest[0], rest[1], late].map(|r| r.position.get()).into();
    assert_eq!(positions, [1, 2, 3, 4]);
    assert_ne!(one.id, late.id);
    assert!(bus.publish_all(Vec::<Tick>::new()).unwrap().is_empty());
    assert_eq!(bus.publisher::<Tick>().unwrap().publish(Tick(5)).unwrap().position.get(), 5);
}

#[test]
fn what_a_handler_publishes_inherits_its_story() {
    let (sim, bus) = simulated(1);
    let story = seen();
    let list = story.clone();
    bus.subscribe("ship")
        .on(|event: &Placed, ctx: &mut Context| {
            ctx.publish(Message::new(Shipped { order: event.order }).header("by", "air"))
        })
        .start()
        .unwrap();
    bus.subscribe("watch")
        .on(move |_: &Shipped, ctx: &mut Context| {
            let by = ctx.headers().get("by").map(str::to_owned);
            list.lock().push((ctx.correlation_id(), ctx.causation_id(), by));
        })
        .start()
        .unwrap();
    let id = MessageId::from_bytes([7; 16]);
    bus.publish(Message::new(placed(1, 0)).id(id)).unwrap();
    let request = Message::new(placed(2, 0)).correlation_id("req-1");
    let second = bus.publish(request).unwrap();
    sim.run_until_idle();
    let by = Some("air".to_owned());
    assert_eq!(
        *story.lock(),
        [
            (CorrelationId::Id(id), Some(id), by.clone()),
            (CorrelationId::from("req-1"), Some(second.id), by),
        ]
    );
}

#[test]
fn a_failed_attempt_publishes_and_stores_nothing() {
    let (sim, bus) = simulated(2);
    let shipped = seen();
    let list = shipped.clone();
    bus.subscribe("ship")
        .retry(Backoff::constant(SECOND).max_attempts(5))
        .on(|event: &Placed, ctx: &mut Context| {
            let before: u64 = ctx.state().get("attempts")?.unwrap_or(0);
            ctx.state().put("attempts", &(before + 1))?;
            assert_eq!(ctx.state().get::<u64>("attempts")?, Some(before + 1));
            ctx.publish(Shipped { order: before })?;
            if ctx.attempt() < 3 && event.step == 0 {
                return Err(HandlerError::retry("no van"));
            }
            Ok(())
        })
        .start()
        .unwrap();
    bus.subscribe("watch").on(move |e: &Shipped| list.lock().push(e.order)).start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    bus.publish(placed(1, 1)).unwrap();
    sim.run_until_idle();
    assert_eq!(*shipped.lock(), [0, 1], "state and outputs of failed attempts are gone");
}

#[test]
fn a_bad_message_is_handed_back() {
    let bus = Bus::volatile();
    let error = bus.publish(Message::new(Tick(1)).header("", "x")).unwrap_err();
    assert!(matches!(error.failure(), PublishFailure::Header(_)));
    assert_eq!(error.into_event(), Tick(1));
    let error = bus.publish(Message::new(Tick(2)).key("k".repeat(1025))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not publish `ticks`: its key has 1025 bytes, more than 1024"
    );
    let bad = Message::new(Tick(4)).correlation_id("c".repeat(256));
    let all = [Message::new(Tick(3)), bad, Message::new(Tick(5))];
    let back = bus.publish_all(all).unwrap_err().into_messages();
    let ticks: Vec<_> = back.into_iter().map(|message| message.into_event().0).collect();
    assert_eq!(ticks, [3, 4, 5]);
    assert_eq!(bus.end().get(), 1, "nothing was published");
}

#[test]
fn after_a_shutdown_the_event_is_handed_back() {
    let bus = Bus::volatile();
    bus.shutdown(SECOND).unwrap();
    let error = bus.publish(Tick(1)).unwrap_err();
    assert!(matches!(error.failure(), PublishFailure::Closed));
    assert_eq!(error.into_event(), Tick(1));
    assert!(bus.enqueue(Tick(2)).is_err());
    assert!(bus.publish_all([Tick(3)]).is_err());
    assert!(bus.subscribe("late").on(|_: &Tick| ()).start().is_err());
}

#[test]
fn e4_a_full_volatile_bus_makes_publishers_wait_but_never_handlers() {
    let bus = Bus::builder().ring(4).build().unwrap();
    let sum = seen();
    let list = sum.clone();
    // Every tick but the last makes another one: the ring is always full, and handlers feed it.
    bus.subscribe("chain")
        .lanes(2)
        .on(move |tick: &Tick, ctx: &mut Context| {
            list.lock().push(tick.0);
            if tick.0 > 0 { ctx.publish(Tick(tick.0 - 1)) } else { Ok(()) }
        })
        .start()
        .unwrap();
    for _ in 0..50 {
        bus.publish(Tick(9)).unwrap();
    }
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!(sum.lock().len(), 500);
}

#[test]
fn e6_a_full_volatile_bus_fails_where_waiting_could_be_for_ever() {
    let bus = Bus::builder().ring(2).build().unwrap();
    let subscription = bus.subscribe("resting").on(|_: &Tick| ()).start().unwrap();
    subscription.pause();
    let full = (0..100).map(Tick).find_map(|tick| bus.enqueue(tick).err()).unwrap();
    assert!(matches!(full.failure(), PublishFailure::Full { capacity: 2 }));
    subscription.resume();
    assert!(bus.wait_idle(60 * SECOND));
    bus.publish(full.into_message()).unwrap();
}

/// A handler whose bus has room for one event publishes to itself, and around a circle of three.
#[test]
fn e4_handlers_may_publish_whatever_is_full_to_themselves_and_in_circles() {
    let store = tempfile::tempdir().unwrap();
    let durable = Bus::builder().ring(1).queue(1).open(store.path()).unwrap();
    for bus in [Bus::builder().ring(1).build().unwrap(), durable] {
        let handled = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&handled);
        let own = move |tick: &Tick, ctx: &mut Context| {
            count.fetch_add(1, Relaxed);
            if tick.0 > 0 { ctx.publish(Tick(tick.0 - 1)) } else { Ok(()) }
        };
        bus.subscribe("own").on(own).start().unwrap();
        let order = |e: &Placed, ctx: &mut Context| ctx.publish(Shipped { order: e.order });
        bus.subscribe("orders").on(order).start().unwrap();
        let ship = |e: &Shipped, ctx: &mut Context| ctx.publish(Billed { order: e.order });
        bus.subscribe("shipments").on(ship).start().unwrap();
        let count = Arc::clone(&handled);
        let bill = move |e: &Billed, ctx: &mut Context| {
            count.fetch_add(1, Relaxed);
            if e.order > 0 { ctx.publish(placed(e.order - 1, 0)) } else { Ok(()) }
        };
        bus.subscribe("bills").on(bill).start().unwrap();
        for _ in 0..20 {
            bus.publish(Tick(9)).unwrap();
            bus.publish(placed(9, 0)).unwrap();
        }
        assert!(bus.wait_idle(60 * SECOND));
        assert_eq!(handled.load(Relaxed), 2 * 20 * 10);
        bus.shutdown(SECOND).unwrap();
    }
}

#[test]
fn e6_a_full_queue_hands_enqueued_events_back_and_a_publisher_waits_and_nothing_is_dropped() {
    let store = Store::new();
    let builder = Bus::builder().runtime(store.sim.runtime()).storage(store.storage());
    let bus = builder.queue(3).build().unwrap();
    let ticks = seen();
    let list = ticks.clone();
    bus.subscribe("reader").on(move |tick: &Tick| list.lock().push(tick.0)).start().unwrap();
    store.sim.run_until_idle();
    let pending: Vec<_> = (0..3).map(|n| bus.enqueue(Tick(n)).unwrap()).collect();
    let full = bus.enqueue(Tick(3)).unwrap_err();
    assert!(matches!(full.failure(), PublishFailure::Full { capacity: 3 }), "{full}");
    bus.publish(full.into_message()).unwrap();
    for pending in pending {
        pending.wait().unwrap();
    }
    store.sim.run_until_idle();
    assert_eq!(*ticks.lock(), [0, 1, 2, 3]);
}

#[test]
fn e8_a_batch_with_one_bad_message_is_handed_back_as_a_whole() {
    let store = Store::new();
    for bus in [Bus::volatile(), store.open()] {
        let publish = |bad: u64| {
            let message = |n: u64| match Message::new(Tick(n)) {
                message if n == bad => message.key("k".repeat(1025)),
                message => message,
            };
            bus.publish_all((0..5).map(message))
        };
        for bad in 0..5 {
            let back = publish(bad).unwrap_err().into_messages();
            let ticks: Vec<_> = back.into_iter().map(|message| message.into_event().0).collect();
            assert_eq!(ticks, [0, 1, 2, 3, 4]);
            assert_eq!(bus.end().get(), 1, "nothing was published");
        }
        assert_eq!(publish(5).unwrap().len(), 5);
    }
}

#[test]
fn what_a_publisher_is_told_is_what_a_handler_sees() {
    let sim = Simulator::new(1);
    let bus = Bus::builder().runtime(sim.runtime()).build().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    let handler = move |tick: &Tick, ctx: &mut Context| {
        let key = ctx.key().map(|key| key.as_str().to_owned());
        list.lock().push((ctx.position(), ctx.id(), key));
        assert_eq!(ctx.correlation_id(), CorrelationId::Id(ctx.id()));
        if tick.0 == 1 { Err(HandlerError::reject("no")) } else { Ok(()) }
    };
    bus.subscribe("reader").on(handler).start().unwrap();
    let one = bus.publish(Tick(0)).unwrap();
    let other = bus.publish(Message::new(Tick(1)).key("k")).unwrap();
    sim.run_until_idle();
    let expected = [(one.position, one.id, None), (other.position, other.id, Some("k".into()))];
    assert_eq!(*seen.lock(), expected);
    assert_ne!(one.id, other.id);
    let dead = bus.dead_letters("reader").list().unwrap();
    assert_eq!((dead[0].position(), dead[0].envelope().id), (other.position, other.id));
}

#[test]
fn e8_a_batch_is_published_as_a_whole_or_handed_back() {
    let sim = Simulator::new(1);
    let bus = Bus::builder().runtime(sim.runtime()).ring(4).build().unwrap();
    let slow = bus.subscribe("slow").on(|_: &Tick| ()).start().unwrap();
    slow.pause();
    let publisher = bus.publisher::<Tick>().unwrap();
    let mut events = vec![Tick(0), Tick(1), Tick(2)];
    let first = publisher.publish_batch(&mut events).unwrap();
    assert_eq!((first.get(), events.len(), bus.end().get()), (1, 0, 4));
    events.extend([Tick(3), Tick(4)]);
    let full = publisher.publish_batch(&mut events).unwrap_err();
    assert!(matches!(full, PublishFailure::Full { capacity: 4 }));
    assert_eq!((events.len(), bus.end().get()), (2, 4), "nothing was taken");
}
