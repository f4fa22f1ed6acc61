//! Undoing what was done.

use serde::{Deserialize, Serialize};
use tidings::{
    Event,
    saga::{Condition, Define, OnCompensationFailure, Saga, SagaState, Verdict},
};

use crate::{
    fulfilment::*,
    world::{DAY, SECOND, Sent, World},
};

fn out_of_stock(world: &World) {
    world.publish(OrderPlaced { order: 7 });
    world.publish(PaymentTaken { order: 7 });
    world.sent();
    world.publish(OutOfStock { order: 7 });
}

#[test]
fn the_last_step_is_undone_first_and_the_next_once_that_is_done() {
    let world = World::<Fulfilment>::new();
    out_of_stock(&world);
    assert_eq!(world.sent(), ["stock.release 7", "payments.refund 7"]);
    assert_eq!(world.condition(7), Condition::Compensating);
    world.publish(PaymentRefunded { order: 7 });
    assert_eq!(world.condition(7), Condition::Completed);
    assert_eq!(world.state(7), Fulfilment::from(Cancelled { why: "out of stock".into() }));
}

#[test]
fn a_step_of_which_nobody_knows_whether_it_ran_is_undone_as_well() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.pass(PAYMENT_TIMEOUT);
    world.pass(PAYMENT_TIMEOUT);
    assert_eq!(world.sent(), ["payments.take 7", "payments.refund 7"]);
    assert_eq!(world.condition(7), Condition::Compensating);
}

#[test]
fn a_step_that_did_not_happen_is_not_undone() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(PaymentRefused { order: 7 });
    assert_eq!(world.sent(), ["payments.take 7"]);
    assert_eq!(world.state(7), Fulfilment::from(Cancelled { why: "refused".into() }));
}

#[test]
fn events_that_come_while_steps_are_undone_are_late() {
    let world = World::<Fulfilment>::new();
    out_of_stock(&world);
    world.publish(StockReserved { order: 7 });
    assert_eq!(world.verdicts(7).last(), Some(&Verdict::Late));
    world.publish(PaymentRefunded { order: 8 });
    assert_eq!(world.condition(7), Condition::Compensating);
}

#[test]
fn g7_a_compensation_that_nobody_answers_is_asked_for_again_and_then_halts() {
    let world = World::<Fulfilment>::new();
    out_of_stock(&world);
    world.sent();
    for attempt in 2..=3 {
        world.pass(10 * SECOND);
        assert_eq!(world.sent(), ["payments.refund 7"], "attempt {attempt}");
    }
    world.pass(10 * SECOND);
    assert_eq!(world.condition(7), Condition::CompensationFailed);
    world.pass(DAY);
    assert!(world.sent().is_empty(), "it is not tried for ever");
    let world = world.restart::<Fulfilment>();
    let instance = world.sagas.get("7").unwrap().unwrap();
    let why = "`payment` could not be undone: no answer to `payments.refund` after 3 attempts";
    assert_eq!(instance.why.as_deref(), Some(why));
    assert_eq!(world.sagas.status().unwrap().halted(), 1);
    assert_eq!(world.sagas.list().unwrap()[0].condition, Condition::CompensationFailed);
}

#[test]
fn g7_an_operator_has_a_failed_compensation_tried_again() {
    let world = World::<Fulfilment>::new();
    out_of_stock(&world);
    world.pass(DAY);
    world.sent();
    world.sagas.retry("7").unwrap();
    world.settle();
    assert_eq!(world.sent(), ["payments.refund 7"]);
    world.publish(PaymentRefunded { order: 7 });
    assert_eq!(world.condition(7), Condition::Completed);
}

#[test]
fn g7_an_operator_leaves_a_failed_compensation_out() {
    let world = World::<Fulfilment>::new();
    out_of_stock(&world);
    world.pass(DAY);
    world.sent();
    world.sagas.skip("7").unwrap();
    world.settle();
    assert!(world.sent().is_empty());
    assert_eq!(world.state(7), Fulfilment::from(Cancelled { why: "out of stock".into() }));
}

