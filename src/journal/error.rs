//! Why a publish failed, and the message handed back.

use std::fmt;

use super::Draft;
use crate::{
    codec::CodecError,
    contract::NameTaken,
    event::{Event, Key},
    message::{CorrelationId, HeaderError, Message, Position},
    storage::StorageError,
};

/// Why a publish failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishFailure {
    /// The bus was shut down.
    #[error("the bus is shut down")]
    Closed,
    /// Another event came first: what was [expected](crate::Expected) is not so. Nothing is published. Look
    /// at what is there, decide again, and publish with what is so then.
    #[error("the last one of key `{key}` is {}, not {}", place(*.found), place(*.expected))]
    Conflict {
        /// The key.
        key: Key,
        /// Where the last event of the key was to be, if there was to be any.
        expected: Option<Position>,
        /// Where it is, if there is any.
        found: Option<Position>,
    },
    /// The correlation id is too long.
    #[error("its correlation id has {bytes} bytes, more than {}", CorrelationId::MAX_LEN)]
    CorrelationTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The event's codec could not encode it.
    #[error("it could not be encoded: {0}")]
    Encode(#[from] CodecError),
    /// The queue of a durable bus, or the ring of a volatile one, is full. Try again later, or use
    /// the blocking `publish`; inside a handler use `Context::publish`.
    #[error("there is no room for it in the queue of {capacity}")]
    Full {
        /// The bound.
        capacity: usize,
    },
    /// A header is outside the bounds.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The message's idempotency key, or its id, is that of an earlier message with another payload.
    #[error("`{key}` was published before with another payload, at position {position}")]
    IdempotencyConflict {
        /// The idempotency key, or the id.
        key: String,
        /// Where the earlier message is.
        position: Position,
    },
    /// The idempotency key is too long.
    #[error("its idempotency key has {bytes} bytes, more than {}", Key::MAX_LEN)]
    IdempotencyKeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The key is too long.
    #[error("its key has {bytes} bytes, more than {}", Key::MAX_LEN)]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Another Rust type has the event's name.
    #[error(transparent)]
    NameTaken(#[from] NameTaken),
    /// Storage refused or failed. [`StorageError::Indeterminate`] means that the event may or may
    /// not have been published.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The encoded event is too large.
    #[error("it has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// A handler publishes it, and it would have come through more handlers than
    /// [`BusBuilder::max_hops`](crate::BusBuilder::max_hops) allows, as what is published in a circle
    /// does. The event that is being handled becomes a dead letter.
    #[error("it would have come through more than {limit} handlers: is it published in a circle?")]
    TooManyHops {
        /// The bound.
        limit: u32,
    },
    /// A volatile bus cannot do that.
    #[error("a volatile bus cannot {what}; open a durable one")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
}

fn place(position: Option<Position>) -> String {
    position.map_or_else(|| "nowhere".into(), |position| format!("at {position}"))
}

impl PublishFailure {
    pub(crate) fn into_storage(self) -> StorageError {
        match self {
            Self::Storage(error) => error,
            _ => StorageError::Closed,
        }
    }

    /// The same failure for the next of several publishers that share it.
    pub(super) fn share(&self) -> Self {
        match self {
            Self::Storage(error) => Self::Storage(error.clone()),
            _ => Self::Closed,
        }
    }
}

/// A publish that failed, with the message handed back.
pub struct PublishError<E> {
    failure: PublishFailure,
    message: Box<Message<E>>,
}

impl<E: Event> PublishError<E> {
    pub(crate) fn new(failure: PublishFailure, message: Message<E>) -> Self {
        Self { failure, message: Box::new(message) }
    }

    /// Why it failed.
    #[must_use]
    pub fn failure(&self) -> &PublishFailure {
        &self.failure
    }

    /// Takes the reason.
    #[must_use]
    pub fn into_failure(self) -> PublishFailure {
        self.failure
    }

    pub(crate) fn into_parts(self) -> (PublishFailure, Message<E>) {
        (self.failure, *self.message)
    }

    /// Takes the message, with the id it was given: publish it again as it is.
    #[must_use]
    pub fn into_message(self) -> Message<E> {
        *self.message
    }

    /// Takes the event.
    #[must_use]
    pub fn into_event(self) -> E {
        self.message.into_event()
    }
}

/// A publish of several events that failed as a whole, with the messages handed back.
pub struct PublishAllError<E> {
    failure: PublishFailure,
    messages: Vec<Message<E>>,
}

impl<E: Event> PublishAllError<E> {
    pub(crate) fn new(failure: PublishFailure, messages: Vec<Message<E>>) -> Self {
        Self { failure, messages }
    }

    /// Why it failed.
    #[must_use]
    pub fn failure(&self) -> &PublishFailure {
        &self.failure
    }

    /// Takes the reason.
    #[must_use]
    pub fn into_failure(self) -> PublishFailure {
        self.failure
    }

    /// Takes the messages, in their order.
    #[must_use]
    pub fn into_messages(self) -> Vec<Message<E>> {
        self.messages
    }
}

macro_rules! error_of_an_event {
    ($($error:ident: $one:literal),*) => {$(
        impl<E: Event> fmt::Display for $error<E> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("could not publish ", $one, ": {}"), E::NAME, self.failure)
            }
        }

        impl<E> fmt::Debug for $error<E> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut fields = f.debug_struct(stringify!($error));
                fields.field("failure", &self.failure).finish_non_exhaustive()
            }
        }

        impl<E: Event> std::error::Error for $error<E> {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.failure)
            }
        }
    )*};
}
error_of_an_event!(PublishError: "`{}`", PublishAllError: "several `{}`");

/// A transaction that did not happen: why, and its drafts.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) failure: PublishFailure,
    pub(crate) drafts: Vec<Draft>,
}

impl Rejected {
    pub(crate) fn too_large(draft: Draft, bytes: usize, limit: usize) -> Self {
        Self { failure: PublishFailure::TooLarge { bytes, limit }, drafts: vec![draft] }
    }

    /// Puts the events back at the front of `events`.
    pub(super) fn into_events<E: Event>(self, events: &mut Vec<E>) -> PublishFailure {
        let drafted = self.drafts.into_iter().filter_map(Draft::into_message);
        events.splice(..0, drafted.map(Message::into_event));
        self.failure
    }

    /// As the error of a publish of several events.
    pub(crate) fn into_all_error<E: Event>(self) -> PublishAllError<E> {
        let messages = self.drafts.into_iter().filter_map(Draft::into_message).collect();
        PublishAllError::new(self.failure, messages)
    }

    /// As the error of a publish of one event.
    #[expect(clippy::expect_used)] // a refused draft has its event, and nobody else has seen it
    pub(crate) fn into_error<E: Event>(self) -> PublishError<E> {
        let message = self.drafts.into_iter().find_map(Draft::into_message);
        PublishError::new(self.failure, message.expect("a refused draft holds its event"))
    }
}
