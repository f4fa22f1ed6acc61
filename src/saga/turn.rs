//! What a saga's handler knows, and what it decides.

use std::{fmt, time::Duration};

use super::{
    machine::Payload,
    outgoing::{self, Outgoing},
    state::{SagaState, StateOf},
};
use crate::{
    codec::CodecError,
    event::{Event, Key},
    message::{MessageId, Publishable},
    runtime::Timestamp,
};

/// A saga's turn: what its handler knows, and what is to be done. It ends with a [`Decision`].
///
/// A handler is a pure function of the state, the event and this. Nothing is done while it runs: what it
/// asks for commits with the acknowledgement of the event, the new state and its history, or not at all.
/// Calls to the outside belong into ordinary handlers of the events that it sends.
#[must_use = "a turn is ended by `enter`, `stay`, `compensate_then` or `suspend`"]
pub struct Turn<S> {
    about: About,
    effects: Effects,
    next: std::marker::PhantomData<fn() -> S>,
}

/// What a handler knows besides state and event.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) key: Key,
    /// `None` for what no message of its own brings: an operator's action, a deferred timer.
    pub(super) message: Option<MessageId>,
    pub(super) now: Timestamp,
    /// How many transitions the instance has made.
    pub(super) revision: u64,
}

/// What is to be done, besides the next state.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) sends: Vec<Box<dyn Outgoing>>,
    pub(super) timers: Vec<TimerChange>,
    pub(super) compensations: Vec<Registration>,
    pub(super) forgotten: Vec<String>,
    pub(super) pivots: bool,
    /// Why the turn cannot stand.
    pub(super) wrong: Option<CodecError>,
}

pub(super) enum TimerChange {
    Set(&'static str, Duration),
    Clear(&'static str),
}

/// An event that undoes a step, to be kept until it is wanted.
pub(super) struct Registration {
    pub(super) name: String,
    pub(super) event: &'static str,
    pub(super) payload: Payload,
}

/// What a saga's handler has decided. Made by the last call on a [`Turn`].
#[must_use]
pub struct Decision<S> {
    pub(super) effects: Effects,
    pub(super) next: Next<S>,
}

pub(super) enum Next<S> {
    Enter(S),
    Stay,
    CompensateThen(S),
    Suspend(String),
}

impl<S: SagaState> Turn<S> {
    pub(super) fn new(about: About) -> Self {
        Self { about, effects: Effects::default(), next: std::marker::PhantomData }
    }

    /// The instance's key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.about.key
    }

    /// What the wall clock shows. Take the time from here, so that tests and simulations can set it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.about.now
    }

    /// The id of the message being handled; `None` where it is none, as for an operator's action.
    #[must_use]
    pub fn message_id(&self) -> Option<MessageId> {
        self.about.message
    }

    /// A key for one step of this turn, the same whenever the turn is taken again: for a service that
    /// drops duplicates. `step` tells several of one turn apart.
    #[must_use]
    pub fn idempotency_key(&self, step: &str) -> String {
        format!("{}:{}:{step}", self.about.key, self.about.revision)
    }

    /// Sends an event, or a [`Message`](crate::Message) around one.
    pub fn send<P: Publishable>(mut self, message: P) -> Self {
        self.effects.sends.push(outgoing::erase(message));
        self
    }

    /// Sets the timer of that name, or sets it anew: after so long, the state that the instance is in then
    /// gets it, as [`on_timer`](super::StateDefinition::on_timer) says. It survives restarts, and a change
    /// of state does not stop it; [`clear`](Self::clear) does, and the end of the saga. The transition
    /// declares it with [`sets`](super::StateDefinition::sets).
    pub fn timer(mut self, name: &'static str, after: Duration) -> Self {
        self.effects.timers.push(TimerChange::Set(name, after));
        self
    }

    /// Stops the timer of that name. Where it is not set, nothing happens.
    pub fn clear(mut self, name: &'static str) -> Self {
        self.effects.timers.push(TimerChange::Clear(name));
        self
    }

    /// Keeps an event that undoes a step, in case the saga has to [compensate](Self::compensate_then).
    ///
    /// Register it when the step is sent, not when its answer comes: then a step that possibly ran is
    /// undone as well, and whoever undoes it must accept that there may be nothing to undo. `name` is the
    /// step's; a later registration of that name takes the place of the earlier one. The event's type is
    /// declared with [`compensation`](super::Define::compensation).
    ///
    /// Steps of one turn are taken to be independent of each other and are undone together; those of
    /// later turns are undone before those of earlier ones.
    #[allow(clippy::needless_pass_by_value)] // like `send`
    pub fn compensate_with<E: Event>(mut self, name: &str, undo: E) -> Self {
        match outgoing::encode(&undo) {
            Ok(bytes) => self.effects.compensations.push(Registration {
                name: name.to_owned(),
                event: E::NAME,
                payload: Payload::new(bytes),
            }),
            Err(error) => self.effects.wrong = Some(error),
        }
        self
    }

    /// Drops the compensation of that name: its step has not happened, or is not to be undone.
    pub fn forget_compensation(mut self, name: &str) -> Self {
        self.effects.forgotten.push(name.to_owned());
        self
    }

    /// The point of no return: what was registered to be undone is dropped, and from now on the saga only
    /// goes forward. The transition declares it with [`pivots`](super::StateDefinition::pivots).
    pub fn pivot(mut self) -> Self {
        self.effects.pivots = true;
        self
    }

    /// Goes to a state: one of those that the transition declares with
    /// [`to`](super::StateDefinition::to), or the same state with other contents where it declares none.
    pub fn enter<P: StateOf<S>>(self, state: P) -> Decision<S> {
        self.decide(Next::Enter(state.into()))
    }

    /// Stays in the state, as it is.
    pub fn stay(self) -> Decision<S> {
        self.decide(Next::Stay)
    }

    /// Undoes what was registered, the last first, and then goes to a state in which the saga is over. The
    /// transition declares it with [`compensates_to`](super::StateDefinition::compensates_to).
    pub fn compensate_then<P: StateOf<S>>(self, state: P) -> Decision<S> {
        self.decide(Next::CompensateThen(state.into()))
    }

    /// Leaves it to an operator: nobody knows whether the step has happened, say. The instance halts where
    /// it is, visibly; events that come meanwhile wait. [`Sagas::retry`](super::Sagas::retry) goes on.
    pub fn suspend(self, why: impl Into<String>) -> Decision<S> {
        self.decide(Next::Suspend(why.into()))
    }

    fn decide(self, next: Next<S>) -> Decision<S> {
        Decision { effects: self.effects, next }
    }
}

impl<S> fmt::Debug for Turn<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("about", &self.about).finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Decision<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision").field("sends", &self.effects.sends).finish_non_exhaustive()
    }
}
