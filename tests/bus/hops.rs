//! E5: events that handlers publish in a circle.

use tidings::{
    Backoff, Batched, Bus, BusBuilder, Context, DeadLetter, DeadLetterReason, HandlerError,
    OpenError, PublishError, testing::Simulator,
};

use crate::{
    events::{Placed, SECOND, Seen, Shipped, Tick, placed, seen},
    store::Store,
};

/// `ping` answers each order with a shipment, `pong` each shipment with an order, and so on.
fn circle(bus: &Bus, handled: &Seen<u64>) {
    let list = handled.clone();
    let ship = move |e: &Placed, ctx: &mut Context| {
        list.lock().push(e.order);
        ctx.publish(Shipped { order: e.order })
    };
    bus.subscribe("ping").on(ship).start().unwrap();
    let place = |e: &Shipped, ctx: &mut Context| ctx.publish(placed(e.order, 0));
    bus.subscribe("pong").on(place).start().unwrap();
}

fn letters(bus: &Bus, subscription: &str) -> Vec<DeadLetter> {
    bus.dead_letters(subscription).list().unwrap()
}

fn each_kind_of_bus(test: impl Fn(&Simulator, BusBuilder)) {
    let sim = Simulator::new(1);
    test(&sim, Bus::builder().runtime(sim.runtime()));
    let store = Store::new();
    test(&store.sim, Bus::builder().runtime(store.sim.runtime()).storage(store.storage()));
}

#[test]
fn e5_what_is_published_in_a_circle_ends_as_a_dead_letter_and_all_else_goes_on() {
    each_kind_of_bus(|sim, builder| {
        let bus = builder.build().unwrap();
        let (handled, ticks) = (seen(), seen());
        circle(&bus, &handled);
        let list = ticks.clone();
        bus.subscribe("others").on(move |tick: &Tick| list.lock().push(tick.0)).start().unwrap();
        bus.publish(placed(1, 0)).unwrap();
        bus.publish(placed(2, 0)).unwrap();
        bus.publish(Tick(3)).unwrap();
        sim.run_until_idle();

        // Each order and its 32 repetitions; the last one has come through 64 handlers.
        assert_eq!(handled.lock().len(), 2 * 33);
        let dead = letters(&bus, "ping");
        assert_eq!(dead.len(), 2);
        for letter in dead {
            assert_eq!(letter.reason(), DeadLetterReason::TooManyHops);
            assert_eq!((letter.attempts(), letter.envelope().hops()), (1, 64));
            assert!(letter.error().contains("more than 64 handlers"), "{}", letter.error());
        }
        assert!(letters(&bus, "pong").is_empty());
        bus.publish(Tick(4)).unwrap();
        sim.run_until_idle();
        assert_eq!(*ticks.lock(), [3, 4]);
    });
}

#[test]
fn e5_a_handler_that_makes_light_of_the_refusal_keeps_nothing_all_the_same() {
    each_kind_of_bus(|sim, builder| {
        let bus = builder.max_hops(1).build().unwrap();
        let (refused, ticks) = (seen(), seen());
        let first = |e: &Placed, ctx: &mut Context| ctx.publish(Shipped { order: e.order });
        bus.subscribe("first").on(first).start().unwrap();
        let list = refused.clone();
        let second = move |e: &Shipped, ctx: &mut Context| {
            ctx.state().put("seen", &true)?;
            let error = ctx.publish(Tick(e.order)).err();
            list.lock().extend(error.map(|error| (error.to_string(), error.into_event())));
            match e.order {
                1 => Ok(()),
                2 => Err(HandlerError::retry("again, please")),
                _ => panic!("what now?"),
            }
        };
        let retry = Backoff::constant(SECOND).max_attempts(5);
        bus.subscribe("second").retry(retry).on(second).start().unwrap();
        let list = ticks.clone();
        bus.subscribe("ticks").on(move |tick: &Tick| list.lock().push(tick.0)).start().unwrap();
        for order in 1..=3 {
            bus.publish(placed(order, 0)).unwrap();
        }
        sim.run_until_idle();
        let refused = std::mem::take(&mut *refused.lock());
        assert_eq!(refused.len(), 3, "none is tried again");
        assert_eq!(refused[0].1, Tick(1), "the event is handed back");
        assert!(refused[0].0.contains("more than 1 handlers"), "{}", refused[0].0);
        let reasons: Vec<_> = letters(&bus, "second").iter().map(DeadLetter::reason).collect();
        assert_eq!(reasons, [DeadLetterReason::TooManyHops; 3]);
        assert!(ticks.lock().is_empty(), "nothing of it is published");
        let dry_run = bus.dead_letters("second").dry_run(&tidings::Letters::all()).unwrap();
        assert_eq!(dry_run.would_fail(), 3);
    });
}

