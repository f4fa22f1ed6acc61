//! Why the past could not be read, or gone through again.

use crate::{bus::Error, contract::NameTaken, message::Position, storage::StorageError};

/// Why the past, or a part of it, could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The bus is volatile, and keeps no past.
    #[error("a volatile bus keeps no history; open a durable one")]
    Volatile,
    /// Another Rust type has the event's name.
    #[error(transparent)]
    NameTaken(#[from] NameTaken),
    /// An event does not become a value of its type. Reading can go on after it.
    #[error("the `{event}` at position {position} cannot be decoded: {reason}")]
    Undecodable {
        /// Where it is.
        position: Position,
        /// The event's name.
        event: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What was to be read is no longer kept. Reading can go on at the oldest position that is.
    #[error("position {wanted} is no longer kept; the oldest is {first}")]
    Truncated {
        /// The position to be read next.
        wanted: Position,
        /// The oldest position that is kept.
        first: Position,
    },
    /// A damaged store was rescued, and these positions could not be. Reading can go on after them.
    #[error("the positions {first} to {last} were lost when the store was salvaged")]
    Lost {
        /// The first position that is lost.
        first: Position,
        /// The last one.
        last: Position,
    },
    /// Storage failed. Reading ends.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<HistoryError> for Error {
    fn from(error: HistoryError) -> Self {
        Self::Other(error.into())
    }
}

impl From<StorageError> for HistoryError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Truncated { wanted, first } => Self::Truncated { wanted, first },
            error => Self::Storage(error),
        }
    }
}

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
