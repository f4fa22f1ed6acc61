//! What a state does with events and timers.

use std::{marker::PhantomData, sync::Arc};

use super::{Declared, Define, Flaw, Reaction, Saga};
use crate::{
    event::Event,
    saga::{
        state::StateOf,
        turn::{Decision, Turn},
    },
};

/// Nothing that could be said more of was described last.
#[derive(Debug)]
#[non_exhaustive]
pub struct Nothing;

/// A transition was described last.
#[derive(Debug)]
#[non_exhaustive]
pub struct Handled;

/// What a state does with events and timers; see [`Define::state`].
///
/// Every event of the saga is declared in every state in which it goes on: handled, ignored, deferred or
/// rejected; [`EventDefinition::elsewhere`](super::EventDefinition::elsewhere) does so for all that do
/// not say.
#[allow(missing_debug_implementations)] // it is made of closures
pub struct StateDefinition<'d, S: Saga, P, Last = Nothing> {
    pub(super) define: &'d mut Define<S>,
    pub(super) last: Option<LastOf>,
    pub(super) state: PhantomData<fn() -> (P, Last)>,
}

/// What was described last.
#[derive(Clone, Copy)]
pub(super) enum LastOf {
    Event(&'static str),
    Timer(&'static str),
}

#[allow(clippy::return_self_not_must_use, clippy::must_use_candidate)] // each call has its effect
impl<'d, S: Saga, P: StateOf<S>, Last> StateDefinition<'d, S, P, Last> {
    /// Handles an event. What it may lead to is declared right after it.
    pub fn on<E: Event>(
        self,
        decide: impl Fn(&P, &E, Turn<S>) -> Decision<S> + Send + Sync + 'static,
    ) -> StateDefinition<'d, S, P, Handled> {
        let decide = Arc::new(move |state: &S, event: &dyn std::any::Any, turn| {
            Some(decide(P::of(state)?, event.downcast_ref::<E>()?, turn))
        });
        let reaction = Reaction::Handle { decide, declared: Declared::default() };
        self.react::<E>(reaction).after(Some(LastOf::Event(E::NAME)))
    }

    /// Handles a timer: see [`Turn::timer`]. In a state that does not, one that goes off is noted in the
    /// history, and that is all.
    pub fn on_timer(
        self,
        name: &'static str,
        decide: impl Fn(&P, Turn<S>) -> Decision<S> + Send + Sync + 'static,
    ) -> StateDefinition<'d, S, P, Handled> {
        let decide = Arc::new(move |state: &S, _: &dyn std::any::Any, turn| {
            Some(decide(P::of(state)?, turn))
        });
        let reaction = Reaction::Handle { decide, declared: Declared::default() };
        let timers = self.define.states.get_mut(P::NAME).map(|state| &mut state.timers);
        if timers.is_some_and(|timers| timers.insert(name, reaction).is_some()) {
            self.define.flaws.push(Flaw::TimerTwice { state: P::NAME, timer: name });
        }
        self.after(Some(LastOf::Timer(name)))
    }

    /// An event that means nothing here. It is noted in the history.
    pub fn ignore<E: Event>(self) -> StateDefinition<'d, S, P> {
        self.react::<E>(Reaction::Ignore).after(None)
    }

    /// An event that came too early: it is kept until the instance is in a state that does not defer it.
    pub fn defer<E: Event>(self) -> StateDefinition<'d, S, P> {
        self.react::<E>(Reaction::Defer).after(None)
    }

    /// An event that must not come here: it becomes a dead letter, the instance stays as it is.
    pub fn reject<E: Event>(self) -> StateDefinition<'d, S, P> {
        self.react::<E>(Reaction::Reject).after(None)
    }

    fn react<E: Event>(self, reaction: Reaction<S>) -> Self {
        self.define.know::<E>();
        let events = self.define.states.get_mut(P::NAME).map(|state| &mut state.events);
        if events.is_some_and(|events| events.insert(E::NAME, reaction).is_some()) {
            self.define.flaws.push(Flaw::EventTwice { state: P::NAME, event: E::NAME });
        }
        self
    }

    fn after<L>(self, last: Option<LastOf>) -> StateDefinition<'d, S, P, L> {
        StateDefinition { define: self.define, last, state: PhantomData }
    }
}

#[allow(clippy::return_self_not_must_use, clippy::must_use_candidate)] // as above
impl<S: Saga, P: StateOf<S>> StateDefinition<'_, S, P, Handled> {
    /// A state that the transition may lead to. Without any, it stays in its state.
    pub fn to<T: StateOf<S>>(mut self) -> Self {
        self.declare(|declared| declared.targets.push(T::NAME));
        self
    }

    /// A state, in which the saga is over, that the transition may lead to once everything is undone.
    pub fn compensates_to<T: StateOf<S>>(mut self) -> Self {
        self.declare(|declared| declared.compensates_to.push(T::NAME));
        self
    }

    /// A timer that the transition may set.
    pub fn sets(mut self, timer: &'static str) -> Self {
        self.declare(|declared| declared.sets.push(timer));
        self
    }

    /// The transition may be the point of no return.
    pub fn pivots(mut self) -> Self {
        self.declare(|declared| declared.pivots = true);
        self
    }

    fn declare(&mut self, change: impl FnOnce(&mut Declared)) {
        let Some(state) = self.define.states.get_mut(P::NAME) else { return };
        let reaction = match self.last {
            Some(LastOf::Event(name)) => state.events.get_mut(name),
            Some(LastOf::Timer(name)) => state.timers.get_mut(name),
            None => None,
        };
        if let Some(Reaction::Handle { declared, .. }) = reaction {
            change(declared);
        }
    }
}

/// What an event that begins an instance may lead to; see [`Define::start`].
#[allow(missing_debug_implementations)] // it is made of closures
pub struct StartDefinition<'d, S: Saga> {
    pub(super) define: &'d mut Define<S>,
    pub(super) event: &'static str,
}

#[allow(clippy::return_self_not_must_use, clippy::must_use_candidate)] // as above
impl<S: Saga> StartDefinition<'_, S> {
    /// A state that it may begin in. There is at least one.
    pub fn to<T: StateOf<S>>(mut self) -> Self {
        self.declare(|declared| declared.targets.push(T::NAME));
        self
    }

    /// A timer that it may set.
    pub fn sets(mut self, timer: &'static str) -> Self {
        self.declare(|declared| declared.sets.push(timer));
        self
    }

    fn declare(&mut self, change: impl FnOnce(&mut Declared)) {
        if let Some(start) = self.define.starts.get_mut(self.event) {
            change(&mut start.declared);
        }
    }
}