/// The answer to the first request comes after the operator was asked: it counts.
#[test]
fn an_answer_that_comes_late_ends_the_halt() {
    let world = World::<Fulfilment>::new();
    out_of_stock(&world);
    world.pass(DAY);
    assert_eq!(world.condition(7), Condition::CompensationFailed);
    world.publish(PaymentRefunded { order: 7 });
    assert_eq!(world.condition(7), Condition::Completed);
}

#[test]
fn after_the_point_of_no_return_nothing_is_undone() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(PaymentTaken { order: 7 });
    world.publish(StockReserved { order: 7 });
    let instance = world.sagas.get("7").unwrap().unwrap();
    assert!(instance.is_pivoted && instance.compensations.is_empty());
    assert!(world.sagas.cancel("7", "changed my mind").is_err());
}

macro_rules! events {
    ($($name:ident = $text:literal),*) => {
        $(
            #[derive(Debug, Clone, Serialize, Deserialize, Event)]
            #[event(name = $text, key = "trip")]
            struct $name { trip: u64, what: String }
        )*
    };
}

events!(
    BookTrip = "trips.book",
    Give = "trips.give-up",
    Undo = "trips.undo",
    Undone = "trips.undone"
);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Booking(u32);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Off;

/// Two steps at once, and then two more.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, SagaState)]
enum Trip {
    Booking(Booking),
    #[saga(terminal)]
    Off(Off),
}

fn undo(trip: u64, what: &str) -> Undo {
    Undo { trip, what: what.into() }
}

impl Saga for Trip {
    const NAME: &'static str = "trip";

    fn define(saga: &mut Define<Self>) {
        saga.start(|book: &BookTrip, turn| {
            turn.compensate_with("flight", undo(book.trip, "flight"))
                .compensate_with("hotel", undo(book.trip, "hotel"))
                .enter(Booking(1))
        })
        .to::<Booking>();
        saga.state::<Booking>()
            .on(|state, book: &BookTrip, turn| {
                turn.compensate_with("car", undo(book.trip, "car")).enter(Booking(state.0 + 1))
            })
            .on(|_, _: &Give, turn| turn.compensate_then(Off))
            .compensates_to::<Off>();
        saga.compensation::<Undo>().undone_by(|undo, undone: &Undone| undo.what == undone.what);
        saga.on_compensation_failure(OnCompensationFailure::CompensateRest);
    }
}

fn trip(what: &str) -> (u64, String) {
    (7, what.to_owned())
}

fn trips() -> (World<Trip>, Sent) {
    let world = World::<Trip>::new();
    let sent = Sent::default();
    let seen = std::sync::Arc::clone(&sent);
    let on = move |undo: &Undo| seen.lock().push(undo.what.clone());
    world.bus.subscribe("undo").on(on).start().unwrap();
    let (trip, what) = trip("all");
    world.publish(BookTrip { trip, what: what.clone() });
    world.publish(BookTrip { trip, what: what.clone() });
    world.publish(Give { trip, what });
    (world, sent)
}

/// The steps of one turn are independent of each other; each answer counts for what it is about.
#[test]
fn steps_of_one_turn_are_undone_together() {
    let (world, sent) = trips();
    let undone = |what: &str| {
        let (trip, what) = trip(what);
        world.publish(Undone { trip, what });
    };
    assert_eq!(*sent.lock(), ["car"]);
    undone("flight");
    assert_eq!(*sent.lock(), ["car"], "an answer to nobody");
    undone("car");
    assert_eq!(*sent.lock(), ["car", "flight", "hotel"]);
    undone("hotel");
    undone("car");
    assert_eq!(world.condition(7), Condition::Compensating);
    undone("flight");
    assert_eq!(world.condition(7), Condition::Completed);
}

#[test]
fn the_rest_is_undone_where_the_saga_says_so() {
    let (world, sent) = trips();
    world.pass(DAY);
    let sent = sent.lock().clone();
    for what in ["car", "flight", "hotel"] {
        assert_eq!(sent.iter().filter(|other| *other == what).count(), 10, "{what}");
    }
    assert_eq!(world.condition(7), Condition::CompensationFailed);
    world.sagas.skip("7").unwrap();
    world.settle();
    assert_eq!(world.condition(7), Condition::Completed);
}
