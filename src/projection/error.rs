//! Why a projection could not start, or a row not be read.

use crate::{
    bus::{Error, SubscribeError},
    contract::NameTaken,
    event::Key,
    storage::StorageError,
};

/// Why a projection could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// The name is taken, the pool is not there, or there is no handler.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// It is being built already.
    #[error("the projection `{name}` is being built already")]
    Building {
        /// The projection.
        name: String,
    },
    /// Another Rust type has an event's name.
    #[error(transparent)]
    NameTaken(#[from] NameTaken),
    /// The name is that of a stored subscription, whose place would be lost.
    #[error("`{name}` is the name of a subscription that is no projection; take another one")]
    NoProjection {
        /// The name.
        name: String,
    },
    /// Storage failed, or what it has does not decode.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A later version is there: this one is older code.
    #[error("the projection `{name}` has version {stored}, and this is version {version}")]
    Superseded {
        /// The projection.
        name: String,
        /// The version that is there.
        stored: u32,
        /// The version that was to start.
        version: u32,
    },
    /// A time, or what reconciles, is for an event without a handler.
    #[error("the projection `{name}` says something of `{event}`, and has no handler for it")]
    Unhandled {
        /// The projection.
        name: String,
        /// The event.
        event: String,
    },
    /// A volatile bus keeps nothing to build from.
    #[error("a volatile bus keeps no events to build the projection `{name}` from")]
    Volatile {
        /// The projection.
        name: String,
    },
}

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The rows are being built for the first time.
    #[error("the projection `{name}` is not built yet")]
    NotBuilt {
        /// The projection.
        name: String,
    },
    /// The rows were built anew while they were iterated. Begin again.
    #[error("the projection `{name}` was built anew meanwhile; begin again")]
    Switched {
        /// The projection.
        name: String,
    },
    /// A stored row is of another shape. If the type of the rows has changed, raise the version.
    #[error("the row `{key}` of the projection `{name}` does not decode: {source}")]
    Row {
        /// The projection.
        name: String,
        /// The row.
        key: Key,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<ProjectError> for Error {
    fn from(error: ProjectError) -> Self {
        Self::Other(error.into())
    }
}

impl From<ViewError> for Error {
    fn from(error: ViewError) -> Self {
        Self::Other(error.into())
    }
}
