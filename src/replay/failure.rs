//! Why a replay could not go on.

use crate::{bus::Error, storage::StorageError};

/// Why a replay could not go on, or could not be waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It was called from inside a handler, which the replay could be waiting for.
    #[error("a handler cannot wait for a replay")]
    InsideHandler,
    /// It was stopped, or it could not go on; what is traced says why.
    #[error("the replay `{name}` was stopped before its end; started again, it goes on")]
    Stopped {
        /// The replay.
        name: String,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<ReplayError> for Error {
    fn from(error: ReplayError) -> Self {
        Self::Other(error.into())
    }
}
