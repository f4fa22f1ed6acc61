//! tidings

// What makes a run impossible to repeat goes through the runtime; the list is in clippy.toml.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

#[cfg(test)]
extern crate self as tidings; // `#[derive(Event)]` writes `::tidings`, in unit tests too

pub mod codec;
pub mod error;
mod event;
mod message;
mod policy;
mod runtime;
pub mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use event::{Event, Key, ToKey};
pub use message::{
    CorrelationId, Envelope, HeaderError, Headers, Message, MessageId, Position, Publishable,
};
pub use policy::{Attempt, Backoff, Durability, Start};
pub use runtime::{Runtime, Timestamp};
#[cfg(feature = "derive")]
pub use tidings_derive::Event;
