//! Every error of the crate as one, for functions that meet several.

use super::{DeadLetterError, ShutdownError, SubscribeError};
use crate::{
    contract::NameTaken,
    delivery::StateError,
    error::BoxError,
    event::Event,
    journal::{PublishAllError, PublishError, PublishFailure},
    message::{HeaderError, Position},
    storage::StorageError,
};

/// Why a bus could not be built or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The name of a pool is not a good one.
    #[error("`{name}` is not a name for a pool: use 1 to 128 of a-z A-Z 0-9 . _ -")]
    PoolName {
        /// The name.
        name: String,
    },
    /// The log ends so far on that there are no more positions for it.
    #[error("the log ends at position {end}, and no bus goes on from there; begin another one")]
    PositionsUsedUp {
        /// Where it ends.
        end: Position,
    },
    /// The range of a pool's size is empty.
    #[error("the pool `{name}` cannot have at least {least} and at most {most} threads")]
    PoolSize {
        /// The pool's name.
        name: String,
        /// The least number of threads.
        least: usize,
        /// The most.
        most: usize,
    },
    /// The storage could not be opened.
    #[error("could not open the log: {0}")]
    Storage(#[from] StorageError),
    /// A retry budget was given to a pool that is not there.
    #[error("there is no pool named `{name}` to share a retry budget; add it with `pool`")]
    UnknownPool {
        /// The pool's name.
        name: String,
    },
    /// A setting must be at least 1.
    #[error("the setting `{setting}` must be at least 1")]
    Zero {
        /// The setting's name.
        setting: &'static str,
    },
}

/// Any error of the crate, for functions that meet several. Each function itself says exactly what
/// can go wrong there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// About dead letters.
    #[error(transparent)]
    DeadLetter(#[from] DeadLetterError),
    /// A header is outside the bounds.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Another Rust type has the event's name.
    #[error(transparent)]
    NameTaken(#[from] NameTaken),
    /// The bus could not be built or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Of what is built upon a bus: history, projections.
    #[error(transparent)]
    Other(BoxError),
    /// A publish failed.
    #[error("could not publish `{event}`: {failure}")]
    Publish {
        /// The event's name.
        event: &'static str,
        /// Why.
        #[source]
        failure: PublishFailure,
    },
    /// A saga could not start, or be asked; the error inside is a [`SagaError`](crate::saga::SagaError).
    #[error(transparent)]
    Saga(BoxError),
    /// The shutdown failed.
    #[error(transparent)]
    Shutdown(#[from] ShutdownError),
    /// State could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A subscription could not start.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

impl<E: Event> From<PublishError<E>> for Error {
    fn from(error: PublishError<E>) -> Self {
        Self::Publish { event: E::NAME, failure: error.into_failure() }
    }
}

impl<E: Event> From<PublishAllError<E>> for Error {
    fn from(error: PublishAllError<E>) -> Self {
        Self::Publish { event: E::NAME, failure: error.into_failure() }
    }
}
