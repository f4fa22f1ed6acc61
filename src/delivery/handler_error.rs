//! Why a handler failed, and what is to happen with the event.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use super::DeadLetterReason;
use crate::{error::BoxError, journal::PublishFailure};

/// How much of an error's text a dead letter keeps, in bytes.
const MAX_TEXT: usize = 4096;

/// A handler's failure, and what is to happen with the event.
///
/// Any error converts into one that retries by the subscription's policy, so `?` works in a handler
/// that returns `Result<(), HandlerError>`.
pub struct HandlerError {
    error: BoxError,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Retry,
    RetryAfter(Duration),
    Reject,
    /// As `Reject`: the handler has published in a circle.
    BreakCircle,
}

impl HandlerError {
    /// Try again, by the subscription's policy.
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self { error: error.into(), then: Then::Retry }
    }

    /// Try again after this delay instead of the policy's. Attempts still count against the policy.
    pub fn retry_after(error: impl Into<BoxError>, delay: Duration) -> Self {
        Self { error: error.into(), then: Then::RetryAfter(delay) }
    }

    /// Do not try again: the event goes to the dead letters at once.
    pub fn reject(error: impl Into<BoxError>) -> Self {
        Self { error: error.into(), then: Then::Reject }
    }

    /// What was to be published would have come through more handlers than this.
    pub(super) fn too_many_hops(limit: u32) -> Self {
        let error = PublishFailure::TooManyHops { limit };
        Self { error: error.into(), then: Then::BreakCircle }
    }

    /// Whether the handler has left it to others what is to happen.
    pub(super) fn is_undecided(&self) -> bool {
        self.then == Then::Retry
    }

    pub(super) fn inner(&self) -> &BoxError {
        &self.error
    }

    pub(super) fn into_rejection(self) -> Self {
        Self { then: Then::Reject, ..self }
    }

    /// The error's text, cut where it is too long to keep. A text that panics is none.
    pub(crate) fn describe(&self) -> String {
        let text = catch_unwind(AssertUnwindSafe(|| self.error.to_string()));
        let mut text = text.unwrap_or_else(|_| "an error whose text panics".into());
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text
    }

    /// Whether the event is not to be tried again.
    #[must_use]
    pub fn is_rejection(&self) -> bool {
        self.rejection().is_some()
    }

    /// As what kind of dead letter the event ends, if it is not to be tried again.
    pub(super) fn rejection(&self) -> Option<DeadLetterReason> {
        match self.then {
            Then::Reject => Some(DeadLetterReason::Rejected),
            Then::BreakCircle => Some(DeadLetterReason::TooManyHops),
            Then::Retry | Then::RetryAfter(_) => None,
        }
    }

    /// The delay asked for in place of the policy's.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        match self.then {
            Then::RetryAfter(delay) => Some(delay),
            Then::Retry | Then::Reject | Then::BreakCircle => None,
        }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError")
            .field("error", &self.error)
            .field("then", &self.then)
            .finish()
    }
}

// As in `anyhow`: not an `Error` itself, so that every `Error` can convert.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// Says on the spot what an error means for the event.
///
/// ```
/// use tidings::{HandlerError, HandlerErrorExt};
///
/// fn handle(text: &str) -> Result<(), HandlerError> {
///     let _amount: u64 = text.parse().map_err(HandlerErrorExt::reject)?;
///     Ok(())
/// }
/// # assert!(handle("x").is_err_and(|error| error.is_rejection()));
/// ```
pub trait HandlerErrorExt: Into<BoxError> {
    /// Do not try again: the event goes to the dead letters at once.
    fn reject(self) -> HandlerError {
        HandlerError::reject(self)
    }

    /// Try again after this delay instead of the policy's.
    fn retry_after(self, delay: Duration) -> HandlerError {
        HandlerError::retry_after(self, delay)
    }
}

impl<E: Into<BoxError>> HandlerErrorExt for E {}
