//! An instance, as it is stored and as it is shown.

use std::fmt;

use serde_json::Value;

use crate::{
    event::Key,
    message::MessageId,
    runtime::Timestamp,
    saga::{
        definition::Saga,
        machine::{Instance, Phase, Progress, TimerId, Waiting, WaitingEvent},
    },
};

/// Why an instance cannot be read, and what can be told of it.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) version: Option<u32>,
    pub(crate) state: Option<String>,
    pub(crate) error: String,
}

/// Reads an instance, of this version or through `migrate`.
pub(crate) fn read<S: Saga>(bytes: &[u8]) -> Result<Instance<S>, Unreadable> {
    let own = serde_json::from_slice::<Instance<S>>(bytes);
    let error = match own {
        Ok(instance) if instance.version == S::VERSION => return Ok(instance),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    let raw: Instance<Value> = serde_json::from_slice(bytes).map_err(|raw| Unreadable {
        version: None,
        state: None,
        error: error.clone().unwrap_or_else(|| raw.to_string()),
    })?;
    let (version, state) = (raw.version, name_of(&raw.state));
    let unreadable = |error| Unreadable { version: Some(version), state: state.clone(), error };
    if version == S::VERSION {
        return Err(unreadable(error.unwrap_or_default()));
    }
    raw.try_map(|state| S::migrate(version, state)).map_err(|error| unreadable(error.to_string()))
}

/// The variant, as serde writes enums unless told otherwise.
fn name_of(state: &Value) -> Option<String> {
    match state {
        Value::String(name) => Some(name.clone()),
        Value::Object(fields) => fields.keys().next().cloned(),
        _ => None,
    }
}

/// How an instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Condition {
    /// It goes on.
    Running,
    /// It waits for an operator, who lets it go on.
    Suspended,
    /// Its steps are being undone.
    Compensating,
    /// A step could not be undone; it waits for an operator.
    CompensationFailed,
    /// It is over.
    Completed,
    /// It is over: an operator has cancelled it, and its steps are undone.
    Cancelled,
    /// Its state cannot be read by this build. What comes for it waits.
    Unreadable,
}

impl Condition {
    /// Whether it waits for somebody to do something.
    #[must_use]
    pub const fn needs_operator(self) -> bool {
        matches!(self, Self::Suspended | Self::CompensationFailed | Self::Unreadable)
    }

    /// Whether it is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }

    pub(crate) fn of<S>(phase: &Phase<S>) -> Self {
        match phase {
            Phase::Running => Self::Running,
            Phase::Suspended { .. } => Self::Suspended,
            Phase::Compensating { .. } => Self::Compensating,
            Phase::CompensationFailed { .. } => Self::CompensationFailed,
            Phase::Completed => Self::Completed,
            Phase::Cancelled => Self::Cancelled,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Compensating => "compensating",
            Self::CompensationFailed => "compensation failed",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Unreadable => "unreadable",
        })
    }
}

/// An instance in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SagaSummary {
    /// Its key.
    pub key: Key,
    /// How it is doing.
    pub condition: Condition,
    /// Why it waits for an operator, if it does.
    pub why: Option<String>,
    /// The name of its state, as far as it can be told.
    pub state: String,
    /// The version of the saga that wrote it; 0 where not even that can be read.
    pub version: u32,
    /// When something last happened to it.
    pub changed_at: Timestamp,
}

/// An instance of a saga, as of its last commit.
#[derive(Debug)]
#[non_exhaustive]
pub struct SagaInstance<S> {
    /// Its key.
    pub key: Key,
    /// Its state.
    pub state: S,
    /// How it is doing.
    pub condition: Condition,
    /// Why it waits for an operator, if it does.
    pub why: Option<String>,
    /// Whether it is past the point of no return.
    pub is_pivoted: bool,
    /// The version of the saga that wrote it.
    pub version: u32,
    /// How much has happened to it.
    pub revision: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When something last happened to it.
    pub changed_at: Timestamp,
    /// The timers that are set.
    pub timers: Vec<PendingTimer>,
    /// The steps that would be undone, or are being undone; the last is undone first.
    pub compensations: Vec<PendingCompensation>,
    /// The events that wait for another state.
    pub deferred: Vec<PendingEvent>,
}

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingTimer {
    /// Its name.
    pub name: String,
    /// When it goes off.
    pub due: Timestamp,
}

