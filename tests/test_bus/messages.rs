//! What assertions say when they fail.

use tidings::Bus;

use crate::shop::{OrderPlaced, PaymentTaken, assert_contains, message_of, order, shop};

#[test]
fn an_event_that_was_not_published_is_told_with_those_that_were() {
    let bus = shop();
    bus.publish(order(1)).unwrap();
    let message = message_of(|| bus.assert_published::<PaymentTaken>(|_| true));
    let parts = ["no `payments.taken` is as expected", "none was published, but 1 orders.placed"];
    assert_contains(&message, &parts);

    bus.run_until_idle();
    let message = message_of(|| bus.assert_published::<PaymentTaken>(|taken| taken.order == 2));
    let line = r#"#2 payments.taken key 11 {"order":1,"customer":11}"#;
    assert_contains(&message, &["these were published:\n", line]);
}

#[test]
fn a_wrong_number_of_events_is_told_with_the_events() {
    let bus = shop();
    let message = message_of(|| bus.assert_published_times::<OrderPlaced>(1));
    assert_contains(&message, &["was published 0 times, not 1", "nothing at all was published"]);

    bus.publish(order(1)).unwrap();
    let message = message_of(|| bus.assert_published_times::<OrderPlaced>(2));
    assert_contains(&message, &["was published 1 times, not 2", "#1 orders.placed key 11 {"]);
    let message = message_of(|| bus.assert_nothing_published::<OrderPlaced>());
    assert_contains(&message, &["`orders.placed` was published", "#1 orders.placed key 11 {"]);
}

#[test]
fn dead_letters_are_told_with_event_and_error() {
    let bus = shop();
    bus.assert_no_dead_letters();
    bus.publish(OrderPlaced { cents: 0, ..order(1) }).unwrap();
    bus.run_until_idle();
    let message = message_of(|| bus.assert_no_dead_letters());
    let parts = ["billing: orders.placed #1", r#""cents":0"#, "rejected: an order of nothing"];
    assert_contains(&message, &parts);
}

#[test]
fn a_subscription_that_does_not_run_is_told_with_those_that_do() {
    let message = message_of(|| shop().subscription("shipping"));
    assert_contains(&message, &["named `shipping`", "audit", "billing"]);
}

#[test]
fn state_of_another_type_is_told_with_its_value() {
    let bus = shop();
    bus.publish(order(1)).unwrap();
    bus.run_until_idle();
    let message = message_of(|| bus.state::<String>("billing", 11_u64, "count"));
    assert_contains(&message, &["`billing` has stored another type as `count`", ": 1"]);
}

#[test]
fn a_failed_test_fails_with_its_own_message() {
    let message = message_of(|| {
        let _bus: (_, Bus) = {
            let bus = shop();
            let inner = bus.bus().clone();
            (bus, inner)
        };
        panic!("what the test found");
    });
    assert_eq!(message, "what the test found");
}
