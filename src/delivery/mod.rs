//! How events reach handlers.
//!
//! The life of one delivery:
//!
//! 1. The [`lane`] of the event's key takes the entry from the journal.
//! 2. If the key is busy (its head waits for a retry, or runs), the event queues behind it
//!    ([`parking`]).
//! 3. The [`gate`] admits it, where the subscription has one. An event over a rate waits, parked.
//! 4. An [`attempt`] decodes the event where needed and calls the handler with a [`Context`]; a
//!    panic is an error.
//! 5. Success: what the handler staged joins the lane's batch. Failure: the key is parked until the
//!    next attempt. No attempt left, or rejected: a [`dead_letter`].
//! 6. The batch commits: outputs, state, dead letters and the [`cursor`] as one step.

mod adopt;
#[cfg(feature = "tokio")]
mod asynchronous;
mod attempt;
mod batch;
mod batched;
mod careful;
mod conductor;
mod context;
mod cursor;
mod dead_letter;
mod dry_run;
mod effects;
mod formation;
mod gate;
mod handler;
mod handler_error;
mod hops;
mod idempotency;
mod in_place;
mod inline;
mod keys;
mod lag;
mod lane;
mod layer;
mod ledger;
mod letters;
mod loss;
mod made;
mod muster;
mod parking;
mod probe;
mod pull;
mod quarantine;
mod records;
mod register;
mod replay;
mod replies;
mod retention;
mod rewind;
mod started;
mod state;
mod status;
mod stored;
mod subscriber;
mod sweep;
mod watch;

pub(crate) use adopt::{adopt, checkpoint, forget_checkpoint};
#[cfg(feature = "tokio")]
pub(crate) use asynchronous::erase_async;
pub(crate) use attempt::{panicked, text_of};
pub use batched::Batched;
pub(crate) use batched::erase_batch;
#[cfg(any(test, feature = "testing"))]
pub(crate) use careful::under_way;
pub use context::Context;
pub(crate) use dead_letter::{AlarmHook, DeadLetterStore};
pub use dead_letter::{DeadLetter, DeadLetterAlarm, DeadLetterReason, Failure};
pub use dry_run::{DryEvent, DryOutcome, DryVerdict};
pub use gate::{BreakerState, StuckHandler, TimedOut};
pub(crate) use gate::{Budget, Protection};
pub use handler::{Handler, IntoHandler, Outcome};
pub(crate) use handler::{Passes, Plain, Run, erase, erase_filter, erase_inline};
pub use handler_error::{HandlerError, HandlerErrorExt};
pub(crate) use idempotency::{Idempotency, erase_key};
pub use idempotency::{Idempotent, idempotent, idempotent_by};
#[cfg(any(test, feature = "testing"))]
pub(crate) use keys::STATE;
pub(crate) use keys::Writes;
pub(crate) use layer::NamedLayer;
pub use layer::{Layer, Next};
pub use ledger::Ledger;
pub use loss::Loss;
pub(crate) use loss::{lose, unsalvaged};
pub use made::{MadeBy, made_by};
#[cfg(any(test, feature = "testing"))]
pub(crate) use probe::Probe;
pub(crate) use probe::Probed;
pub(crate) use pull::PullQueue;
pub use pull::Unsettled;
pub(crate) use quarantine::Quarantine;
pub(crate) use records::{Area, Record, stored_records};
pub(crate) use register::{Plan, is_known, register};
pub(crate) use replay::{Known, ReplayPlan, known, retire};
pub(crate) use replies::{Answer, Expected, Replies};
pub(crate) use retention::{Slowest, slowest};
pub(crate) use rewind::rewind;
pub use started::Delivery;
pub use state::{State, StateError};
pub use status::{Condition, Status};
pub(crate) use stored::stored_subscriptions;
pub use stored::{StoredLane, StoredSubscription};
pub(crate) use subscriber::{Policy, Subscriber};
pub(crate) use watch::Waited;
