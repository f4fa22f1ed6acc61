//! What travels: an event with its metadata.

mod delayed;
mod envelope;
mod headers;
mod id;
mod position;

pub use delayed::{Delayed, Scheduled};
pub use envelope::Envelope;
pub use headers::{HeaderError, Headers};
pub use id::{CorrelationId, MessageId, ParseIdError};
pub use position::Position;

use std::{sync::Arc, time::Duration};

use crate::{
    event::{Durability, Event, Key},
    runtime::Timestamp,
};

/// The longest payload that can be published, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 8 * 1024 * 1024;

/// An event on its way to the bus, with metadata of the publisher's choice.
///
/// A bare event converts by itself; a message is needed only to say more:
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Ping;
/// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
/// use tidings::{Bus, Message};
///
/// let bus = Bus::volatile();
/// bus.publish(Message::new(Ping).correlation_id("req-4711").header("tenant", "acme"))?;
/// # Ok::<(), tidings::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Message<E> {
    event: E,
    /// Apart, since most messages have none.
    metadata: Option<Box<Metadata>>,
}

/// What a publisher says beside the event.
#[derive(Debug, Clone, Default)]
struct Metadata {
    id: Option<MessageId>,
    key: Option<Key>,
    correlation: Option<CorrelationId>,
    causation: Option<MessageId>,
    headers: Headers,
    durability: Option<Durability>,
    refused: Option<HeaderError>,
}

impl<E: Event> Message<E> {
    /// A message with this event and nothing else.
    #[must_use]
    pub fn new(event: E) -> Self {
        Self { event, metadata: None }
    }

    fn metadata(&mut self) -> &mut Metadata {
        self.metadata.get_or_insert_default()
    }

    /// Sets the id instead of having the bus make one.
    #[must_use]
    pub fn id(mut self, id: MessageId) -> Self {
        self.metadata().id = Some(id);
        self
    }

