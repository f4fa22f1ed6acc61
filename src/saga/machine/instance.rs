//! What is stored of an instance.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::Payload;
use crate::{
    message::{MessageId, Scheduled},
    runtime::Timestamp,
};

/// What is stored of an instance.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Instance<S> {
    /// The version of the saga that wrote it.
    pub(crate) version: u32,
    pub(crate) state: S,
    pub(crate) phase: Phase<S>,
    /// How much has happened to it. Goes on when an instance of the same key begins anew.
    pub(crate) revision: u64,
    /// How many timers were set, so that none is taken for an earlier one. Goes on as well.
    pub(crate) epoch: u64,
    #[serde(with = "nanos")]
    pub(crate) started: Timestamp,
    #[serde(with = "nanos")]
    pub(crate) changed: Timestamp,
    pub(crate) pace: Pace,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) timers: Vec<SetTimer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) compensations: Vec<Compensation>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) pivoted: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) waiting: Vec<Waiting>,
    /// The messages that it has handled, the last ones.
    pub(crate) seen: VecDeque<MessageId>,
}

/// Where an instance is, besides its state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Phase<S> {
    Running,
    Suspended {
        why: String,
    },
    /// Steps are being undone; then it goes to a state, or is cancelled where it is.
    Compensating {
        then: Option<S>,
    },
    CompensationFailed {
        then: Option<S>,
        why: String,
    },
    Completed,
    Cancelled,
}

impl<S> Phase<S> {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

/// How many transitions there were since when.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Pace {
    #[serde(with = "nanos")]
    pub(crate) since: Timestamp,
    pub(crate) transitions: u32,
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum TimerId {
    /// One of the saga's own.
    Named(String),
    /// The answer to a compensation is due.
    Compensation(usize),
    /// The instance need not be kept any longer.
    Purge,
}

/// A timer that is set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SetTimer {
    pub(crate) id: TimerId,
    pub(crate) epoch: u64,
    #[serde(with = "nanos")]
    pub(crate) due: Timestamp,
    /// How it is stopped.
    pub(crate) scheduled: Option<Scheduled>,
}

/// An event that undoes a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Compensation {
    pub(crate) name: String,
    pub(crate) event: String,
    pub(crate) payload: Payload,
    /// Those of one turn are undone together.
    pub(crate) turn: u64,
    pub(crate) progress: Progress,
}

/// How far a compensation has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    Registered,
    /// Its answer is waited for.
    Sent {
        attempts: u32,
        #[serde(with = "nanos")]
        first: Timestamp,
        /// The delay before the last attempt.
        previous: Duration,
    },
    Done,
    Failed {
        why: String,
    },
    /// An operator has decided that it need not be done.
    Skipped,
}

/// What waits for another state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Waiting {
    Event(WaitingEvent),
    /// A timer that went off while the instance was suspended.
    Timer(String),
}

/// An event that waits for another state, or for its instance to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingEvent {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) id: MessageId,
    #[serde(with = "nanos")]
    pub(crate) since: Timestamp,
    pub(crate) payload: Payload,
}

impl<S> Instance<S> {
    pub(super) fn new(version: u32, state: S, now: Timestamp) -> Self {
        Self {
            version,
            state,
            phase: Phase::Running,
            revision: 0,
            epoch: 0,
            started: now,
            changed: now,
            pace: Pace { since: now, transitions: 0 },
            timers: Vec::new(),
            compensations: Vec::new(),
            pivoted: false,
            waiting: Vec::new(),
            seen: VecDeque::new(),
        }
    }

    /// The same with other states.
    pub(crate) fn try_map<T, E>(
        self,
        mut map: impl FnMut(S) -> Result<T, E>,
    ) -> Result<Instance<T>, E> {
        let phase = match self.phase {
            Phase::Running => Phase::Running,
            Phase::Suspended { why } => Phase::Suspended { why },
            Phase::Compensating { then } => {
                Phase::Compensating { then: then.map(&mut map).transpose()? }
            }
            Phase::CompensationFailed { then, why } => {
                Phase::CompensationFailed { then: then.map(&mut map).transpose()?, why }
            }
            Phase::Completed => Phase::Completed,
            Phase::Cancelled => Phase::Cancelled,
        };
        Ok(Instance {
            version: self.version,
            state: map(self.state)?,
            phase,
            revision: self.revision,
            epoch: self.epoch,
            started: self.started,
            changed: self.changed,
            pace: self.pace,
            timers: self.timers,
            compensations: self.compensations,
            pivoted: self.pivoted,
            waiting: self.waiting,
            seen: self.seen,
        })
    }

    pub(super) fn has_seen(&self, id: MessageId) -> bool {
        self.seen.contains(&id)
    }

    pub(super) fn remember(&mut self, id: MessageId, most: usize) {
        self.seen.push_back(id);
        while self.seen.len() > most {
            self.seen.pop_front();
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde has it
fn is_false(truth: &bool) -> bool {
    !truth
}

/// A time as nanoseconds since 1970.
pub(crate) mod nanos {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::runtime::Timestamp;

    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde has it
    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(at.as_nanos())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(from).map(Timestamp::from_nanos)
    }
}
