//! Trying a saga out without a bus.

use tidings::{
    saga::{Condition, Saga, Verdict},
    testing::{SagaOrders, SagaTest},
};

use crate::fulfilment::*;

#[test]
fn a_saga_is_tried_out_step_by_step() {
    SagaTest::<Fulfilment>::new()
        .when(PaymentTaken { order: 7 })
        .then_is_parked::<PaymentTaken>()
        .when(OrderPlaced { order: 7 })
        .then_sends(&TakePayment { order: 7 })
        .then_sends(&ReserveStock { order: 7 })
        .then_sends_nothing()
        .then_no_timer("payment")
        .then_in::<AwaitingStock>()
        .when(OrderShipped { order: 7 })
        .then_refuses_with("rejects `orders.shipped`")
        .when(OutOfStock { order: 7 })
        .then_sends(&ReleaseStock { order: 7 })
        .then_sends(&RefundPayment { order: 7 })
        .then_is(Condition::Compensating)
        .when_twice(PaymentRefunded { order: 7 })
        .then_verdict(Verdict::Duplicate)
        .then_state(|cancelled: &Cancelled| cancelled.why == "out of stock");
}

#[test]
fn timers_go_off_as_time_passes() {
    SagaTest::<Fulfilment>::new()
        .given(OrderPlaced { order: 7 })
        .then_timer("payment", PAYMENT_TIMEOUT)
        .after(PAYMENT_TIMEOUT)
        .then_state(|state: &AwaitingPayment| state.reminders == 1)
        .after(PAYMENT_TIMEOUT)
        .then_sends(&RefundPayment { order: 7 });
}

/// Row G6: all permutations of five events, each of which may come twice.
#[test]
fn g6_in_whatever_order_five_events_come_the_saga_comes_to_its_end() {
    let orders = SagaOrders::<Fulfilment>::new()
        .event(OrderPlaced { order: 7 })
        .event(PaymentTaken { order: 7 })
        .event(PaymentRefused { order: 7 })
        .event(StockReserved { order: 7 })
        .event(OutOfStock { order: 7 })
        .answer(|ship: &ShipOrder| OrderShipped { order: ship.order })
        .answer(|refund: &RefundPayment| PaymentRefunded { order: refund.order })
        .duplicates(1)
        .assert_reaches_terminal();
    assert_eq!(orders, 5 * 360);
}

#[test]
#[should_panic(expected = "it is Some(Running) in `Shipping` after orders.placed, payments.taken")]
fn a_saga_that_does_not_come_to_its_end_is_named_with_the_order() {
    SagaOrders::<Fulfilment>::new()
        .event(OrderPlaced { order: 7 })
        .event(PaymentTaken { order: 7 })
        .event(StockReserved { order: 7 })
        .assert_reaches_terminal();
}

#[test]
#[should_panic(expected = "it was to send `stock.reserve`")]
fn an_expectation_that_does_not_hold_fails() {
    SagaTest::<Fulfilment>::new()
        .when(OrderPlaced { order: 7 })
        .then_sends(&ReserveStock { order: 7 })
        .then_sends_nothing();
}

#[test]
fn a_saga_is_drawn_as_it_is_declared() {
    let graph = Fulfilment::graph();
    let mermaid = graph.to_mermaid();
    for line in [
        "    state \"AwaitingPayment\" as s0\n",
        "    [*] --> s0 : orders.placed\n",
        "    s0 --> s1 : payments.taken\n",
        "    s0 --> s0 : timer payment\n",
        "    s0 --> s4 : timer payment, all undone\n",
        "    s1 --> s2 : stock.reserved, no return\n",
        "    s3 --> [*]\n",
    ] {
        assert!(mermaid.contains(line), "{line}{mermaid}");
    }
    let dot = graph.to_dot();
    for line in [
        "digraph \"fulfilment\" {\n",
        "    s3 [label=\"Shipped\", peripheries=2]\n",
        "    start -> s0 [label=\"orders.placed\"]\n",
        "    s0 -> s0 [label=\"timer payment\", style=dashed]\n",
        "    s1 -> s4 [label=\"stock.out, all undone\", color=red]\n",
    ] {
        assert!(dot.contains(line), "{line}{dot}");
    }
    let json: serde_json::Value = serde_json::from_str(&graph.to_json()).unwrap();
    assert_eq!(json["states"][0]["defers"], serde_json::json!(["stock.out", "stock.reserved"]));
    assert_eq!(json["transitions"].as_array().unwrap().len(), graph.transitions.len());
}
