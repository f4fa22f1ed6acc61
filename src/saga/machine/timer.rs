//! Timers that go off, early, late or for nothing.

use super::{Instance, Machine, Moment, Step, TimerId, Trigger, Verdict, Waiting, decide::call};
use crate::{
    delivery::HandlerError,
    event::Key,
    saga::{
        definition::{Reaction, Saga},
        turn::Turn,
    },
};

impl<S: Saga> Machine<S> {
    /// A timer goes off.
    pub(crate) fn timer(
        &self,
        key: &Key,
        instance: Instance<S>,
        (id, epoch): (&TimerId, u64),
        moment: Moment,
    ) -> Result<Step<S>, HandlerError> {
        let mut step = Step::new(self, key, instance, moment);
        let timers = &mut step.instance.timers;
        match timers.iter().position(|timer| timer.id == *id && timer.epoch == epoch) {
            Some(at) => drop(timers.swap_remove(at)),
            None => {
                step.pass(id.trigger(&step.instance), Verdict::Stale, "");
                return Ok(step);
            }
        }
        match id {
            TimerId::Named(name) => self.ring(&mut step, name)?,
            TimerId::Compensation(at) => self.answer_is_due(&mut step, *at),
            TimerId::Purge => step.purge = step.instance.phase.is_over(),
        }
        self.drain(&mut step);
        Ok(step)
    }

    /// A timer of the saga's own goes off.
    pub(super) fn ring(&self, step: &mut Step<S>, name: &str) -> Result<(), HandlerError> {
        let trigger = Trigger::Timer { name: name.to_owned() };
        if !step.is_running() || step.goes_in_circles() {
            // Only one that is suspended has any timers of its own.
            step.instance.waiting.push(Waiting::Timer(name.to_owned()));
            step.pass(trigger, Verdict::Deferred, "");
            return Ok(());
        }
        self.take_timer(step, name)
    }

    /// The same in an instance that runs.
    pub(super) fn take_timer(&self, step: &mut Step<S>, name: &str) -> Result<(), HandlerError> {
        let trigger = Trigger::Timer { name: name.to_owned() };
        let state = self.define.states.get(step.instance.state.state());
        let reaction = state.and_then(|state| state.timers.get(name));
        let Some(Reaction::Handle { decide, declared }) = reaction else {
            step.pass(trigger, Verdict::Stale, "the state does not handle it");
            return Ok(());
        };
        let (about, state) = (step.about(None), &step.instance.state);
        let decision = call(|| decide(state, &(), Turn::new(about)))?;
        self.settle(step, decision, declared, trigger)
    }
}

impl TimerId {
    fn trigger<S>(&self, instance: &Instance<S>) -> Trigger {
        match self {
            Self::Named(name) => Trigger::Timer { name: name.clone() },
            Self::Compensation(at) => {
                let name = instance.compensations.get(*at).map(|other| other.name.clone());
                Trigger::Compensation { name: name.unwrap_or_default() }
            }
            Self::Purge => Trigger::Timer { name: "keep_completed".into() },
        }
    }
}
