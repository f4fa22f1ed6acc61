//! The saga and the services: a flight, a hotel and a car side by side, then the charge, which is the point of no
//! return, then the tickets.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{
    Backoff, Bus, Context, Event, HandlerError,
    saga::{Linear, LinearSaga, Steps},
};

macro_rules! events {
    ($($name:ident = $text:literal),* $(,)?) => { $(
        #[derive(Debug, Clone, Serialize, Deserialize, Event)]
        #[event(name = $text, key = "trip")]
        pub(crate) struct $name {
            pub(crate) trip: u64,
        }
    )* };
}

events! {
    BookTrip = "trips.book",
    BookFlight = "flights.book",
    FlightBooked = "flights.booked",
    FlightRefused = "flights.refused",
    CancelFlight = "flights.cancel",
    FlightCancelled = "flights.cancelled",
    BookHotel = "hotels.book",
    HotelBooked = "hotels.booked",
    CancelHotel = "hotels.cancel",
    HotelCancelled = "hotels.cancelled",
    BookCar = "cars.book",
    CarBooked = "cars.booked",
    CancelCar = "cars.cancel",
    ChargeCard = "cards.charge",
    CardCharged = "cards.charged",
    CardDeclined = "cards.declined",
    SendTickets = "tickets.send",
    TicketsSent = "tickets.sent",
}

/// What goes wrong with a trip, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    NoSeat,
    HotelSilent,
    CardDeclined,
}

pub(crate) fn fate(trip: u64) -> Fate {
    match trip % 10 {
        3 => Fate::NoSeat,
        5 => Fate::HotelSilent,
        7 => Fate::CardDeclined,
        _ => Fate::Fine,
    }
}

pub(crate) struct Booking;

const PATIENCE: Duration = Duration::from_secs(2);

impl Linear for Booking {
    const NAME: &'static str = "travel-booking";
    type Input = BookTrip;

    fn steps(steps: &mut Steps<Self>) {
        let again = || Backoff::constant(PATIENCE).max_attempts(10);
        steps.parallel(|group| {
            group
                .step("flight", |book| BookFlight { trip: book.trip })
                .undo_until(
                    again(),
                    |book| CancelFlight { trip: book.trip },
                    |cancel, cancelled: &FlightCancelled| cancel.trip == cancelled.trip,
                )
                .failed_by::<FlightRefused>()
                .done_by::<FlightBooked>();
            group
                .step("hotel", |book| BookHotel { trip: book.trip })
                .undo_until(
                    again(),
                    |book| CancelHotel { trip: book.trip },
                    |cancel, cancelled: &HotelCancelled| cancel.trip == cancelled.trip,
                )
                .within(PATIENCE)
                .done_by::<HotelBooked>();
            group
                .step("car", |book| BookCar { trip: book.trip })
                .undo(|book| CancelCar { trip: book.trip })
                .done_by::<CarBooked>();
        });
        steps
            .step("charge", |book| ChargeCard { trip: book.trip })
            .failed_by::<CardDeclined>()
            .pivot()
            .done_by::<CardCharged>();
        steps.step("tickets", |book| SendTickets { trip: book.trip }).done_by::<TicketsSent>();
    }
}

/// Whoever answers a question with an event.
fn answer<Q: Event, A: Event>(
    answer: impl Fn(&Q) -> A + Send + Sync + 'static,
) -> impl Fn(&Q, &mut Context) -> Result<(), HandlerError> + Send + Sync + 'static {
    move |asked, ctx| {
        ctx.publish(answer(asked))?;
        Ok(())
    }
}

/// The saga and all services. A process may be ended by hand as often as one likes, and no handler is to
/// blame for that.
pub(crate) fn start(bus: &Bus, lanes: u32) -> Result<(), tidings::Error> {
    let patient = |one: tidings::SubscriptionBuilder| one.lanes(lanes).max_crashes(1000);
    bus.saga::<LinearSaga<Booking>>().subscription(patient).start()?;
    patient(bus.subscribe("services"))
        .on(|book: &BookFlight, ctx: &mut Context| -> Result<(), HandlerError> {
            let trip = book.trip;
            match fate(trip) {
                Fate::NoSeat => ctx.publish(FlightRefused { trip })?,
                _ => ctx.publish(FlightBooked { trip })?,
            }
            Ok(())
        })
        .on(|book: &BookHotel, ctx: &mut Context| -> Result<(), HandlerError> {
            let trip = book.trip;
            if fate(trip) != Fate::HotelSilent {
                ctx.publish(HotelBooked { trip })?;
            }
            Ok(())
        })
        .on(|charge: &ChargeCard, ctx: &mut Context| -> Result<(), HandlerError> {
            let trip = charge.trip;
            match fate(trip) {
                Fate::CardDeclined => ctx.publish(CardDeclined { trip })?,
                _ => ctx.publish(CardCharged { trip })?,
            }
            Ok(())
        })
        .on(answer(|book: &BookCar| CarBooked { trip: book.trip }))
        .on(answer(|cancel: &CancelFlight| FlightCancelled { trip: cancel.trip }))
        .on(answer(|cancel: &CancelHotel| HotelCancelled { trip: cancel.trip }))
        .on(answer(|send: &SendTickets| TicketsSent { trip: send.trip }))
        .start()?;
    Ok(())
}
