//! The example `travel_booking`, with a process that dies at every moment.

#[allow(dead_code)]
#[path = "../../examples/travel_booking/books.rs"]
mod books;
#[allow(dead_code)]
#[path = "../../examples/travel_booking/trip.rs"]
mod trip;

use books::Books;
use tidings::{
    Bus, Error,
    saga::{LinearSaga, Saga},
    testing::{
        Faults,
        sim::{self, Run},
    },
};
use trip::{BookTrip, Booking};

fn book(sim: &Run, trips: &[u64]) -> Books {
    let books = Books::default();
    let reading = books.clone();
    sim.process(move |builder| -> Result<Bus, Error> {
        let bus = builder.build()?;
        trip::start(&bus, 2)?;
        reading.read(&bus)?;
        Ok(bus)
    });
    for trip in trips {
        sim.publish(BookTrip { trip: *trip });
    }
    sim.settle();
    books
}

/// One trip of each fate.
#[test]
fn g5_a_trip_is_booked_or_cancelled_whenever_the_process_dies() {
    for trip in [0, 3, 5, 7] {
        let explored = sim::exhaustive(move |sim| {
            let books = book(sim, &[trip]);
            assert_eq!(books.problem(trip), None);
        });
        assert!(explored.crash_points > 30, "{explored}");
    }
}

/// Here a hotel may also be too slow, so that a trip may be cancelled that could have been booked.
#[test]
fn g5_a_trip_is_booked_or_cancelled_whatever_goes_wrong() {
    sim::explore(1..=40, Faults::swarm(), |sim| {
        let books = book(sim, &[0, 3, 5, 7]);
        for trip in [0, 3, 5, 7] {
            let count = |event| books.count(event, trip);
            let (paid, sent) = (count("cards.charged"), count("tickets.sent"));
            let cancelled = count("flights.cancel") + count("hotels.cancel") + count("cars.cancel");
            assert!(count("flights.book") == 1 && count("cars.cancel") <= 1, "trip {trip}");
            assert!(paid == sent && (sent == 1) == (cancelled == 0), "trip {trip}: {paid}, {sent}");
        }
    });
}

#[test]
fn its_picture_in_the_docs_is_what_it_is() {
    let drawn = LinearSaga::<Booking>::graph().to_mermaid();
    let docs = include_str!("../../docs/patterns.md");
    assert!(docs.contains(&format!("```mermaid\n{drawn}```")), "{drawn}");
}
