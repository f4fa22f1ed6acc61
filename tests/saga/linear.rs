//! Sagas whose steps follow each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{
    Backoff, Event,
    saga::{Condition, Flaw, Linear, LinearSaga, SagaError, Steps, StepsDone, StepsUndone},
    testing::{SagaOrders, SagaTest},
};

macro_rules! events {
    ($($name:ident = $text:literal),* $(,)?) => { $(
        #[derive(Debug, Clone, Serialize, Deserialize, Event)]
        #[event(name = $text, key = "trip")]
        struct $name { trip: u64 }
    )* };
}

events! {
    BookTrip = "trips.book",
    BookFlight = "flights.book", FlightBooked = "flights.booked", FlightRefused = "flights.refused",
    CancelFlight = "flights.cancel", FlightCancelled = "flights.cancelled",
    BookHotel = "hotels.book", HotelBooked = "hotels.booked", CancelHotel = "hotels.cancel",
    Charge = "cards.charge", Charged = "cards.charged", Declined = "cards.declined",
    Confirm = "trips.confirm", Confirmed = "trips.confirmed",
}

struct Booking;

const MINUTE: Duration = Duration::from_mins(1);

impl Linear for Booking {
    const NAME: &'static str = "booking";
    type Input = BookTrip;

    fn steps(steps: &mut Steps<Self>) {
        steps.parallel(|group| {
            group
                .step("flight", |trip| BookFlight { trip: trip.trip })
                .undo_until(
                    Backoff::constant(MINUTE).max_attempts(3),
                    |trip| CancelFlight { trip: trip.trip },
                    |cancel, cancelled: &FlightCancelled| cancel.trip == cancelled.trip,
                )
                .failed_by::<FlightRefused>()
                .done_by::<FlightBooked>();
            group
                .step("hotel", |trip| BookHotel { trip: trip.trip })
                .undo(|trip| CancelHotel { trip: trip.trip })
                .within(MINUTE)
                .done_by::<HotelBooked>();
        });
        steps
            .step("charge", |trip| Charge { trip: trip.trip })
            .failed_by::<Declined>()
            .pivot()
            .done_by::<Charged>();
        steps.step("confirm", |trip| Confirm { trip: trip.trip }).done_by::<Confirmed>();
    }
}

type Test = SagaTest<LinearSaga<Booking>>;

fn begun() -> Test {
    Test::new()
        .when(BookTrip { trip: 7 })
        .then_sends(&BookFlight { trip: 7 })
        .then_sends(&BookHotel { trip: 7 })
        .then_sends_nothing()
        .then_timer("hotel", MINUTE)
}

#[test]
fn steps_side_by_side_are_done_before_the_next_one() {
    begun()
        .when(HotelBooked { trip: 7 })
        .then_no_timer("hotel")
        .then_sends_nothing()
        .when_twice(FlightBooked { trip: 7 })
        .then_sends(&Charge { trip: 7 })
        .then_sends_nothing()
        .when(Charged { trip: 7 })
        .then_sends(&Confirm { trip: 7 })
        .when(Confirmed { trip: 7 })
        .then_in::<StepsDone>()
        .then_is(Condition::Completed);
}

#[test]
fn a_step_that_has_failed_is_not_undone_and_those_beside_it_are() {
    begun()
        .when(FlightRefused { trip: 7 })
        .then_sends(&CancelHotel { trip: 7 })
        .then_sends_nothing()
        .then_state(|undone: &StepsUndone| undone.step == "flight");
}

#[test]
fn a_step_that_takes_too_long_is_undone_as_well() {
    begun()
        .given(FlightBooked { trip: 7 })
        .after(MINUTE)
        .then_sends(&CancelFlight { trip: 7 })
        .then_sends(&CancelHotel { trip: 7 })
        .then_is(Condition::Compensating)
        .after(MINUTE)
        .then_sends(&CancelFlight { trip: 7 })
        .when(FlightCancelled { trip: 7 })
        .then_state(|undone: &StepsUndone| undone.step == "hotel");
}

#[test]
fn steps_before_the_one_that_has_failed_are_undone() {
    begun()
        .given(FlightBooked { trip: 7 })
        .given(HotelBooked { trip: 7 })
        .when(Declined { trip: 7 })
        .then_sends(&CancelFlight { trip: 7 })
        .then_sends(&CancelHotel { trip: 7 })
        .then_sends_nothing();
}

#[test]
fn in_whatever_order_answers_come_the_booking_comes_to_its_end() {
    let orders = SagaOrders::<LinearSaga<Booking>>::new()
        .event(BookTrip { trip: 7 })
        .event(FlightBooked { trip: 7 })
        .event(HotelBooked { trip: 7 })
        .event(FlightRefused { trip: 7 })
        .answer(|_: &Charge| Charged { trip: 7 })
        .answer(|_: &Confirm| Confirmed { trip: 7 })
        .answer(|_: &CancelFlight| FlightCancelled { trip: 7 })
        .duplicates(1)
        .assert_reaches_terminal();
    assert_eq!(orders, 240);
}

#[test]
fn each_step_is_a_state_of_the_drawing() {
    let drawn = <LinearSaga<Booking> as tidings::saga::Saga>::graph().to_mermaid();
    let expected = "stateDiagram-v2
    state \"flight + hotel\" as s0
    state \"charge\" as s1
    state \"confirm\" as s2
    state \"Done\" as s3
    state \"Undone\" as s4
    [*] --> s0 : trips.book
    s0 --> s1 : flights.booked
    s0 --> s4 : flights.refused, all undone
    s0 --> s1 : hotels.booked
    s0 --> s4 : timer hotel, all undone
    s1 --> s2 : cards.charged, no return
    s1 --> s4 : cards.declined, all undone
    s2 --> s3 : trips.confirmed
    s3 --> [*]
    s4 --> [*]
";
    assert_eq!(drawn, expected);
}

struct Unsound;

impl Linear for Unsound {
    const NAME: &'static str = "unsound";
    type Input = BookTrip;

    fn steps(steps: &mut Steps<Self>) {
        steps.step("charge", |trip| Charge { trip: trip.trip }).pivot().done_by::<Charged>();
        steps
            .step("confirm", |trip| Confirm { trip: trip.trip })
            .within(MINUTE)
            .done_by::<Confirmed>();
        steps.step("confirm", |trip| BookHotel { trip: trip.trip });
    }
}

#[test]
fn steps_that_cannot_be_are_refused() {
    let refused = tidings::Bus::volatile().saga::<LinearSaga<Unsound>>().start().unwrap_err();
    let SagaError::Definition(error) = refused else { panic!("{refused}") };
    for flaw in [
        Flaw::StepNeverDone { step: "confirm" },
        Flaw::StepTwice { step: "confirm" },
        Flaw::CompensatesAfterPivot { state: "confirm" },
    ] {
        assert!(error.flaws.contains(&flaw), "{error}");
    }
}
