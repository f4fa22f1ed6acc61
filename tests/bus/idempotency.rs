//! Handling the same thing once, however often it comes.

use std::{sync::Arc, time::Duration};

use tidings::{
    Backoff, Bus, Context, HandlerError, Message, MessageId, Window, idempotent, idempotent_by,
    testing::Simulator,
};

use crate::{
    events::{Placed, SECOND, Shipped, Tick, placed, seen, simulated},
    store::Store,
};

fn id(number: u8) -> MessageId {
    MessageId::from_bytes([number; 16])
}

/// A bus that itself forgets what was published, so that copies get into the journal.
fn forgetful(sim: &Simulator) -> Bus {
    let builder = Bus::builder().runtime(sim.runtime()).dedup_window(Window::last(1));
    builder.build().unwrap()
}

#[test]
fn copies_of_a_message_are_handled_once() {
    let sim = Simulator::new(1);
    let bus = forgetful(&sim);
    let ticks = seen();
    let handled = Arc::clone(&ticks);
    let reader = bus
        .subscribe("reader")
        .on(idempotent(move |tick: &Tick| handled.lock().push(tick.0)))
        .start()
        .unwrap();
    for (number, tick) in [(1, 10), (2, 20), (1, 11), (2, 21), (3, 30)] {
        bus.publish(Message::new(Tick(tick)).id(id(number))).unwrap();
    }
    bus.publish_all([Tick(1), Tick(1)]).unwrap();
    sim.run_until_idle();
    assert_eq!(*ticks.lock(), [10, 20, 30, 1, 1], "equal events are no copies");
    assert_eq!(reader.ledger().to_string(), "7 matched = 5 acknowledged + 2 duplicate");
}

#[test]
fn events_that_stand_for_one_thing_are_handled_once() {
    let (sim, bus) = simulated(1);
    let orders = seen();
    let handled = Arc::clone(&orders);
    let charge = move |event: &Placed, _: &mut Context| handled.lock().push(event.clone());
    let charged = idempotent_by(|event: &Placed| (event.order > 0).then_some(event.order), charge);
    let shipped = seen();
    let handled = Arc::clone(&shipped);
    let reader = bus
        .subscribe("reader")
        .lanes(4)
        .on(charged)
        .on(idempotent_by(
            |event: &Shipped| event.order,
            move |event: &Shipped| handled.lock().push(event.order),
        ))
        .start()
        .unwrap();
    let (one, two) = (placed(1, 0), placed(2, 0));
    bus.publish_all([one.clone(), two.clone(), placed(1, 1), placed(0, 1), placed(0, 2)]).unwrap();
    bus.publish_all([Shipped { order: 1 }, Shipped { order: 1 }]).unwrap();
    sim.run_until_idle();
    orders.lock().sort_by_key(|event| (event.order, event.step));
    assert_eq!(*orders.lock(), [placed(0, 1), placed(0, 2), one, two], "no key, no copies");
    assert_eq!(*shipped.lock(), [1], "a key is one of its event");
    assert_eq!(reader.ledger().duplicate, 2);
}

/// The trap of a well-known deduplicator: what is remembered before the handler has succeeded turns
/// its retry into a duplicate.
#[test]
fn a_failed_attempt_is_made_again() {
    let sim = Simulator::new(1);
    let bus = forgetful(&sim);
    let calls = seen();
    let called = Arc::clone(&calls);
    let reader = bus
        .subscribe("reader")
        .retry(Backoff::constant(SECOND).max_attempts(3))
        .on(idempotent(move |tick: &Tick, ctx: &mut Context| {
            called.lock().push((tick.0, ctx.attempt()));
            match (tick.0, ctx.attempt()) {
                (1, 1) => std::panic::resume_unwind(Box::new("once")),
                (1, 2) | (2, _) => Err(HandlerError::retry("again")),
                _ => Ok(()),
            }
        }))
        .start()
        .unwrap();
    bus.publish(Message::new(Tick(1)).id(id(1))).unwrap();
    bus.publish(Message::new(Tick(2)).id(id(2))).unwrap();
    sim.run_until_idle();
    calls.lock().sort_unstable();
    assert_eq!(*calls.lock(), [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]);
    assert_eq!(reader.ledger().to_string(), "2 matched = 1 acknowledged + 1 dead");
    bus.publish(Message::new(placed(0, 0)).id(id(9))).unwrap();
    bus.publish(Message::new(Tick(3)).id(id(2))).unwrap();
    sim.run_until_idle();
    assert_eq!(reader.ledger().acknowledged, 2, "what is dead was not handled");
    assert_eq!(bus.dead_letters("reader").retry_all().unwrap(), 1);
    sim.run_until_idle();
    assert_eq!((reader.ledger().duplicate, reader.ledger().dead), (1, 0), "now its copy was");
}

