//! Tests of one handler.

use tidings::{
    Context, Delivery, Handler, HandlerError, Message, Next, idempotent_by, testing::HandlerTest,
};
use tokio::time::sleep;

use crate::shop::{OrderPlaced, PaymentTaken, SECOND, assert_contains, bill, message_of, order};

fn payment(order: u64) -> PaymentTaken {
    PaymentTaken { order, customer: 10 + order % 3 }
}

#[test]
fn a_handler_is_tested_by_what_it_makes_of_an_event() {
    HandlerTest::of(bill)
        .given_state("count", &3_u64)
        .when(order(1))
        .then_succeeds()
        .then_published(&payment(1))
        .then_publishes_nothing()
        .then_state("count", &4_u64);
}

#[test]
fn what_a_handler_stores_stays_for_the_next_event_of_the_key() {
    HandlerTest::of(bill)
        .when(order(1))
        .then_state("count", &1_u64)
        .when(order(4))
        .then_state("count", &2_u64)
        .when(order(2))
        .then_state("count", &1_u64);
}

#[test]
fn a_failed_handler_leaves_nothing_behind_and_the_next_event_comes_all_the_same() {
    HandlerTest::of(bill)
        .when(OrderPlaced { cents: 0, ..order(1) })
        .then_rejects()
        .then_rejects_with("nothing")
        .then_publishes_nothing()
        .then_no_state("count")
        .when(OrderPlaced { cents: -1, ..order(1) })
        .then_fails_with("the bank sleeps")
        .when(order(1))
        .then_succeeds();
}

#[test]
fn a_handler_sees_the_attempt_that_it_is_to_see() {
    let test = HandlerTest::of(bill).attempt(4).when(OrderPlaced { cents: -1, ..order(1) });
    test.then_succeeds().when(OrderPlaced { cents: -1, ..order(1) }).then_fails_with("sleeps");
}

#[test]
fn panics_and_delays_are_endings_too() {
    HandlerTest::of(|_: &OrderPlaced| -> () { panic!("on fire") })
        .when(order(1))
        .then_fails_with("the handler panicked: on fire");
    HandlerTest::of(|_: &OrderPlaced| Err(HandlerError::retry_after("busy", SECOND)))
        .when(order(1))
        .then_retries_after(SECOND);
}

struct Typed;

impl Handler<OrderPlaced> for Typed {
    fn handle(&self, order: &OrderPlaced, ctx: &mut Context) -> Result<(), HandlerError> {
        bill(order, ctx)
    }
}

#[test]
fn every_kind_of_handler_can_be_tested() {
    HandlerTest::of(|_: &OrderPlaced| ()).when(order(1)).then_succeeds();
    HandlerTest::of::<OrderPlaced, _>(Typed).when(order(1)).then_published(&payment(1));
    HandlerTest::of(idempotent_by(|order: &OrderPlaced| order.order, bill))
        .when(order(1))
        .then_succeeds()
        .when(order(1))
        .then_is_passed_over()
        .when(order(2))
        .then_published(&payment(2));
}

#[test]
fn what_is_around_a_handler_can_be_tested_with_it() {
    let only_with_tenant = |ctx: &mut Context, next: Next<'_>| match ctx.headers().get("tenant") {
        Some(_) => next.run(ctx),
        None => Err(HandlerError::reject("no tenant")),
    };
    HandlerTest::within(|subscription| subscription.layer(only_with_tenant).on(bill))
        .when(order(1))
        .then_rejects_with("no tenant")
        .when(Message::new(order(1)).header("tenant", "acme"))
        .then_succeeds();
}

async fn bill_later(mut delivery: Delivery<OrderPlaced>) -> Result<(), HandlerError> {
    sleep(3600 * SECOND).await;
    if delivery.attempt() == 1 {
        return Err(HandlerError::retry("too early"));
    }
    let OrderPlaced { order, customer, .. } = *delivery;
    delivery.publish(PaymentTaken { order, customer })?;
    Ok(())
}

#[test]
fn async_handlers_are_tested_in_the_same_way() {
    HandlerTest::of_async(bill_later)
        .when(order(1))
        .then_fails_with("too early")
        .attempt(2)
        .when(order(1))
        .then_succeeds()
        .then_published(&payment(1));
}

#[tokio::test]
async fn and_in_async_tests() {
    let tested = HandlerTest::of_async(bill_later).attempt(2).when_async(order(1)).await;
    let tested = tested.then_published(&payment(1)).when_async(order(2)).await;
    tested.then_fails_with("too early");
}

#[test]
fn what_is_expected_and_does_not_happen_is_told_with_what_did() {
    let billed = || HandlerTest::of(bill).when(order(1));
    let rejected = || HandlerTest::of(bill).when(OrderPlaced { cents: 0, ..order(1) });
    let message = message_of(|| rejected().then_succeeds());
    assert_contains(&message, &["the handler rejected the event: an order of nothing"]);
    let message = message_of(|| billed().then_fails_with("no"));
    assert_contains(&message, &["was to fail with `no`, but it succeeded"]);
    let message = message_of(|| rejected().then_fails_with("nothing"));
    assert_contains(&message, &["but it rejected the event"]);
    let message = message_of(|| billed().then_rejects());
    assert_contains(&message, &["was to reject the event, but it succeeded"]);
    let message = message_of(|| billed().then_retries_after(SECOND));
    assert_contains(&message, &["another attempt after 1s, but it succeeded"]);
    let message = message_of(|| billed().then_is_passed_over());
    assert_contains(&message, &["was to be passed over, but the handler succeeded"]);
    let message = message_of(|| billed().then_published(&payment(2)));
    let found = r#"#2 payments.taken key 11 {"order":1,"customer":11}"#;
    assert_contains(&message, &["`payments.taken` {", "next, but there is:", found]);
    let message = message_of(|| billed().then_publishes_nothing());
    assert_contains(&message, &["was to publish nothing more, but there is:", found]);
    let message = message_of(|| billed().then_state("count", &2_u64));
    assert_contains(&message, &["`count` was to be 2, but it is 1"]);
    let message = message_of(|| billed().then_no_state("count"));
    assert_contains(&message, &["nothing was to be stored as `count`, but it is 1"]);
    let message = message_of(|| billed().then_state("sum", &2_u64));
    assert_contains(&message, &["`sum` was to be 2, but nothing is stored"]);
}
