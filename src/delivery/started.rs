//! Deliveries that outlive the call that starts them: async handlers and pulled events.

use std::{fmt, ops::Deref, sync::Arc};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Context, HandlerError, State, Subscriber, context::Staged, gate::Start, handler::wrong_type,
    lane::Inbound,
};
use crate::{
    event::{Event, Key},
    journal::{CellRef, Entry, PublishError, Shared},
    message::{CorrelationId, Headers, MessageId, Position, Publishable},
    runtime::Timestamp,
};

/// An event with its [`Context`], owned: what an async handler gets, and what a pull yields.
///
/// Derefs to the event, and has the context's methods.
pub struct Delivery<E> {
    event: Shared<E>,
    context: Context,
    returned: Returned,
}

/// Where the staged outputs go when the delivery is dropped.
pub(super) type Returned = Arc<Mutex<Option<Staged>>>;

impl<E: Event> Delivery<E> {
    pub(super) fn new(event: CellRef, context: Context) -> Result<(Self, Returned), HandlerError> {
        let event = Shared::new(event).ok_or_else(wrong_type::<E>)?;
        let returned = Returned::default();
        Ok((Self { event, context, returned: Arc::clone(&returned) }, returned))
    }
}

impl<E> Delivery<E> {
    /// What was published and stored through it so far.
    pub(super) fn take_staged(&mut self) -> Staged {
        std::mem::take(&mut self.context.staged)
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &E {
        &self.event
    }

    /// The whole context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// See [`Context::id`].
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.context.id()
    }

    /// See [`Context::position`].
    #[must_use]
    pub fn position(&self) -> Position {
        self.context.position()
    }

    /// See [`Context::attempt`].
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.context.attempt()
    }

    /// See [`Context::published_at`].
    #[must_use]
    pub fn published_at(&self) -> Timestamp {
        self.context.published_at()
    }

    /// See [`Context::key`].
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.context.key()
    }

    /// See [`Context::correlation_id`].
    #[must_use]
    pub fn correlation_id(&self) -> CorrelationId {
        self.context.correlation_id()
    }

    /// See [`Context::causation_id`].
    #[must_use]
    pub fn causation_id(&self) -> Option<MessageId> {
        self.context.causation_id()
    }

    /// See [`Context::headers`].
    #[must_use]
    pub fn headers(&self) -> &Headers {
        self.context.headers()
    }

    /// See [`Context::idempotency_key`].
    #[must_use]
    pub fn idempotency_key(&self, step: &str) -> String {
        self.context.idempotency_key(step)
    }

    /// See [`Context::publish`].
    ///
    /// # Errors
    /// As there.
    pub fn publish<P: Publishable>(&mut self, message: P) -> Result<(), PublishError<P::Event>> {
        self.context.publish(message)
    }

    /// See [`Context::once`]. Blocks the thread: async code takes `once_async`.
    ///
    /// # Errors
    /// As there.
    pub fn once<T, Er>(
        &mut self,
        step: &str,
        effect: impl FnOnce() -> Result<T, Er>,
    ) -> Result<T, HandlerError>
    where
        T: Serialize + DeserializeOwned,
        Er: Into<HandlerError>,
    {
        self.context.once(step, effect)
    }

    /// See [`Context::once_async`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "tokio")]
    pub async fn once_async<T, Er>(
        &mut self,
        step: &str,
        effect: impl Future<Output = Result<T, Er>>,
    ) -> Result<T, HandlerError>
    where
        T: Serialize + DeserializeOwned,
        Er: Into<HandlerError>,
    {
        self.context.once_async(step, effect).await
    }

    /// See [`Context::state`].
    pub fn state(&mut self) -> State<'_> {
        self.context.state()
    }
}

impl<E> Deref for Delivery<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.event
    }
}

impl<E> Drop for Delivery<E> {
    fn drop(&mut self) {
        *self.returned.lock() = Some(std::mem::take(&mut self.context.staged));
    }
}

impl<E: fmt::Debug> fmt::Debug for Delivery<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("event", &self.event)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// Tells a lane how a started delivery ended. Dropped untold, it gives the event back: it comes
/// again, and that was no attempt.
pub(crate) struct Completion {
    subscriber: Arc<Subscriber>,
    /// `None` once the lane was told.
    entry: Option<Arc<Entry>>,
    /// Which attempt it is.
    serial: u64,
    is_timed: bool,
    #[cfg(feature = "tokio")]
    cancel: Option<Arc<super::gate::Cancel>>,
}

impl Completion {
    pub(super) fn new(subscriber: &Arc<Subscriber>, entry: &Arc<Entry>, start: &Start) -> Self {
        Self {
            subscriber: Arc::clone(subscriber),
            entry: Some(Arc::clone(entry)),
            serial: start.serial,
            is_timed: start.deadline.is_some(),
            #[cfg(feature = "tokio")]
            cancel: start.deadline.as_ref().map(|deadline| Arc::clone(&deadline.cancel)),
        }
    }

    /// How the lane asks for an end of it, if it may. Whoever takes this heeds it.
    #[cfg(feature = "tokio")]
    pub(super) fn heed(&self) -> Option<Arc<super::gate::Cancel>> {
        let cancel = self.cancel.clone()?;
        cancel.heed();
        Some(cancel)
    }

    /// Somebody has pulled the event, whose time runs from now on.
    pub(super) fn begin(&self) {
        if let Some(entry) = self.entry.as_ref().filter(|_| self.is_timed) {
            let (entry, at) = (Arc::clone(entry), self.subscriber.clock().tick());
            self.subscriber.tell(Inbound::Pulled { entry, serial: self.serial, at });
        }
    }

    pub(super) fn finish(mut self, result: Result<Staged, HandlerError>) {
        if let Some(entry) = self.entry.take() {
            let serial = self.serial;
            let result = self.subscriber.ended_probed(&entry, result);
            self.subscriber.tell(Inbound::Finished { entry, serial, result });
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.subscriber.tell(Inbound::GivenBack { entry, serial: self.serial });
        }
    }
}