/// The effect, the mark and the acknowledgement are one commit, wherever the process dies.
#[test]
fn f13_effects_happen_once_whenever_the_process_dies() {
    for steps in 0..60 {
        let store = Store::new();
        let start = |bus: &Bus| {
            let count = |_: &Tick, ctx: &mut Context| -> Result<(), HandlerError> {
                let count = ctx.state().get::<u64>("count")?.unwrap_or(0) + 1;
                ctx.state().put("count", &count)?;
                ctx.publish(Shipped { order: count })?;
                Ok(())
            };
            bus.subscribe("counter").on(idempotent(count)).start().unwrap()
        };
        let open = || {
            let builder = Bus::builder().runtime(store.sim.runtime()).storage(store.storage());
            builder.ring(16).dedup_window(Window::last(1)).build().unwrap()
        };
        let bus = open();
        start(&bus);
        let publish = |bus: &Bus| {
            for number in [1, 2, 1, 3, 2] {
                bus.publish(Message::new(Tick(0)).id(id(number))).unwrap();
            }
            bus.publish(Message::new(placed(0, 0)).id(id(9))).unwrap();
        };
        publish(&bus);
        (0..steps).for_each(|_| _ = store.sim.step());
        store.kill(bus);
        let bus = open();
        let counter = start(&bus);
        publish(&bus);
        let effects = seen();
        let heard = Arc::clone(&effects);
        bus.subscribe("effects")
            .on(move |event: &Shipped| heard.lock().push(event.order))
            .start()
            .unwrap();
        store.sim.run_until_idle();
        assert_eq!(*effects.lock(), [1, 2, 3], "after {steps} steps");
        let ledger = counter.ledger();
        assert_eq!((ledger.acknowledged, ledger.duplicate), (3, 7), "{ledger}");
    }
}

/// What may have been forgotten is flagged, not passed over and not taken for new in silence.
#[test]
fn f14_an_event_older_than_the_window_is_flagged() {
    let store = Store::new();
    let flags = seen();
    let start = |bus: &Bus| {
        let flagged = Arc::clone(&flags);
        let handler = move |event: &Placed, ctx: &mut Context| {
            if event.step == 0 && ctx.attempt() < 3 {
                return Err(HandlerError::retry("late"));
            }
            flagged.lock().push((event.order, ctx.is_beyond_window()));
            Ok(())
        };
        let once = idempotent_by(|event: &Placed| event.order, handler).window(Window::last(2));
        let retry = Backoff::constant(Duration::from_secs(10));
        bus.subscribe("reader").retry(retry).on(once).start().unwrap()
    };
    let bus = store.open();
    start(&bus);
    bus.publish(placed(1, 0)).unwrap();
    for order in 2..=4 {
        bus.publish(placed(order, 1)).unwrap();
    }
    store.sim.advance(SECOND);
    assert_eq!(*flags.lock(), [(2, false), (3, false), (4, false)]);
    bus.publish(placed(3, 1)).unwrap();
    store.sim.advance(SECOND);
    assert_eq!(flags.lock().len(), 3, "3 is remembered");
    store.kill(bus);
    let bus = store.open();
    let reader = start(&bus);
    store.sim.run_until_idle();
    assert_eq!(flags.lock().last(), Some(&(1, true)), "as old as 2, which is forgotten");
    assert_eq!(reader.status().beyond_window, 2, "two attempts in this process");
    bus.publish(placed(2, 1)).unwrap();
    store.sim.run_until_idle();
    assert_eq!(flags.lock().last(), Some(&(2, false)), "a new event is in no doubt");
}

/// Of copies that come at once, one is handled, and the others wait for how that ends.
#[test]
fn f15_copies_on_several_lanes_never_run_at_once() {
    for seed in 0..50 {
        let (sim, bus) = simulated(seed);
        let mut pulled = bus
            .subscribe("reader")
            .lanes(4)
            .retry(Backoff::constant(SECOND))
            .idempotent_by(Window::default(), |event: &Placed| event.step)
            .stream::<Placed>()
            .unwrap();
        bus.publish_all((0..4).map(|order| placed(order, 7))).unwrap();
        sim.advance(SECOND);
        let first = pulled.next_within(Duration::ZERO).expect("one of them is handed out");
        assert!(pulled.next_within(Duration::ZERO).is_none(), "the others wait");
        first.retry(HandlerError::retry("not yet"));
        sim.advance(Duration::from_millis(500));
        let second = pulled
            .next_within(Duration::ZERO)
            .expect("another one, while the first waits for its retry");
        assert!(pulled.next_within(Duration::ZERO).is_none());
        second.ack();
        sim.run_until_idle();
        assert!(pulled.next_within(Duration::ZERO).is_none());
        let ledger = pulled.subscription().ledger();
        assert_eq!(ledger.to_string(), "4 matched = 1 acknowledged + 3 duplicate");
    }
}
