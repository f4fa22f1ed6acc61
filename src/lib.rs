//! An embeddable event bus: typed publish/subscribe on a durable log, without running a broker.
//!
//! One idea carries all of it: everything is an ordered journal, and everything else is a reader
//! of it. Publishing appends; a subscription reads on from its cursor.
//!
//! # Hello
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tidings::{Bus, Event};
//!
//! #[derive(Serialize, Deserialize, Event)]
//! #[event(name = "greetings.sent")]
//! struct Greeting { to: String }
//!
//! let bus = Bus::volatile();
//! bus.subscribe("printer").on(|event: &Greeting| println!("hello, {}", event.to)).start()?;
//! bus.publish(Greeting { to: "world".into() })?;
//! bus.shutdown(std::time::Duration::from_secs(1))?;
//! # Ok::<(), tidings::Error>(())
//! ```
//!
//! # Volatile or durable
//!
//! [`Bus::volatile`] keeps events in a ring until every subscription has handled them, and
//! serialises nothing. [`Bus::open`] keeps them in a directory: a publish returns once the event is as durable
//! as its [`Durability`] says, and a subscription resumes after a restart where it stopped. The
//! code around is the same.
//!
//! # Publishing
//!
//! [`Bus::publish`] waits, [`Bus::enqueue`] gives a [`Pending`], [`Bus::publish_all`] makes several
//! events one, and [`Bus::publisher`] is for hot paths. A [`Message`] around an event carries
//! headers, ids and another key. A publish that fails hands its message back.
//!
//! # Handling
//!
//! [`Bus::subscribe`] describes a subscription: events and handlers ([`SubscriptionBuilder::on`]),
//! lanes, retries, where it starts. A handler is a closure, a function, or a type that implements
//! [`Handler`]. Through its [`Context`] it publishes and stores, and that commits with the
//! acknowledgement or not at all.
//!
//! # Order
//!
//! Events of one [`Key`] reach a subscription one at a time, in the order of the journal. A failing
//! event holds up its key until it succeeds or becomes a dead letter; other keys go on.
//!
//! # Failing
//!
//! An error retries by the subscription's [`Backoff`]; a [`HandlerError`] can say otherwise; a panic
//! is an error. What cannot be handled is kept among the [`DeadLetters`], to be retried or
//! discarded.
//!
//! # Reading back
//!
//! [`Bus::history`] reads the past, typed. [`Bus::project`] keeps a read model, whose rows a [`View`] shows and which is
//! built anew beside the one that is served; [`Bus::project_into`] feeds one that somebody else keeps.
//! [`Bus::publish_if`] appends unless something came meanwhile, and an [`Aggregate`] decides upon that.
//!
//! # Async, and pulling
//!
//! With feature `tokio`, `on_async` takes async handlers. [`SubscriptionBuilder::stream`] hands out
//! events to be settled one by one.
//!
//! # Sagas
//!
//! [`saga`] has processes that go on over many events: typed state machines with timers and compensation.
//!
//! # Testing
//!
//! With feature `testing`, `testing::TestBus` runs a user's own set-up on a virtual clock, and
//! `testing::sim` under seeds, with processes that die and disks that fail. `testing::prove_idempotent`
//! names handlers that are not. `storage_conformance!` and `transport_conformance!` test a [`storage`] or a
//! [`transport`] of your own. `docs/testing.md` is the chapter about it.
//!
//! # Features
//!
//! `derive` (default): `#[derive(Event)]`. `tokio`: async handlers and `Stream`. `testing`: the
//! simulator and the conformance suites. `cli`: the tool `tidings`, which looks at stores, verifies
//! them and rescues damaged ones. A feature adds; none changes what is there.

// What makes a run impossible to repeat goes through the runtime; the list is in clippy.toml.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

#[cfg(test)]
extern crate self as tidings; // `#[derive(Event)]` writes `::tidings`, in unit tests too

mod aggregate;
mod bus;
pub mod codec;
mod contract;
mod delivery;
pub mod error;
mod event;
mod journal;
mod message;
mod policy;
mod projection;
mod replay;
mod runtime;
pub mod saga;
pub mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod transport;

pub use aggregate::{Aggregate, AggregateRef, ExecuteError, Loaded};
pub use bus::{
    Asked, Bus, BusBuilder, DeadLetterError, DeadLetters, Deliveries, Description, DryRun, Error,
    HandlerDescription, LetterGroup, Letters, OpenError, Pending, Publisher, Receipt, Reply,
    Report, RequestError, RequestFailure, Rerun, RerunProgress, RewindError, ScheduledEvents,
    SettleError, ShutdownError, SubscribeError, Subscription, SubscriptionBuilder,
    SubscriptionDescription, SubscriptionReport, TrimError,
};
pub use contract::NameTaken;
pub use delivery::{
    Batched, BreakerState, Condition, Context, DeadLetter, DeadLetterAlarm, DeadLetterReason,
    Delivery, DryEvent, DryOutcome, DryVerdict, Failure, Handler, HandlerError, HandlerErrorExt,
    Idempotent, IntoHandler, Layer, Ledger, Loss, MadeBy, Next, Outcome, State, StateError, Status,
    StoredLane, StoredSubscription, StuckHandler, TimedOut, Unsettled, idempotent, idempotent_by,
    made_by,
};
pub use event::{Durability, Event, Key, ToKey};
pub use journal::{Expected, PublishAllError, PublishError, PublishFailure, ScheduledEvent};
pub use message::{
    CorrelationId, Delayed, Envelope, HeaderError, Headers, Message, MessageId, ParseIdError,
    Position, Publishable, Scheduled,
};
pub use policy::{
    Attempt, Backoff, CircuitBreaker, Forecast, LagObjective, Lanes, OnDeadLetter, Overflow, Rate,
    Retention, RetryBudget, Start, Unread, Window,
};
pub use projection::{
    BuildProgress, Halted, Late, LateCounts, ProjectError, ProjectionBuilder, ProjectionStatus,
    Row, Rows, RowsIter, Sink, SinkBuilder, SinkFeed, SinkStatus, View, ViewError,
};
pub use replay::{
    AnyOf, Comparison, Difference, DryReplay, Encoded, History, HistoryError, Past, Pasts, Replay,
    ReplayBuilder, ReplayError, Select, Speed,
};
pub use runtime::{PoolSize, PoolStatus, Priority, Runtime, Timestamp};
#[cfg(feature = "derive")]
pub use tidings_derive::Event;

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The same for the chapter about patterns.
#[cfg(doctest)]
#[doc = include_str!("../docs/patterns.md")]
struct Patterns;

/// The same for the chapter about testing.
#[cfg(doctest)]
#[doc = include_str!("../docs/testing.md")]
struct Testing;
