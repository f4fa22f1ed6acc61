//! An event that a subscription could not handle.

use std::sync::Arc;

use super::{DeadLetterReason, Failure, Failures, Verdict};
use crate::{
    delivery::parking::Held,
    message::{Envelope, Position},
    runtime::Timestamp,
};

/// An event that a subscription could not handle.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub(super) position: Position,
    pub(super) envelope: Arc<Envelope>,
    pub(super) payload: Vec<u8>,
    pub(super) reason: DeadLetterReason,
    pub(super) error: String,
    pub(super) attempts: u32,
    pub(super) failures: Failures,
    pub(super) first_failed_at: Timestamp,
    pub(super) died_at: Timestamp,
    /// It is to be tried again when the subscription starts.
    pub(super) is_marked: bool,
}

impl DeadLetter {
    /// The event's place in the journal, by which it is retried or discarded.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Everything about the message but its payload.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The event's name.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.envelope.name
    }

    /// The encoded event, as published. Empty on a volatile bus, which encodes nothing.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Why it became a dead letter.
    #[must_use]
    pub fn reason(&self) -> DeadLetterReason {
        self.reason
    }

    /// The last error, as text.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// How many times a handler was called with it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The last ten failures, oldest first: those since the subscription was started, and those of
    /// the letter before it was tried again. None where no handler was called.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        self.failures.as_slice()
    }

    /// When the first attempt failed.
    #[must_use]
    pub fn first_failed_at(&self) -> Timestamp {
        self.first_failed_at
    }

    /// When it became a dead letter.
    #[must_use]
    pub fn died_at(&self) -> Timestamp {
        self.died_at
    }

    /// Whether it will be tried again when the subscription starts next. See
    /// [`DeadLetters::retry_at_start`](crate::DeadLetters::retry_at_start).
    #[must_use]
    pub fn is_retried_at_start(&self) -> bool {
        self.is_marked
    }

    pub(in crate::delivery) fn new(
        held: &Held,
        verdict: &Verdict,
        payload: Vec<u8>,
        now: Timestamp,
    ) -> Self {
        Self {
            position: held.position(),
            envelope: Arc::clone(&held.entry.envelope),
            payload,
            reason: verdict.reason,
            error: verdict.error.clone(),
            attempts: held.all_attempts(),
            failures: held.failures.clone(),
            first_failed_at: held.first_failure().unwrap_or(now),
            died_at: now,
            is_marked: false,
        }
    }
}