    /// Sets the id unless there is one.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn or_id(mut self, id: MessageId) -> Self {
        self.metadata().id.get_or_insert(id);
        self
    }

    /// Overrides the key that the event itself names.
    #[must_use]
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.metadata().key = Some(key.into());
        self
    }

    /// Ties the message to a conversation. Inside a handler it is inherited; elsewhere a message
    /// without one starts a conversation named after its own id.
    #[must_use]
    pub fn correlation_id(mut self, id: impl Into<CorrelationId>) -> Self {
        self.metadata().correlation = Some(id.into());
        self
    }

    /// Names the message that caused this one. Inside a handler it is set by itself.
    #[must_use]
    pub fn causation_id(mut self, id: MessageId) -> Self {
        self.metadata().causation = Some(id);
        self
    }

    /// Adds a header, or replaces the one of that name. A header outside the bounds of [`Headers`]
    /// fails the publish, which hands the message back.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let metadata = self.metadata();
        if let Err(error) = metadata.headers.insert(name, value) {
            metadata.refused.get_or_insert(error);
        }
        self
    }

    /// Names what the message stands for, so that it is published once: a message with the key of an
    /// earlier one of the same event, within the [dedup window], is not published again, and its
    /// receipt is the earlier one's. Keys of at most [`Key::MAX_LEN`] bytes; kept in the header
    /// [`Headers::IDEMPOTENCY_KEY`].
    ///
    /// On a durable bus the payload has to be the same, or the publish fails with
    /// [`IdempotencyConflict`]. Without a key, the [`id`](Self::id) does the same, if it is the
    /// publisher's choice: so a message handed back by a failed publish may be published as it is.
    ///
    /// Publishers on a volatile bus are compared with each other, and not with what handlers publish.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping;
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use tidings::{Bus, Message};
    ///
    /// let bus = Bus::volatile();
    /// let first = bus.publish(Message::new(Ping).idempotency_key("webhook-4711"))?;
    /// let second = bus.publish(Message::new(Ping).idempotency_key("webhook-4711"))?;
    /// assert_eq!(first, second);
    /// # Ok::<(), tidings::Error>(())
    /// ```
    ///
    /// [dedup window]: crate::BusBuilder::dedup_window
    /// [`IdempotencyConflict`]: crate::PublishFailure::IdempotencyConflict
    #[must_use]
    pub fn idempotency_key(self, key: impl Into<Key>) -> Self {
        self.header(Headers::IDEMPOTENCY_KEY, key.into().as_str())
    }

    /// The id that the publisher chose, and the idempotency key.
    pub(crate) fn marks(&self) -> (Option<MessageId>, Option<&str>) {
        let Some(metadata) = &self.metadata else { return (None, None) };
        (metadata.id, metadata.headers.get(Headers::IDEMPOTENCY_KEY))
    }

    /// Has subscriptions that come to the event later than this after its publish pass over it. That
    /// is counted: see [`Ledger::expired`](crate::Ledger). An event that waits for a retry expires,
    /// too; a dead letter that is tried again does not.
    ///
    /// In milliseconds, rounded up. Kept in the header [`Headers::EXPIRES_AFTER`].
    #[must_use]
    pub fn expires_after(self, time: Duration) -> Self {
        let millis = time.as_nanos().div_ceil(1_000_000);
        self.header(Headers::EXPIRES_AFTER, &millis.to_string())
    }

    /// Notes through how many handlers it came. That it was one follows from its cause, so that most
    /// outputs of handlers need no header.
    pub(crate) fn hops(self, hops: u32) -> Self {
        if hops < 2 { self } else { self.header(Headers::HOPS, &hops.to_string()) }
    }

    /// What the acknowledged publish survives, where that is to be less or more than the event's type
    /// or the bus promises. What commits together has the highest level that any of it asks for.
    #[must_use]
    pub fn durability(mut self, level: Durability) -> Self {
        self.metadata().durability = Some(level);
        self
    }

    /// What the publish is to survive, where it is not what the bus promises.
    pub(crate) fn level(&self) -> Option<Durability> {
        let own = self.metadata.as_ref().and_then(|metadata| metadata.durability);
        own.or(E::DURABILITY)
    }

    /// The event inside.
    #[must_use]
    pub fn event(&self) -> &E {
        &self.event
    }

    /// Takes the event out.
    #[must_use]
    pub fn into_event(self) -> E {
        self.event
    }

    /// What it is about: as overridden, or as the event itself names it.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn routing_key(&self) -> Option<Key> {
        let own = self.metadata.as_ref().and_then(|metadata| metadata.key.clone());
        own.or_else(|| self.event.key())
    }

    /// The first header that was outside the bounds.
    pub(crate) fn refused(&self) -> Option<&HeaderError> {
        self.metadata.as_ref()?.refused.as_ref()
    }

    /// Splits into the event and its envelope. `fresh` makes an id; `cause` is the envelope of the
    /// message being handled, if any.
    pub(crate) fn seal(
        self,
        fresh: impl FnOnce() -> MessageId,
        now: Timestamp,
        (name, codec): (&Arc<str>, &Arc<str>),
        cause: Option<&Envelope>,
    ) -> (E, Envelope) {
        let metadata = self.metadata.map(|metadata| *metadata).unwrap_or_default();
        let key = metadata.key.or_else(|| self.event.key());
        let envelope = Envelope {
            name: Arc::clone(name),
            version: E::VERSION,
            codec: Arc::clone(codec),
            id: metadata.id.unwrap_or_else(fresh),
            key,
            correlation: metadata.correlation.or_else(|| cause.map(Envelope::correlation_id)),
            causation: metadata.causation.or_else(|| cause.map(|cause| cause.id)),
            headers: metadata.headers,
            published_at: now,
        };
        (self.event, envelope)
    }

    /// The inverse of [`Message::seal`], for a publish that failed.
    pub(crate) fn unseal(event: E, envelope: Envelope, durability: Option<Durability>) -> Self {
        let metadata = Metadata {
            id: Some(envelope.id),
            key: envelope.key,
            correlation: envelope.correlation,
            causation: envelope.causation,
            headers: envelope.headers,
            durability,
            refused: None,
        };
        Self { event, metadata: Some(Box::new(metadata)) }
    }
}

/// What can be published: an event, or a [`Message`] around one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be published",
    note = "publish an `Event` by value, or a `Message` around one; clone it to keep it"
)]
pub trait Publishable: sealed::Sealed {
    /// The event's type.
    type Event: Event;

    /// This value as a message.
    fn into_message(self) -> Message<Self::Event>;

    /// The event alone, where there is nothing else.
    #[doc(hidden)]
    fn into_plain(self) -> Result<Self::Event, Message<Self::Event>>;
}

impl<E: Event> Publishable for E {
    type Event = E;

    #[inline]
    fn into_message(self) -> Message<E> {
        Message::new(self)
    }

    #[inline]
    fn into_plain(self) -> Result<E, Message<E>> {
        Ok(self)
    }
}

impl<E: Event> Publishable for Message<E> {
    type Event = E;

    fn into_message(self) -> Message<E> {
        self
    }

    #[inline]
    fn into_plain(self) -> Result<E, Message<E>> {
        if self.metadata.is_none() { Ok(self.event) } else { Err(self) }
    }
}

mod sealed {
    pub trait Sealed {}
    impl<E: crate::event::Event> Sealed for E {}
    impl<E: crate::event::Event> Sealed for super::Message<E> {}
}
