//! Why a decision came to nothing.

use crate::{journal::PublishFailure, replay::HistoryError};

/// Why a decision upon an aggregate came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError<R> {
    /// It was decided so.
    #[error("refused: {0}")]
    Refused(R),
    /// The state is not known.
    #[error("the aggregate could not be loaded: {0}")]
    Load(#[from] HistoryError),
    /// Its events could not be published.
    #[error("its events could not be published: {0}")]
    Publish(#[from] PublishFailure),
    /// Others were faster, each time. Try again later, or with more attempts.
    #[error("others came first in each of {attempts} attempts")]
    Contended {
        /// How many attempts there were.
        attempts: u32,
    },
}
