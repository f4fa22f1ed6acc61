//! An event of the past, with everything that is known of it.

use std::{any::Any, fmt, marker::PhantomData, ops::Deref, sync::Arc};

use crate::{
    contract::Contract,
    error::BoxError,
    event::{Event, Key},
    message::{CorrelationId, Envelope, MessageId, Position},
    runtime::Timestamp,
};

/// An event of the past. Derefs to the event, which is of the type that [`History::of`] named: an
/// [`AnyOf`] several, or [`Encoded`].
///
/// [`History::of`]: crate::History::of
#[derive(Debug)]
pub struct Past<T> {
    position: Position,
    envelope: Arc<Envelope>,
    event: T,
}

impl<T> Past<T> {
    pub(crate) fn new(position: Position, envelope: Arc<Envelope>, event: T) -> Self {
        Self { position, envelope, event }
    }

    /// The event's place in the journal.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Everything about the message but the event.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.envelope.name
    }

    /// The message's id.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.envelope.id
    }

    /// What the event is about.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.envelope.key.as_ref()
    }

    /// The conversation that the message belongs to.
    #[must_use]
    pub fn correlation_id(&self) -> CorrelationId {
        self.envelope.correlation_id()
    }

    /// When it was published.
    #[must_use]
    pub fn published_at(&self) -> Timestamp {
        self.envelope.published_at
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &T {
        &self.event
    }

    /// Takes the event.
    #[must_use]
    pub fn into_event(self) -> T {
        self.event
    }
}

impl<T> Deref for Past<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.event
    }
}

impl Past<Encoded> {
    /// The event as a value, whatever [`History::of`](crate::History::of) named.
    ///
    /// # Errors
    /// It is another event, of another version or written by another codec, or it does not decode.
    pub fn decode<E: Event>(&self) -> Result<E, BoxError> {
        if self.name() != E::NAME {
            return Err(format!("it is a `{}`, and no `{}`", self.name(), E::NAME).into());
        }
        let event = Contract::default().of::<E>()?;
        Ok(event.decode(&self.envelope, &self.event.payload)?)
    }
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// The bytes that the event's codec wrote.
    pub payload: Vec<u8>,
}

/// An event of one of the types in `S`, which is a tuple of them.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use tidings::{Bus, Event, storage::MemoryStorage};
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # #[event(name = "orders.placed")]
/// # struct Placed { cents: u64 }
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # #[event(name = "orders.refunded")]
/// # struct Refunded { cents: u64 }
/// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
/// # bus.publish(Placed { cents: 50 })?;
/// # bus.publish(Refunded { cents: 20 })?;
/// let mut balance = 0;
/// for past in bus.history().of::<(Placed, Refunded)>() {
///     let past = past?;
///     if let Some(placed) = past.get::<Placed>() {
///         balance += placed.cents;
///     }
///     if let Some(refunded) = past.get::<Refunded>() {
///         balance -= refunded.cents;
///     }
/// }
/// assert_eq!(balance, 30);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AnyOf<S> {
    name: &'static str,
    event: Box<dyn Any + Send + Sync>,
    types: PhantomData<fn() -> S>,
}

impl<S> AnyOf<S> {
    pub(super) fn new<E: Event>(event: E) -> Self {
        Self { name: E::NAME, event: Box::new(event), types: PhantomData }
    }

    /// The event, if it is of that type.
    #[must_use]
    pub fn get<E: Event>(&self) -> Option<&E> {
        self.event.downcast_ref()
    }

    /// Takes the event, if it is of that type.
    ///
    /// # Errors
    /// It is of another type, and handed back.
    pub fn into<E: Event>(self) -> Result<E, Self> {
        let Self { name, event, types } = self;
        match event.downcast() {
            Ok(event) => Ok(*event),
            Err(event) => Err(Self { name, event, types }),
        }
    }
}

impl<S> fmt::Debug for AnyOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyOf").field(&self.name).finish()
    }
}
