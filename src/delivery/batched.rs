//! Handlers that get several events at a time.

use std::{
    cell::Cell,
    fmt,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    Context, HandlerError, Outcome, Passes, Run,
    attempt::panicked,
    handler::{step, wrong_type},
};
use crate::{
    event::Event,
    journal::{CellRef, PublishError},
    message::Publishable,
};

/// An event among others that a handler gets together, given with
/// [`on_batch`](crate::SubscriptionBuilder::on_batch). Derefs to the event.
pub struct Batched<'a, E> {
    event: &'a E,
    context: &'a mut Context,
    failure: &'a mut Option<HandlerError>,
    /// What all of them publish, in bytes.
    staged: &'a Cell<usize>,
}

impl<E> Batched<'_, E> {
    /// The event.
    #[must_use]
    pub fn event(&self) -> &E {
        self.event
    }

    /// What is known of its message.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.context
    }

    /// This event was not handled, for this reason; what it has published is forgotten. The others are
    /// not concerned, but for later ones of its key where it is to come again: they come after it.
    pub fn fail(&mut self, error: impl Into<HandlerError>) {
        *self.failure = Some(error.into());
    }

    /// See [`Context::publish`]. The message is caused by this event.
    ///
    /// # Errors
    /// As there. The 8 MiB are for the whole batch.
    pub fn publish<P: Publishable>(&mut self, message: P) -> Result<(), PublishError<P::Event>> {
        let (own, all) = (self.context.staged.bytes, self.staged.get());
        self.context.staged.bytes = all;
        let result = self.context.publish(message);
        let grown = self.context.staged.bytes;
        self.context.staged.bytes = own + (grown - all);
        self.staged.set(grown);
        result
    }
}

impl<E> Deref for Batched<'_, E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.event
    }
}

impl<E: fmt::Debug> fmt::Debug for Batched<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("event", &self.event)
            .field("context", &self.context)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// How a handler gets several events at a time.
pub(super) struct Batching {
    /// At least 1.
    pub(super) max: usize,
    /// How long the first of them waits for others.
    pub(super) linger: Duration,
    /// Which events it is to get.
    pub(super) passes: Vec<Passes>,
    call: Box<Call>,
}

type Call = dyn Fn(&mut [Item]) -> Result<(), HandlerError> + Send + Sync;

/// An event of a batch with its type erased.
pub(super) struct Item {
    event: CellRef,
    pub(super) context: Context,
    /// It failed by itself.
    pub(super) failure: Option<HandlerError>,
}

impl Item {
    pub(super) fn new(event: CellRef, context: Context) -> Self {
        Self { event, context, failure: None }
    }

    /// Why it failed by itself, if it did.
    pub(super) fn take_failure(&mut self) -> Option<HandlerError> {
        let too_far = self.context.staged.too_far.map(HandlerError::too_many_hops);
        too_far.or_else(|| self.failure.take())
    }
}

impl Batching {
    /// Calls the handler. An error is of the batch as a whole; a panic is one.
    pub(super) fn call(&self, items: &mut [Item]) -> Result<(), HandlerError> {
        catch_unwind(AssertUnwindSafe(|| (self.call)(items)))
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
    }

    /// Whether the handler is to get an event, by all filters.
    pub(super) fn wants(&self, event: &CellRef) -> Result<bool, HandlerError> {
        catch_unwind(AssertUnwindSafe(|| self.passes.iter().all(|passes| passes(event))))
            .map_err(|panic| panicked(panic.as_ref()))
    }
}

/// A handler of batches. It can be called with a single event like any other.
pub(crate) fn erase_batch<E, F, R>(max: usize, linger: Duration, handler: F) -> Run
where
    E: Event,
    F: Fn(&mut [Batched<'_, E>]) -> R + Send + Sync + 'static,
    R: Outcome + 'static,
{
    let handler = Arc::new(handler);
    let call = called(Arc::clone(&handler));
    let max = max.max(1);
    let call_all = move |items: &mut [Item]| {
        let staged = Cell::new(0);
        let batched = |item| Batched::of(item, &staged);
        let mut events = items
            .iter_mut()
            .map(batched)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong_type::<E>)?;
        handler(&mut events).into_result()
    };
    let batching = Batching { max, linger, passes: Vec::new(), call: Box::new(call_all) };
    let steps = step(&format!("handler of up to {max} within {linger:?}"));
    Run { batching: Some(batching), steps, ..Run::of_call::<E>(Box::new(call)) }
}

fn called<E, F, R>(
    handler: Arc<F>,
) -> impl Fn(&CellRef, &mut Context) -> Result<(), HandlerError> + Send + Sync
where
    E: Event,
    F: Fn(&mut [Batched<'_, E>]) -> R + Send + Sync + 'static,
    R: Outcome + 'static,
{
    move |event, context| {
        let event = event.get::<E>().ok_or_else(wrong_type::<E>)?;
        let (mut failure, staged) = (None, Cell::new(0));
        let batched = Batched { event, context, failure: &mut failure, staged: &staged };
        let result = handler(&mut [batched]).into_result();
        failure.map_or(result, Err)
    }
}

impl<'a, E: Event> Batched<'a, E> {
    fn of(item: &'a mut Item, staged: &'a Cell<usize>) -> Option<Self> {
        let event = item.event.get::<E>()?;
        Some(Self { event, context: &mut item.context, failure: &mut item.failure, staged })
    }
}
