//! The hot path: handlers that ask for nothing but the event, called where the events lie.
//!
//! Whatever costs something is paid once a batch: the panic guard, the cursor, the counters.

mod once;

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

pub(super) use once::Once;

use super::{Handler, HandlerError, Subscriber, attempt::panicked};
use crate::{
    event::Event,
    journal::{Batch, Seen},
    runtime::Clock,
};

/// A plain handler with its event type erased.
pub(super) trait InPlace: Send + Sync {
    /// Handles the events of an open batch from `next` on, as long as they are of the kind of that
    /// one and the turn lasts. `next` is then the first that is not handled: the one that failed,
    /// where there is an error.
    fn run(
        &self,
        batch: &Batch<'_>,
        next: &Cell<usize>,
        turn: &Turn<'_>,
    ) -> Result<(), HandlerError>;
}

/// How long a turn lasts: until its time is over, or the subscription is to rest.
pub(super) struct Turn<'a> {
    pub(super) subscriber: &'a Subscriber,
    pub(super) clock: &'a Clock,
    /// In nanoseconds since the runtime started.
    pub(super) end: u64,
    /// Where copies are to be passed over.
    pub(super) once: Option<Once<'a>>,
}

impl Turn<'_> {
    /// Asked after every event, so it has to be cheap.
    #[inline]
    fn is_over(&self) -> bool {
        self.subscriber.is_paused() || self.subscriber.is_stopping() || self.clock.is_past(self.end)
    }
}

pub(super) fn erase<E: Event>(handler: Arc<impl Handler<E>>) -> Box<dyn InPlace> {
    Box::new(Typed { handler, event: std::marker::PhantomData::<fn(E)> })
}

struct Typed<E, H> {
    handler: Arc<H>,
    event: std::marker::PhantomData<fn(E)>,
}

impl<E: Event, H: Handler<E>> InPlace for Typed<E, H> {
    fn run(
        &self,
        batch: &Batch<'_>,
        next: &Cell<usize>,
        turn: &Turn<'_>,
    ) -> Result<(), HandlerError> {
        match &turn.once {
            None => guarded(|| self.run_unguarded(batch, next, turn)),
            Some(once) => self.run_once(batch, next, turn, once),
        }
    }
}

/// A panic is an error.
fn guarded(run: impl FnOnce() -> Result<(), HandlerError>) -> Result<(), HandlerError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

impl<E: Event, H: Handler<E>> Typed<E, H> {
    #[inline]
    fn run_unguarded(
        &self,
        batch: &Batch<'_>,
        next: &Cell<usize>,
        turn: &Turn<'_>,
    ) -> Result<(), HandlerError> {
        let mut seen = Seen::nothing();
        let Some(kind) = batch.get(next.get()).map(|event| event.kind()) else { return Ok(()) };
        while let Some(event) = batch.get(next.get())
            && event.kind() == kind
        {
            batch.done_before(&event);
            match event.get::<E>(&mut seen) {
                Some(event) => self.handler.handle_plain(event)?,
                None => break, // encoded: to be decoded first
            }
            next.set(next.get() + 1);
            if turn.is_over() {
                break;
            }
        }
        Ok(())
    }
}