#[test]
fn e5_what_is_pulled_counts_too() {
    each_kind_of_bus(|sim, builder| {
        let bus = builder.max_hops(5).build().unwrap();
        let mut pulled = bus.subscribe("pulled").stream::<Tick>().unwrap();
        bus.publish(Tick(0)).unwrap();
        for n in 0..6 {
            let mut tick = pulled.next_within(SECOND).unwrap();
            assert_eq!(tick.event().0, n);
            assert_eq!(tick.publish(Tick(n + 1)).is_ok(), n < 5);
            tick.ack();
        }
        sim.run_until_idle();
        assert_eq!(letters(&bus, "pulled")[0].reason(), DeadLetterReason::TooManyHops);
        assert!(pulled.next_within(SECOND).is_none());
    });
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn e5_async_handlers_and_answers_count_too() {
    use tidings::Delivery;

    let bus = Bus::builder().max_hops(5).build().unwrap();
    let answers = async |mut tick: Delivery<Tick>| {
        let next = Tick(tick.0 + 1);
        tick.publish(next).ok();
    };
    bus.subscribe("answers").on_async(answers).start().unwrap();
    let answer = bus.ask::<_, Tick>(Tick(0)).unwrap().await.unwrap();
    assert_eq!(answer.0, 1);
    let end = async {
        while letters(&bus, "answers").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(20 * SECOND, end).await.unwrap();
    let letter = &letters(&bus, "answers")[0];
    assert_eq!((letter.reason(), letter.envelope().hops()), (DeadLetterReason::TooManyHops, 5));
}

#[test]
fn e5_a_letter_that_is_tried_again_keeps_its_count_and_a_corrected_one_begins_anew() {
    let store = Store::new();
    let bus = store.open();
    circle(&bus, &seen());
    bus.publish(placed(1, 0)).unwrap();
    store.sim.run_until_idle();
    bus.dead_letters("ping").retry_all().unwrap();
    store.sim.run_until_idle();
    assert_eq!(letters(&bus, "ping").len(), 1, "it is no better the second time");
    bus.shutdown(SECOND).unwrap();

    let builder = Bus::builder().runtime(store.sim.runtime()).storage(store.storage());
    let bus = builder.max_hops(100).build().unwrap();
    let handled = seen();
    circle(&bus, &handled);
    bus.dead_letters("ping").retry_all().unwrap();
    store.sim.run_until_idle();
    assert_eq!(handled.lock().len(), 1 + 18, "from 64 hops on, not from the start");
    let dead = letters(&bus, "ping");
    assert_eq!((dead.len(), dead[0].envelope().hops()), (1, 100));

    let edit = |placed: &mut Placed| placed.order = 2;
    bus.dead_letters("ping").edit_and_retry(dead[0].position(), edit).unwrap();
    store.sim.run_until_idle();
    assert_eq!(handled.lock().iter().filter(|order| **order == 2).count(), 50);
}

#[test]
fn long_work_in_steps_may_take_as_many_as_it_is_allowed() {
    let refused = Bus::builder().max_hops(0).build().unwrap_err();
    assert!(matches!(refused, OpenError::Zero { setting: "max_hops" }));
    each_kind_of_bus(|sim, builder| {
        let bus = builder.max_hops(u32::MAX).build().unwrap();
        let steps = |tick: &Tick, ctx: &mut Context| -> Result<(), HandlerError> {
            if tick.0 > 0 {
                ctx.publish(Tick(tick.0 - 1))?;
            }
            Ok(())
        };
        let subscription = bus.subscribe("steps").on(steps).start().unwrap();
        bus.publish(Tick(1000)).unwrap();
        sim.run_until_idle();
        assert_eq!(subscription.status().handled, 1001);
    });
}

#[test]
fn what_a_handler_publishes_past_its_context_begins_anew() {
    let sim = Simulator::new(1);
    let bus = Bus::builder().runtime(sim.runtime()).max_hops(1).build().unwrap();
    let own = bus.clone();
    let again = move |tick: &Tick| match tick.0 {
        0 => Ok(()),
        left => own.publish(Tick(left - 1)).map(drop).map_err(PublishError::into_failure),
    };
    let subscription = bus.subscribe("again").on(again).start().unwrap();
    bus.publish(Tick(9)).unwrap();
    sim.run_until_idle();
    assert_eq!(subscription.status().handled, 10);
    subscription.stop(SECOND);
}

#[test]
fn e5_of_a_batch_only_the_event_that_goes_too_far_is_a_dead_letter() {
    each_kind_of_bus(|sim, builder| {
        let bus = builder.max_hops(1).build().unwrap();
        bus.subscribe("first")
            .on(|e: &Shipped, ctx: &mut Context| ctx.publish(placed(e.order, 1)))
            .start()
            .unwrap();
        let handler = |orders: &mut [Batched<'_, Placed>]| {
            let shipped = |order: &mut Batched<'_, Placed>| {
                let shipped = Shipped { order: order.order };
                order.publish(shipped).is_ok()
            };
            assert_eq!(orders.iter_mut().map(shipped).filter(|published| *published).count(), 1);
        };
        let both = bus.subscribe("both").on_batch(2, SECOND, handler).start().unwrap();
        bus.publish(Shipped { order: 1 }).unwrap();
        bus.publish(placed(2, 0)).unwrap();
        sim.advance(2 * SECOND);
        let dead = letters(&bus, "both");
        assert_eq!((dead.len(), both.status().handled > 0), (1, true));
        assert_eq!(dead[0].reason(), DeadLetterReason::TooManyHops);
    });
}
