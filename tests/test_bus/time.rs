//! Virtual time: retries, waiting, rest, and runs that never end.

use std::time::Duration;

use tidings::{Backoff, Context, HandlerError, testing::TestBus};

use crate::shop::{
    OrderPlaced, PaymentTaken, SECOND, assert_contains, message_of, order, shop, start, with,
};

#[test]
fn running_until_idle_takes_the_time_of_all_retries_and_that_of_some_housekeeping() {
    let bus = shop();
    bus.publish(OrderPlaced { cents: -1, ..order(1) }).unwrap();
    bus.run_until_idle();
    bus.assert_published_times::<PaymentTaken>(1);
    assert!((180 * SECOND..181 * SECOND).contains(&bus.elapsed()));
}

#[test]
fn advancing_does_what_is_due_until_then() {
    let bus = shop();
    bus.publish(OrderPlaced { cents: -1, ..order(1) }).unwrap();
    bus.advance(Duration::from_millis(60_001));
    assert_eq!(bus.handler_calls("billing").len(), 2);
    bus.advance(Duration::from_micros(1));
    assert_eq!(bus.elapsed(), Duration::from_micros(60_001_001));
    bus.advance(120 * SECOND);
    assert_eq!(bus.handler_calls("billing").len(), 4);
}

#[test]
fn what_needs_somebody_else_is_quiet() {
    let bus = shop();
    bus.subscription("billing").pause();
    bus.publish(order(1)).unwrap();
    bus.run_until_idle();
    assert!(bus.handler_calls("billing").is_empty());

    bus.subscription("billing").resume();
    bus.run_until_idle();
    assert_eq!(bus.handler_calls("billing").len(), 1);
}

#[test]
fn the_same_seed_gives_the_same_run_and_seeds_matter() {
    let run = |seed| {
        let bus = TestBus::builder().seed(seed).start(start).unwrap();
        for n in 0..20 {
            bus.publish(OrderPlaced { cents: if n % 5 == 0 { -1 } else { 7 }, ..order(n) })
                .unwrap();
        }
        bus.run_until_idle();
        (bus.trace_hash(), bus.handler_calls("billing"), bus.published::<PaymentTaken>())
    };
    assert_eq!(run(1), run(1));
    assert!((2..20).any(|seed| run(seed).2 != run(1).2));
}

#[test]
fn retries_without_an_end_are_told_with_the_last_calls() {
    let bus = with(|bus| {
        bus.subscribe("stubborn")
            .retry(Backoff::constant(SECOND))
            .on(|_: &OrderPlaced| Err(HandlerError::retry("never")))
            .start()?;
        Ok(())
    });
    bus.publish(order(1)).unwrap();
    let message = message_of(|| bus.run_until_idle());
    let call = "stubborn: orders.placed #1 key 11, attempt";
    assert_contains(
        &message,
        &["does not come to rest", "200000 steps", call, "(never), again in 1s"],
    );
}

#[test]
fn a_circle_of_events_is_told_also_where_time_stands_still() {
    let again = |order: &OrderPlaced, ctx: &mut Context| -> Result<(), HandlerError> {
        ctx.publish(order.clone())?;
        Ok(())
    };
    let bus = TestBus::builder().max_steps(5000).start(move |bus| {
        let bus = bus.max_hops(u32::MAX).build()?;
        bus.subscribe("circle").on(again).start()?;
        Ok::<_, tidings::Error>(bus)
    });
    let bus = bus.unwrap();
    bus.publish(order(1)).unwrap();
    for message in [message_of(|| bus.run_until_idle()), message_of(|| bus.advance(SECOND))] {
        assert_contains(&message, &["after 5000 steps and 0ns", "circle: orders.placed #"]);
    }
}
