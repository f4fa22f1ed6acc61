//! Defining a saga: which state takes which event, and what comes of it.

mod check;
mod compensation;
mod event;
mod state;

use std::{any::Any, collections::BTreeMap, marker::PhantomData, sync::Arc};

pub use check::{DefinitionError, Flaw};
pub(super) use compensation::CompensationKind;
pub use compensation::{CompensationDefinition, OnCompensationFailure};
pub(super) use event::EventKind;
pub use event::{Elsewhere, EventDefinition, Late, Missing};
pub use state::{Handled, Nothing, StartDefinition, StateDefinition};

use super::{
    graph::{self, SagaGraph},
    machine::Limits,
    state::{SagaState, StateOf},
    turn::{Decision, Turn},
};
use crate::{error::BoxError, event::Event};

/// A process that goes on over many events: a typed state machine whose instances are told apart by key.
///
/// Implemented for the enum of its states, see [`SagaState`]. [`define`](Self::define) says which events
/// begin an instance, and what each state makes of each event. Started with
/// [`Bus::saga`](crate::Bus::saga).
pub trait Saga: SagaState {
    /// The saga's name, and that of its subscription: 1 to 128 of `a-z A-Z 0-9 . _ -`.
    const NAME: &'static str;

    /// The version of its states, from 1. Raise it when stored states no longer decode or no longer mean
    /// the same, and have [`migrate`](Self::migrate) read the old ones.
    const VERSION: u32 = 1;

    /// Describes the machine.
    fn define(saga: &mut Define<Self>)
    where
        Self: Sized;

    /// The saga as a graph, to be drawn.
    #[must_use]
    fn graph() -> SagaGraph
    where
        Self: Sized,
    {
        graph::of(&Define::<Self>::described())
    }

    /// Reads a state of another version.
    ///
    /// # Errors
    /// It cannot be read. Then the saga does not start, and says which instances there are.
    fn migrate(from: u32, state: serde_json::Value) -> Result<Self, BoxError>
    where
        Self: Sized,
    {
        drop(state);
        let known = Self::VERSION;
        Err(format!("it is of version {from}, this build knows {known} and has no `migrate`")
            .into())
    }
}

/// What a handler makes of a state and an event.
pub(super) type Decide<S> = Arc<dyn Fn(&S, &dyn Any, Turn<S>) -> Option<Decision<S>> + Send + Sync>;

/// The same for an event that begins an instance.
pub(super) type Begin<S> = Arc<dyn Fn(&dyn Any, Turn<S>) -> Option<Decision<S>> + Send + Sync>;

/// What a transition may do, as declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) targets: Vec<&'static str>,
    pub(super) compensates_to: Vec<&'static str>,
    pub(super) sets: Vec<&'static str>,
    pub(super) pivots: bool,
}

/// What a state does with an event.
pub(super) enum Reaction<S> {
    Handle { decide: Decide<S>, declared: Declared },
    Ignore,
    Defer,
    Reject,
}

/// What begins an instance.
pub(super) struct Starter<S> {
    pub(super) begin: Begin<S>,
    pub(super) declared: Declared,
}

/// What a state does, by the names of events and timers.
pub(super) struct StateKind<S> {
    pub(super) events: BTreeMap<&'static str, Reaction<S>>,
    pub(super) timers: BTreeMap<&'static str, Reaction<S>>,
}

/// A saga being described; see [`Saga::define`].
#[allow(missing_debug_implementations)] // it is made of closures
pub struct Define<S: Saga> {
    pub(super) starts: BTreeMap<&'static str, Starter<S>>,
    pub(super) states: BTreeMap<&'static str, StateKind<S>>,
    pub(super) events: BTreeMap<&'static str, EventKind<S>>,
    pub(super) compensations: BTreeMap<&'static str, CompensationKind>,
    pub(super) missing: Missing,
    pub(super) late: Late,
    pub(super) allow_restart: bool,
    pub(super) on_compensation_failure: OnCompensationFailure,
    pub(super) limits: Limits,
    /// What comes after a point of no return was looked at already.
    pub(super) is_linear: bool,
    /// What can be seen to be wrong while it is being described.
    pub(super) flaws: Vec<Flaw>,
}