/// A step that would be undone, or is being undone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingCompensation {
    /// The name of the step.
    pub name: String,
    /// The event that undoes it.
    pub event: String,
    /// How often that was sent.
    pub attempts: u32,
    /// Whether it is undone, or need not be any more.
    pub is_done: bool,
    /// Why it could not be undone, if so.
    pub failure: Option<String>,
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingEvent {
    /// Its name.
    pub event: String,
    /// The message's id; `None` for a timer.
    pub id: Option<MessageId>,
    /// Since when; `None` for a timer.
    pub since: Option<Timestamp>,
}

impl From<&WaitingEvent> for PendingEvent {
    fn from(waiting: &WaitingEvent) -> Self {
        let (id, since) = (Some(waiting.id), Some(waiting.since));
        Self { event: waiting.name.clone(), id, since }
    }
}

impl From<&Waiting> for PendingEvent {
    fn from(waiting: &Waiting) -> Self {
        match waiting {
            Waiting::Event(event) => event.into(),
            Waiting::Timer(name) => Self { event: format!("timer {name}"), id: None, since: None },
        }
    }
}

impl<S: Saga> SagaInstance<S> {
    pub(super) fn of(key: Key, instance: Instance<S>) -> Self {
        let timer = |timer: &crate::saga::machine::SetTimer| match &timer.id {
            TimerId::Named(name) => Some(PendingTimer { name: name.clone(), due: timer.due }),
            TimerId::Compensation(_) | TimerId::Purge => None,
        };
        Self {
            key,
            condition: Condition::of(&instance.phase),
            why: why(&instance.phase),
            is_pivoted: instance.pivoted,
            version: instance.version,
            revision: instance.revision,
            started_at: instance.started,
            changed_at: instance.changed,
            timers: instance.timers.iter().filter_map(timer).collect(),
            compensations: instance.compensations.iter().map(Into::into).collect(),
            deferred: instance.waiting.iter().map(Into::into).collect(),
            state: instance.state,
        }
    }
}

impl From<&crate::saga::machine::Compensation> for PendingCompensation {
    fn from(other: &crate::saga::machine::Compensation) -> Self {
        let attempts = match other.progress {
            Progress::Sent { attempts, .. } => attempts,
            _ => 0,
        };
        let failure = match &other.progress {
            Progress::Failed { why } => Some(why.clone()),
            _ => None,
        };
        Self {
            name: other.name.clone(),
            event: other.event.clone(),
            attempts,
            is_done: matches!(other.progress, Progress::Done | Progress::Skipped),
            failure,
        }
    }
}

fn why<S>(phase: &Phase<S>) -> Option<String> {
    match phase {
        Phase::Suspended { why } | Phase::CompensationFailed { why, .. } => Some(why.clone()),
        _ => None,
    }
}

/// What can be told of a stored instance, readable or not.
pub(super) fn summarise<S: Saga>(key: Key, bytes: &[u8]) -> SagaSummary {
    match read::<S>(bytes) {
        Ok(instance) => SagaSummary {
            key,
            condition: Condition::of(&instance.phase),
            why: why(&instance.phase),
            state: instance.state.state().to_owned(),
            version: instance.version,
            changed_at: instance.changed,
        },
        Err(unreadable) => SagaSummary {
            key,
            condition: Condition::Unreadable,
            why: Some(unreadable.error),
            state: unreadable.state.unwrap_or_default(),
            version: unreadable.version.unwrap_or_default(),
            changed_at: Timestamp::UNIX_EPOCH,
        },
    }
}
