//! The same for idempotent handlers: copies are passed over where they lie.

use std::cell::{Cell, RefCell};

use super::{Turn, Typed};
use crate::{
    delivery::{
        Handler, HandlerError,
        idempotency::{CopiesBy, Entered, Entrance, IdempotencyKey, Inbox},
        keys,
    },
    event::Event,
    journal::{Batch, Open, Seen},
    message::Position,
};

/// What an idempotent handler's events are compared with, and what comes of that.
pub(in crate::delivery) struct Once<'a> {
    inbox: &'a Inbox,
    /// What is to be stored with the acknowledgement.
    writes: RefCell<&'a mut keys::Writes>,
    duplicates: Cell<u64>,
    has_to_wait: Cell<bool>,
}

impl<'a> Once<'a> {
    pub(in crate::delivery) fn new(inbox: &'a Inbox, writes: &'a mut keys::Writes) -> Self {
        let (duplicates, has_to_wait) = (Cell::new(0), Cell::new(false));
        Self { inbox, writes: RefCell::new(writes), duplicates, has_to_wait }
    }

    /// How many events were passed over.
    pub(in crate::delivery) fn duplicates(&self) -> u64 {
        self.duplicates.get()
    }

    /// A copy of the next event is being handled elsewhere.
    pub(in crate::delivery) fn has_to_wait(&self) -> bool {
        self.has_to_wait.get()
    }
}

impl<E: Event, H: Handler<E>> Typed<E, H> {
    pub(super) fn run_once(
        &self,
        batch: &Batch<'_>,
        next: &Cell<usize>,
        turn: &Turn<'_>,
        once: &Once<'_>,
    ) -> Result<(), HandlerError> {
        let entered = Cell::new(None);
        let result = super::guarded(|| self.run_each(batch, next, turn, (once, &entered)));
        // Its handler has failed.
        if let Some(entered) = entered.take() {
            once.inbox.give_up(entered);
        }
        result
    }

    fn run_each(
        &self,
        batch: &Batch<'_>,
        next: &Cell<usize>,
        turn: &Turn<'_>,
        (once, entered): (&Once<'_>, &Cell<Option<Entered>>),
    ) -> Result<(), HandlerError> {
        let mut seen = Seen::nothing();
        let Some(kind) = batch.get(next.get()).map(|event| event.kind()) else { return Ok(()) };
        while let Some(open) = batch.get(next.get())
            && open.kind() == kind
        {
            batch.done_before(&open);
            let Some(event) = open.get::<E>(&mut seen) else { break }; // to be decoded first
            match self.enter(event, &open, once.inbox) {
                Some(Entrance::Duplicate) => once.duplicates.set(once.duplicates.get() + 1),
                Some(Entrance::Busy) => {
                    once.has_to_wait.set(true);
                    return Ok(());
                }
                Some(Entrance::Open(it)) => {
                    entered.set(Some(it));
                    self.handler.handle_plain(event)?;
                }
                Some(Entrance::BeyondWindow(it)) => {
                    entered.set(Some(it));
                    turn.subscriber.note_beyond_window(&turn.subscriber.entry(&open));
                    self.handler.handle_plain(event)?;
                }
                None => self.handler.handle_plain(event)?,
            }
            if let Some(entered) = entered.take() {
                once.inbox.finish(entered, &mut once.writes.borrow_mut());
            }
            next.set(next.get() + 1);
            if turn.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// Asks for an event to be let in. `None` for one whose copies cannot be known: it has no key, or
    /// the bus made its id of its position.
    fn enter(&self, event: &E, open: &Open<'_>, inbox: &Inbox) -> Option<Entrance> {
        let cell = open.look();
        let key = match self.handler.copies_by(event) {
            CopiesBy::Id => IdempotencyKey::Id(cell.envelope()?.id),
            CopiesBy::Key(key) => IdempotencyKey::Text(key?),
        };
        Some(inbox.enter(key, Position::new(open.position())?, cell.published_at()))
    }
}
