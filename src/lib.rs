//! tidings

// What makes a run impossible to repeat goes through the runtime; the list is in clippy.toml.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

#[cfg(test)]
extern crate self as tidings; // `#[derive(Event)]` writes `::tidings`, in unit tests too

mod bus;
pub mod codec;
mod contract;
mod delivery;
pub mod error;
mod event;
mod journal;
mod message;
mod policy;
mod runtime;
pub mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use bus::{
    Bus, BusBuilder, DeadLetterError, DeadLetters, Deliveries, Error, OpenError, Pending,
    Publisher, Receipt, Report, ShutdownError, SubscribeError, Subscription, SubscriptionBuilder,
    SubscriptionReport,
};
pub use contract::NameTaken;
pub use delivery::{
    Condition, Context, DeadLetter, DeadLetterReason, Delivery, Handler, HandlerError,
    HandlerErrorExt, IntoHandler, Outcome, State, StateError, Status, Unsettled,
};
pub use event::{Event, Key, ToKey};
pub use journal::{PublishAllError, PublishError, PublishFailure};
pub use message::{
    CorrelationId, Envelope, HeaderError, Headers, Message, MessageId, ParseIdError, Position,
    Publishable,
};
pub use policy::{Attempt, Backoff, Durability, Start};
pub use runtime::{Runtime, Timestamp};
#[cfg(feature = "derive")]
pub use tidings_derive::Event;
