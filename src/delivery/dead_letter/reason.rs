//! Why an event became a dead letter.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::delivery::HandlerError;

/// Why an event became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// An earlier event of its key is a dead letter, and the subscription keeps the order of its keys:
    /// it was not attempted. See [`OnDeadLetter::HoldKey`](crate::OnDeadLetter::HoldKey).
    Behind,
    /// Several processes in a row have ended while it was handled.
    Crashed,
    /// The last attempt that the policy allows has failed.
    Exhausted,
    /// The subscription was to get such events, and has no handler for them any more.
    NoHandler,
    /// The handler said that it is not to be tried again.
    Rejected,
    /// What its handler published would have come through more handlers than
    /// [`BusBuilder::max_hops`](crate::BusBuilder::max_hops) allows: events are published in a circle.
    TooManyHops,
    /// The payload does not decode, or is of a version or codec that this build does not know.
    Undecodable,
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Behind => "behind",
            Self::Crashed => "crashed",
            Self::Exhausted => "exhausted",
            Self::NoHandler => "no handler",
            Self::Rejected => "rejected",
            Self::TooManyHops => "too many hops",
            Self::Undecodable => "undecodable",
        })
    }
}

/// What makes an event a dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) reason: DeadLetterReason,
    pub(crate) error: String,
}

impl Verdict {
    pub(in crate::delivery) fn new(reason: DeadLetterReason, error: &HandlerError) -> Self {
        Self { reason, error: error.describe() }
    }

    /// If the event is not to be tried again after this error.
    pub(in crate::delivery) fn of_rejection(error: &HandlerError) -> Option<Self> {
        Some(Self::new(error.rejection()?, error))
    }

    pub(in crate::delivery) fn behind() -> Self {
        let error = "an earlier event of its key is a dead letter".to_owned();
        Self { reason: DeadLetterReason::Behind, error }
    }
}
