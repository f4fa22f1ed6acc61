//! A call of a handler, as a test sees it.

use std::{fmt, sync::Arc, time::Duration};

use crate::{delivery::DeadLetterReason, event::Key, message::Position};

/// A call of a handler, as a [`TestBus`](super::TestBus) has seen it. Each event of a batch is a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerCall {
    /// The subscription.
    pub subscription: Arc<str>,
    /// The event's name.
    pub event: Arc<str>,
    /// The event's place in the journal.
    pub position: Position,
    /// The event's key.
    pub key: Option<Key>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// When it began, in virtual time since the start.
    pub began: Duration,
    /// When it ended, if it has.
    pub ended: Option<Duration>,
    /// What has come of it so far.
    pub outcome: CallOutcome,
}

/// What has come of the call of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallOutcome {
    /// It has not ended.
    Running,
    /// It succeeded.
    Succeeded,
    /// A filter passed over the event, so that there was no call after all.
    Filtered,
    /// It failed, and what is to happen with the event has not been decided yet.
    Failed {
        /// The error, as text.
        error: String,
    },
    /// It failed, and there will be another attempt.
    Retried {
        /// The error, as text.
        error: String,
        /// How long after this one.
        after: Duration,
    },
    /// It failed, and the event became a dead letter.
    Dead {
        /// The error, as text.
        error: String,
        /// Why there was no further attempt.
        reason: DeadLetterReason,
    },
    /// The process has ended meanwhile.
    Abandoned,
}

impl CallOutcome {
    /// The error, if it has failed.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Failed { error } | Self::Retried { error, .. } | Self::Dead { error, .. } => {
                Some(error)
            }
            _ => None,
        }
    }
}

/// As in `failed (no network), again in 1s`.
impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("is running"),
            Self::Succeeded => f.write_str("succeeded"),
            Self::Filtered => f.write_str("was filtered out"),
            Self::Failed { error } => write!(f, "failed ({error})"),
            Self::Retried { error, after } => write!(f, "failed ({error}), again in {after:?}"),
            Self::Dead { error, reason } => write!(f, "failed ({error}), dead: {reason}"),
            Self::Abandoned => f.write_str("was abandoned"),
        }
    }
}

/// As in `billing: orders.placed #3 key 7, attempt 2 at 1s: succeeded`.
impl fmt::Display for HandlerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {:?}", self.subscription, self.event, self.position)?;
        if let Some(key) = &self.key {
            write!(f, " key {key}")?;
        }
        write!(f, ", attempt {} at {:?}: {}", self.attempt, self.began, self.outcome)
    }
}
