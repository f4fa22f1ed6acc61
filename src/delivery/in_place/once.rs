//! The same for idempotent handlers: copies are passed over where they lie.

use std::cell::{Cell, RefCell};

use super::{Turn, Typed};
use crate::{
    delivery::{
        Handler, HandlerError,
        handler::wrong_type,
        idempotency::{CopiesBy, Entrance, IdempotencyKey, Inbox},
        keys,
    },
    event::Event,
    journal::{Batch, Open, Seen},
    message::Position,
    runtime::Timestamp,
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

/// An event that was let in.
struct Entered {
    key: IdempotencyKey,
    position: Position,
    published_at: Timestamp,
}

impl<E: Event, H: Handler<E>> Typed<E, H> {
    pub(super) fn run_once(
        &self,
        batch: &Batch<'_>,
        next: &Cell<usize>,
        turn: &Turn<'_>,
        once: &Once<'_>,
    ) -> Result<(), HandlerError> {
        let entered = RefCell::new(None);
        let result = super::guarded(|| self.run_each(batch, next, turn, (once, &entered)));
        // Its handler has failed.
        if let Some(Entered { key, position, .. }) = entered.take() {
            once.inbox.give_up(&key, position);
        }
        result
    }

    fn run_each(
        &self,
        batch: &Batch<'_>,
        next: &Cell<usize>,
        turn: &Turn<'_>,
        (once, entered): (&Once<'_>, &RefCell<Option<Entered>>),
    ) -> Result<(), HandlerError> {
        let mut seen = Seen::nothing();
        let Some(kind) = batch.get(next.get()).map(|event| event.kind()) else { return Ok(()) };
        while let Some(open) = batch.get(next.get())
            && open.kind() == kind
        {
            batch.done_before(&open);
            let event = open.get::<E>(&mut seen).ok_or_else(wrong_type::<E>)?;
            *entered.borrow_mut() = self.identify(event, &open);
            let entrance = match &*entered.borrow() {
                Some(event) => once.inbox.enter(&event.key, event.position, event.published_at),
                None => Entrance::Open,
            };
            match entrance {
                Entrance::Duplicate => {
                    entered.take();
                    once.duplicates.set(once.duplicates.get() + 1);
                }
                Entrance::Busy => {
                    entered.take();
                    once.has_to_wait.set(true);
                    return Ok(());
                }
                Entrance::Open | Entrance::BeyondWindow => {
                    if entrance == Entrance::BeyondWindow {
                        turn.subscriber.note_beyond_window(&turn.subscriber.entry(&open));
                    }
                    self.handler.handle_plain(event)?;
                    if let Some(Entered { key, position, published_at }) = entered.take() {
                        let writes = &mut **once.writes.borrow_mut();
                        once.inbox.finish(key, position, published_at, writes);
                    }
                }
            }
            next.set(next.get() + 1);
            if turn.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// By what its copies are known. `None` for an event that has none: it has no key, or the bus made
    /// its id of its position.
    fn identify(&self, event: &E, open: &Open<'_>) -> Option<Entered> {
        let cell = open.keep();
        let key = match self.handler.copies_by(event) {
            CopiesBy::Id => IdempotencyKey::Id(cell.envelope()?.id),
            CopiesBy::Key(key) => IdempotencyKey::Text(key?),
        };
        let (position, published_at) = (Position::new(open.position())?, cell.published_at());
        Some(Entered { key, position, published_at })
    }
}
