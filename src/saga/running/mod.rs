//! A saga on a bus: a subscription whose handlers step its machine.

mod builder;
mod error;
mod events;
mod instance;
mod runner;
mod sagas;

pub use builder::SagaBuilder;
pub use error::{SagaError, Unloadable};
#[cfg(any(test, feature = "testing"))]
pub(crate) use instance::read;
pub use instance::{
    Condition, PendingCompensation, PendingEvent, PendingTimer, SagaInstance, SagaSummary,
};
pub(super) use runner::{Runner, subscribe};
pub use sagas::{Sagas, SagasStatus};
