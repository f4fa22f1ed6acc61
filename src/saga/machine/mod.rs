//! The machine itself: what comes of an event, a timer or an operator's action, as a pure function of the
//! instance. Nothing here knows of a bus.

mod compensate;
mod decide;
mod history;
mod instance;
mod operate;
mod payload;
mod step;
mod timer;
mod waiting;

use std::{any::Any, time::Duration};

pub use history::{HistoryEntry, Trigger, Verdict};
pub(crate) use instance::{
    Compensation, Instance, Phase, Progress, SetTimer, TimerId, Waiting, WaitingEvent,
};
pub(crate) use payload::Payload;
pub(crate) use step::Step;

use super::definition::{Define, DefinitionError, Late, Missing, Saga};
use crate::{delivery::HandlerError, event::Key, message::MessageId, runtime::Timestamp};

/// The bounds of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) transitions_a_minute: u32,
    pub(super) waiting: usize,
    pub(super) remembered: usize,
    pub(super) history: u32,
    pub(super) keep_completed: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transitions_a_minute: 1000,
            waiting: 64,
            remembered: 64,
            history: 100,
            keep_completed: Duration::from_hours(7 * 24),
        }
    }
}

/// A saga whose definition is sound.
pub(crate) struct Machine<S: Saga> {
    pub(super) define: Define<S>,
}

/// When something happens, and what chance there is in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    pub(crate) random: u64,
}

/// An event that has come.
#[derive(Clone, Copy)]
pub(crate) struct Arrived<'a> {
    pub(crate) name: &'static str,
    pub(crate) id: MessageId,
    pub(crate) event: &'a dyn Any,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    /// Go on, after a halt.
    Retry,
    /// Leave out what has failed.
    Skip,
    /// Have a timer go off now.
    FireTimer(String),
    /// Undo what was done, and end.
    Cancel(String),
    /// Drop what waits for an instance that has not begun.
    DiscardParked,
    /// Take what waited until the state could be read again.
    TakeParked,
}

/// What comes of an event whose instance is not there.
pub(crate) enum Outcome<S> {
    Step(Box<Step<S>>),
    /// It waits for its instance.
    Park(WaitingEvent),
    PassedOver,
}

impl<S: Saga> Machine<S> {
    pub(crate) fn new() -> Result<Self, DefinitionError> {
        let define = Define::described();
        define.check()?;
        Ok(Self { define })
    }

    /// An event comes to an instance.
    pub(crate) fn event(
        &self,
        key: &Key,
        instance: Instance<S>,
        arrived: Arrived<'_>,
        moment: Moment,
    ) -> Result<Step<S>, HandlerError> {
        let mut step = Step::new(self, key, instance, moment);
        self.arrive(&mut step, arrived)?;
        Ok(step)
    }

    /// An event comes whose instance is not there; `parked` are those that came before it.
    pub(crate) fn first_event(
        &self,
        key: &Key,
        parked: Vec<WaitingEvent>,
        arrived: Arrived<'_>,
        moment: Moment,
    ) -> Result<Outcome<S>, HandlerError> {
        if self.define.starts.contains_key(arrived.name) {
            let step = self.begin(key, parked, arrived, moment)?;
            return Ok(Outcome::Step(Box::new(step)));
        }
        match self.missing(arrived.name) {
            Missing::Ignore => Ok(Outcome::PassedOver),
            Missing::Reject => {
                Err(HandlerError::reject(format!("no `{}` of key `{key}`", S::NAME)))
            }
            Missing::Retry => {
                Err(HandlerError::retry(format!("no `{}` of key `{key}` yet", S::NAME)))
            }
            Missing::Park if parked.iter().any(|other| other.id == arrived.id) => {
                Ok(Outcome::PassedOver)
            }
            Missing::Park if parked.len() >= self.define.limits.waiting => {
                let most = self.define.limits.waiting;
                let why = format!("{most} events wait for a `{}` of key `{key}` already", S::NAME);
                Err(HandlerError::reject(why))
            }
            Missing::Park => self.waiting(arrived, moment).map(Outcome::Park),
        }
    }

    /// Whether it says anything of such events.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn knows(&self, event: &str) -> bool {
        self.define.events.contains_key(event)
    }

    /// The key of the instance that an event is about; `own` is the event's own one.
    pub(crate) fn key_of(&self, name: &str, event: &dyn Any, own: Option<Key>) -> Option<Key> {
        match self.define.events.get(name).and_then(|kind| kind.by.as_ref()) {
            Some(by) => by(event),
            None => own,
        }
    }

    fn missing(&self, event: &str) -> Missing {
        let own = self.define.events.get(event).and_then(|kind| kind.missing);
        own.unwrap_or(self.define.missing)
    }

    pub(super) fn late(&self, event: &str) -> Late {
        let own = self.define.events.get(event).and_then(|kind| kind.late);
        own.unwrap_or(self.define.late)
    }
}
