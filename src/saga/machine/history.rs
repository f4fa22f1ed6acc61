//! What has happened to an instance.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::instance::nanos;
use crate::{message::MessageId, runtime::Timestamp};

/// Something that has happened to an instance of a saga: a transition, or an event that made none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// Its number, from 1, without gaps.
    #[serde(rename = "n")]
    pub revision: u64,
    /// When it happened.
    #[serde(rename = "t", with = "nanos")]
    pub at: Timestamp,
    /// What brought it about.
    #[serde(rename = "by")]
    pub trigger: Trigger,
    /// What came of that.
    #[serde(rename = "so")]
    pub verdict: Verdict,
    /// The state before; `None` for the first.
    #[serde(rename = "from", default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The state after.
    #[serde(rename = "to")]
    pub to: String,
    /// The names of the events that were sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<String>,
    /// The timers that were set.
    #[serde(rename = "set", default, skip_serializing_if = "Vec::is_empty")]
    pub timers_set: Vec<String>,
    /// The timers that were stopped.
    #[serde(rename = "cleared", default, skip_serializing_if = "Vec::is_empty")]
    pub timers_cleared: Vec<String>,
    /// More about it, such as why the instance was suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The version of the saga's definition.
    #[serde(rename = "v")]
    pub version: u32,
}

/// What brings something about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trigger {
    /// An event.
    Event {
        /// Its name.
        name: String,
        /// The message's id.
        id: MessageId,
    },
    /// A timer of the saga's own.
    Timer {
        /// Its name.
        name: String,
    },
    /// The answer to a compensation, which is due.
    Compensation {
        /// The name of the step.
        name: String,
    },
    /// An operator.
    Operator {
        /// What was asked for.
        action: String,
    },
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { name, .. } => f.write_str(name),
            Self::Timer { name } => write!(f, "timer {name}"),
            Self::Compensation { name } => write!(f, "compensation {name}"),
            Self::Operator { action } => write!(f, "operator: {action}"),
        }
    }
}

/// What comes of an event, a timer or an operator's action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// It was handled.
    Handled,
    /// The state ignores it.
    Ignored,
    /// It waits for another state.
    Deferred,
    /// It had waited, and then met a state that rejects it.
    Rejected,
    /// It came after the saga was over, or while it was being undone.
    Late,
    /// The message had come before.
    Duplicate,
    /// A timer that had been set anew or stopped, or that the state does not handle.
    Stale,
    /// The instance was halted.
    Halted,
}