impl<S: Saga> Define<S> {
    pub(super) fn described() -> Self {
        let mut define = Self {
            starts: BTreeMap::new(),
            states: BTreeMap::new(),
            events: BTreeMap::new(),
            compensations: BTreeMap::new(),
            missing: Missing::default(),
            late: Late::default(),
            allow_restart: false,
            on_compensation_failure: OnCompensationFailure::default(),
            limits: Limits::default(),
            is_linear: false,
            flaws: Vec::new(),
        };
        S::define(&mut define);
        define
    }

    /// An event that begins an instance, where there is none of its key.
    pub fn start<E: Event>(
        &mut self,
        begin: impl Fn(&E, Turn<S>) -> Decision<S> + Send + Sync + 'static,
    ) -> StartDefinition<'_, S> {
        self.know::<E>();
        let begin: Begin<S> =
            Arc::new(move |event, turn| Some(begin(event.downcast_ref::<E>()?, turn)));
        if self.starts.contains_key(E::NAME) {
            self.flaws.push(Flaw::StartsTwice { event: E::NAME });
        }
        self.starts.insert(E::NAME, Starter { begin, declared: Declared::default() });
        StartDefinition { define: self, event: E::NAME }
    }

    /// What a state does with events and timers.
    pub fn state<P: StateOf<S>>(&mut self) -> StateDefinition<'_, S, P> {
        let empty = || StateKind { events: BTreeMap::new(), timers: BTreeMap::new() };
        self.states.entry(P::NAME).or_insert_with(empty);
        StateDefinition { define: self, last: None, state: PhantomData }
    }

    /// How the instance of an event is found, and what happens where there is none, where it is over, and
    /// in states that do not say.
    pub fn event<E: Event>(&mut self) -> EventDefinition<'_, S, E> {
        self.know::<E>();
        EventDefinition { define: self, event: PhantomData }
    }

    /// An event that undoes a step: see [`Turn::compensate_with`].
    pub fn compensation<E: Event>(&mut self) -> CompensationDefinition<'_, S, E> {
        self.compensations.entry(E::NAME).or_insert_with(CompensationKind::of::<E>);
        CompensationDefinition { define: self, event: PhantomData }
    }

    /// What happens with an event whose instance is not there, unless the event says otherwise.
    /// [`Missing::Park`] unless set.
    pub fn missing(&mut self, policy: Missing) -> &mut Self {
        self.missing = policy;
        self
    }

    /// What happens with an event that comes after the saga is over, unless the event says otherwise.
    /// [`Late::Ignore`] unless set.
    pub fn late(&mut self, policy: Late) -> &mut Self {
        self.late = policy;
        self
    }

    /// Lets a starting event begin a new instance where the old one of its key is over. Otherwise such an
    /// event is late: a saga does not begin again because a message came twice.
    pub fn allow_restart(&mut self) -> &mut Self {
        self.allow_restart = true;
        self
    }

    /// What happens with the remaining compensations when one has failed for good.
    /// [`OnCompensationFailure::Halt`] unless set.
    pub fn on_compensation_failure(&mut self, policy: OnCompensationFailure) -> &mut Self {
        self.on_compensation_failure = policy;
        self
    }

    /// How many transitions an instance may make within a minute: one that makes more goes round in a
    /// circle, and is suspended. 1,000 unless set.
    pub fn max_transitions_a_minute(&mut self, transitions: u32) -> &mut Self {
        self.limits.transitions_a_minute = transitions.max(1);
        self
    }

    /// How many events an instance keeps that are deferred, or were there before it; more are rejected.
    /// 64 unless set.
    pub fn max_waiting(&mut self, events: usize) -> &mut Self {
        self.limits.waiting = events.max(1);
        self
    }

    /// How many messages an instance knows again when they come twice: the last so many, from 1.
    /// 64 unless set.
    pub fn remembered(&mut self, messages: usize) -> &mut Self {
        self.limits.remembered = messages.max(1);
        self
    }

    /// How many of its last transitions an instance keeps, from 1 to 1,000. 100 unless set.
    pub fn history(&mut self, transitions: u32) -> &mut Self {
        self.limits.history = transitions.clamp(1, 1000);
        self
    }

    /// How long an instance that is over is kept: so long, events that come late are known to be late.
    /// Seven days unless set.
    pub fn keep_completed(&mut self, time: std::time::Duration) -> &mut Self {
        self.limits.keep_completed = time;
        self
    }

    fn know<E: Event>(&mut self) {
        self.events.entry(E::NAME).or_insert_with(EventKind::of::<E>);
    }
}
