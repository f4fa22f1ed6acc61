//! What is seen of the calls of handlers.

use std::time::Duration;

use tidings::{Backoff, Batched, DeadLetterReason, HandlerError, testing::CallOutcome};

use crate::shop::{OrderPlaced, PaymentTaken, SECOND, order, shop, with};

#[test]
fn each_attempt_is_a_call_with_its_time_its_error_and_what_comes_next() {
    let bus = with(|bus| {
        bus.subscribe("billing")
            .retry(Backoff::linear(SECOND).max_attempts(3))
            .on(|_: &OrderPlaced| Err(HandlerError::retry("no")))
            .start()?;
        Ok(())
    });
    let receipt = bus.publish(order(1)).unwrap();
    bus.run_until_idle();

    let calls = bus.handler_calls("billing");
    let error = || "no".to_owned();
    let retried = |after| CallOutcome::Retried { error: error(), after };
    let dead = CallOutcome::Dead { error: error(), reason: DeadLetterReason::Exhausted };
    let outcomes: Vec<_> = calls.iter().map(|call| call.outcome.clone()).collect();
    assert_eq!(outcomes, [retried(SECOND), retried(2 * SECOND), dead]);
    let times: Vec<_> = calls.iter().map(|call| (call.attempt, call.began.as_secs())).collect();
    assert_eq!(times, [(1, 0), (2, 1), (3, 3)]);

    let call = &calls[2];
    assert_eq!((&*call.event, call.position), ("orders.placed", receipt.position));
    assert_eq!(call.key, Some("11".into()));
    assert_eq!(call.ended, Some(3 * SECOND));
    let text = "billing: orders.placed #1 key 11, attempt 3 at 3s: failed (no), dead: exhausted";
    assert_eq!(call.to_string(), text);
}

#[test]
fn a_dead_letter_that_is_retried_is_called_again() {
    let bus = shop();
    bus.publish(OrderPlaced { cents: 0, ..order(1) }).unwrap();
    bus.run_until_idle();
    assert_eq!(bus.dead_letters("billing").retry_all().unwrap(), 1);
    bus.run_until_idle();
    let calls = bus.handler_calls("billing");
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn what_was_handled_is_known_by_its_type_once_the_handler_succeeds() {
    let mut bus = shop();
    let [paid, late, nothing] =
        [(1, 100), (2, -1), (3, 0)].map(|(number, cents)| OrderPlaced { cents, ..order(number) });
    bus.publish_all([late.clone(), paid.clone(), nothing]).unwrap();
    bus.advance(SECOND);
    assert_eq!(bus.handled_by::<OrderPlaced>("billing"), std::slice::from_ref(&paid));
    bus.restart();
    bus.run_until_idle();
    assert_eq!(bus.handled_by::<OrderPlaced>("billing"), [paid, late]);
    assert_eq!(bus.handled_by::<OrderPlaced>("audit"), []);
    assert_eq!(bus.handled_by::<PaymentTaken>("audit").len(), 2);
}

#[test]
fn a_filtered_event_shows_as_filtered() {
    let bus = with(|bus| {
        let builder = bus.subscribe("large").filter(|order: &OrderPlaced| order.cents > 100);
        builder.on(|_: &OrderPlaced| ()).start()?;
        Ok(())
    });
    for cents in [100, 101] {
        bus.publish(OrderPlaced { cents, ..order(1) }).unwrap();
    }
    bus.run_until_idle();
    let outcomes: Vec<_> =
        bus.handler_calls("large").into_iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, [CallOutcome::Filtered, CallOutcome::Succeeded]);
}

#[test]
fn each_event_of_a_batch_is_a_call() {
    let bus = with(|bus| {
        bus.subscribe("bulk")
            .retry(Backoff::constant(SECOND).max_attempts(2))
            .on_batch(3, Duration::from_millis(5), |orders: &mut [Batched<'_, OrderPlaced>]| {
                if orders.len() == 3 {
                    return Err(HandlerError::retry("all at once"));
                }
                Ok(())
            })
            .start()?;
        Ok(())
    });
    for n in 0..3 {
        bus.publish(order(n)).unwrap();
    }
    bus.run_until_idle();
    let calls = bus.handler_calls("bulk");
    let failed = CallOutcome::Retried { error: "all at once".into(), after: SECOND };
    assert_eq!(calls.iter().filter(|call| call.outcome == failed).count(), 3, "{calls:#?}");
    assert_eq!(calls.iter().filter(|call| call.outcome == CallOutcome::Succeeded).count(), 3);
}
