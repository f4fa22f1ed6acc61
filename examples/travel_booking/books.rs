//! The books: what was booked, cancelled and charged, as the log has it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidings::{Bus, Context, Event, MessageId};

use super::trip::{
    BookCar, BookFlight, BookHotel, CancelCar, CancelFlight, CancelHotel, CardCharged, Fate,
    TicketsSent, fate,
};

/// Each message counts once, by its id.
#[derive(Clone, Default)]
pub(crate) struct Books(Arc<Mutex<BTreeMap<MessageId, Line>>>);

/// What has happened to which trip.
type Line = (&'static str, u64);

impl Books {
    fn note<E: Event, F: Fn(&E) -> u64>(&self, trip: F) -> impl Fn(&E, &mut Context) + use<E, F> {
        let books = self.clone();
        move |event, ctx| {
            let line = (E::NAME, trip(event));
            books.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ctx.id(), line);
        }
    }

    /// Reads the log from its beginning, and goes on with it.
    pub(crate) fn read(&self, bus: &Bus) -> Result<(), tidings::Error> {
        bus.subscribe("books")
            .ephemeral()
            .on(self.note(|book: &BookFlight| book.trip))
            .on(self.note(|book: &BookHotel| book.trip))
            .on(self.note(|book: &BookCar| book.trip))
            .on(self.note(|cancel: &CancelFlight| cancel.trip))
            .on(self.note(|cancel: &CancelHotel| cancel.trip))
            .on(self.note(|cancel: &CancelCar| cancel.trip))
            .on(self.note(|charged: &CardCharged| charged.trip))
            .on(self.note(|sent: &TicketsSent| sent.trip))
            .start()?;
        Ok(())
    }

    pub(crate) fn count(&self, event: &str, trip: u64) -> usize {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.values().filter(|line| line.0 == event && line.1 == trip).count()
    }

    /// What is wrong with a trip that is over: it is charged once and has its tickets, or else whatever may
    /// have been booked is cancelled. Cancelling may be asked for more than once.
    pub(crate) fn problem(&self, trip: u64) -> Option<String> {
        let count = |event| self.count(event, trip);
        let booked = [count("flights.book"), count("hotels.book"), count("cars.book")];
        let cancels = [count("flights.cancel"), count("hotels.cancel"), count("cars.cancel")];
        let cancelled = cancels.map(|times| times > 0);
        let paid = [count("cards.charged"), count("tickets.sent")];
        let right = match fate(trip) {
            Fate::Fine => ([false; 3], [1, 1]),
            Fate::NoSeat => ([false, true, true], [0, 0]),
            Fate::HotelSilent | Fate::CardDeclined => ([true; 3], [0, 0]),
        };
        if booked == [1; 3] && (cancelled, paid) == right {
            return None;
        }
        Some(format!(
            "trip {trip}: booked {booked:?}, cancelled {cancels:?}, paid and sent {paid:?}"
        ))
    }
}
