//! The last failures of an event.

use serde::{Deserialize, Serialize};

use crate::{delivery::HandlerError, runtime::Timestamp};

/// How many failures of an event are kept.
const KEPT: usize = 10;

/// How much of each text is kept, in bytes. The last error is kept at greater length.
const MAX_TEXT: usize = 512;

/// A failed attempt at an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// When it failed.
    pub at: Timestamp,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// What the handler said, up to 512 bytes of it.
    pub error: String,
}

/// The last ten failures of an event, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures(Vec<Failure>);

impl Failures {
    pub(in crate::delivery) fn note(&mut self, at: Timestamp, attempt: u32, error: &HandlerError) {
        let mut error = error.describe();
        error.truncate(error.floor_char_boundary(MAX_TEXT));
        error.shrink_to_fit();
        if self.0.len() >= KEPT {
            self.0.remove(0);
        }
        self.0.reserve_exact(1); // most fail once or twice
        self.0.push(Failure { at, attempt, error });
    }

    pub(super) fn as_slice(&self) -> &[Failure] {
        &self.0
    }
}

/// The stored form of a [`Failure`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredFailure {
    at: u64,
    attempt: u32,
    error: String,
}

impl StoredFailure {
    pub(super) fn all(failures: &Failures) -> Vec<Self> {
        let stored = |failure: &Failure| Self {
            at: failure.at.as_nanos(),
            attempt: failure.attempt,
            error: failure.error.clone(),
        };
        failures.0.iter().map(stored).collect()
    }

    pub(super) fn restore(stored: Vec<Self>) -> Failures {
        let failure =
            |Self { at, attempt, error }| Failure { at: Timestamp::from_nanos(at), attempt, error };
        Failures(stored.into_iter().map(failure).collect())
    }
}
