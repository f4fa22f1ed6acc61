//! What comes of an event, as each phase of an instance takes it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    Arrived, Instance, Machine, Moment, Phase, Step, Trigger, Verdict, Waiting, WaitingEvent,
    step::Account,
};
use crate::{
    delivery::{HandlerError, panicked},
    event::Key,
    saga::{
        definition::{Decide, Declared, Elsewhere, Late, Reaction, Saga},
        state::is_terminal,
        turn::{About, Decision, Effects, Next, TimerChange, Turn},
    },
};

/// What a state makes of an event.
pub(super) enum Reacts<'a, S: Saga> {
    Handle(&'a Decide<S>, &'a Declared),
    Ignore,
    Defer,
    Reject,
}

impl Arrived<'_> {
    pub(super) fn trigger(&self) -> Trigger {
        Trigger::Event { name: self.name.to_owned(), id: self.id }
    }
}

impl<S: Saga> Machine<S> {
    /// An event begins an instance, for which others have waited.
    pub(super) fn begin(
        &self,
        key: &Key,
        parked: Vec<WaitingEvent>,
        arrived: Arrived<'_>,
        moment: Moment,
    ) -> Result<Step<S>, HandlerError> {
        let (key, message) = (key.clone(), Some(arrived.id));
        let about = About { key: key.clone(), message, now: moment.now, revision: 0 };
        let (state, effects) = self.start(about, arrived)?;
        let instance = Instance::new(S::VERSION, state, moment.now);
        let mut step = Step::new(self, &key, instance, moment);
        step.instance.waiting = parked.into_iter().map(Waiting::Event).collect();
        self.begun(&mut step, effects, arrived);
        Ok(step)
    }

    /// The same where there was an instance of that key, which is over.
    fn begin_again(&self, step: &mut Step<S>, arrived: Arrived<'_>) -> Result<(), HandlerError> {
        let (state, effects) = self.start(step.about(Some(arrived.id)), arrived)?;
        step.stop_timers();
        let new = Instance::new(S::VERSION, state, step.moment.now);
        let over = std::mem::replace(&mut step.instance, new);
        let now = &mut step.instance;
        (now.revision, now.epoch, now.seen) = (over.revision, over.epoch, over.seen);
        self.begun(step, effects, arrived);
        Ok(())
    }

    /// In which state an instance begins, and with what.
    fn start(&self, about: About, arrived: Arrived<'_>) -> Result<(S, Effects), HandlerError> {
        let Some(start) = self.define.starts.get(arrived.name) else {
            return Err(HandlerError::reject(format!(
                "`{}` begins no `{}`",
                arrived.name,
                S::NAME
            )));
        };
        let decision = call(|| (start.begin)(arrived.event, Turn::new(about)))?;
        let Decision { effects, next: Next::Enter(state) } = decision else {
            let why = format!("`{}` has to begin with a state to `enter`", arrived.name);
            return Err(HandlerError::reject(why));
        };
        self.permit_effects(&effects, &start.declared)?;
        permit(&start.declared.targets, state.state(), "to")?;
        Ok((state, effects))
    }

    fn begun(&self, step: &mut Step<S>, effects: Effects, arrived: Arrived<'_>) {
        step.instance.remember(arrived.id, self.define.limits.remembered);
        step.instance.pace.transitions = 1;
        let account = step.take(effects);
        step.note(arrived.trigger(), Verdict::Handled, account);
        if is_terminal::<S>(step.instance.state.state()) {
            step.end(Phase::Completed);
        }
        self.drain(step);
    }

    /// An event comes to an instance.
    pub(super) fn arrive(
        &self,
        step: &mut Step<S>,
        arrived: Arrived<'_>,
    ) -> Result<(), HandlerError> {
        if step.instance.has_seen(arrived.id) {
            step.pass(arrived.trigger(), Verdict::Duplicate, "");
            return Ok(());
        }
        match step.instance.phase {
            Phase::Running => self.react(step, arrived)?,
            Phase::Suspended { .. } => self.defer(step, arrived)?,
            Phase::Compensating { .. } | Phase::CompensationFailed { .. } => {
                self.answer(step, arrived);
            }
            Phase::Completed | Phase::Cancelled if self.begins_again(arrived.name) => {
                return self.begin_again(step, arrived);
            }
            Phase::Completed | Phase::Cancelled => self.arrive_late(step, arrived)?,
        }
        step.instance.remember(arrived.id, self.define.limits.remembered);
        self.drain(step);
        Ok(())
    }

    fn begins_again(&self, event: &str) -> bool {
        self.define.allow_restart && self.define.starts.contains_key(event)
    }

    fn arrive_late(&self, step: &mut Step<S>, arrived: Arrived<'_>) -> Result<(), HandlerError> {
        if self.late(arrived.name) == Late::Reject {
            let (event, key) = (arrived.name, &step.key);
            let why = format!("`{event}` came after the `{}` of key `{key}` was over", S::NAME);
            return Err(HandlerError::reject(why));
        }
        step.pass(arrived.trigger(), Verdict::Late, "");
        Ok(())
    }

    /// What the state makes of an event that has come now.
    fn react(&self, step: &mut Step<S>, arrived: Arrived<'_>) -> Result<(), HandlerError> {
        if step.goes_in_circles() {
            return self.defer(step, arrived);
        }
        match self.reaction(step.instance.state.state(), arrived.name) {
            Reacts::Handle(decide, declared) => self.handle(step, arrived, decide, declared),
            Reacts::Ignore => {
                step.pass(arrived.trigger(), Verdict::Ignored, "");
                Ok(())
            }
            Reacts::Defer => self.defer(step, arrived),
            Reacts::Reject => {
                let (state, event) = (step.instance.state.state(), arrived.name);
                let why = format!("`{}` rejects `{event}` in the state `{state}`", S::NAME);
                Err(HandlerError::reject(why))
            }
        }
    }

    pub(super) fn reaction(&self, state: &str, event: &str) -> Reacts<'_, S> {
        let own = self.define.states.get(state).and_then(|state| state.events.get(event));
        match own {
            Some(Reaction::Handle { decide, declared }) => Reacts::Handle(decide, declared),
            Some(Reaction::Ignore) => Reacts::Ignore,
            Some(Reaction::Defer) => Reacts::Defer,
            Some(Reaction::Reject) => Reacts::Reject,
            None => match self.define.events.get(event).and_then(|kind| kind.elsewhere) {
                Some(Elsewhere::Ignore) => Reacts::Ignore,
                Some(Elsewhere::Defer) => Reacts::Defer,
                Some(Elsewhere::Reject) | None => Reacts::Reject,
            },
        }
    }

    pub(super) fn handle(
        &self,
        step: &mut Step<S>,
        arrived: Arrived<'_>,
        decide: &Decide<S>,
        declared: &Declared,
    ) -> Result<(), HandlerError> {
        let (about, state) = (step.about(Some(arrived.id)), &step.instance.state);
        let decision = call(|| decide(state, arrived.event, Turn::new(about)))?;
        self.settle(step, decision, declared, arrived.trigger())
    }

    /// Does what was decided, if it keeps to what was declared; otherwise nothing has changed.
    pub(super) fn settle(
        &self,
        step: &mut Step<S>,
        decision: Decision<S>,
        declared: &Declared,
        trigger: Trigger,
    ) -> Result<(), HandlerError> {
        let Decision { effects, next } = decision;
        self.permit_effects(&effects, declared)?;
        let from = step.instance.state.state();
        match &next {
            Next::Enter(_) | Next::Stay => {
                let to = if let Next::Enter(state) = &next { state.state() } else { from };
                let own = [from];
                let targets = if declared.targets.is_empty() { &own } else { &*declared.targets };
                permit(targets, to, "to")?;
            }
            Next::CompensateThen(state) => {
                permit(&declared.compensates_to, state.state(), "compensates_to")?;
                if step.instance.pivoted || effects.pivots {
                    let why =
                        format!("the state `{from}` compensates after the point of no return");
                    return Err(HandlerError::reject(why));
                }
            }
            Next::Suspend(_) => {}
        }
        let mut account = Account { from: Some(from.to_owned()), ..step.take(effects) };
        match next {
            Next::Stay => step.note(trigger, Verdict::Handled, account),
            Next::Enter(state) => {
                step.instance.state = state;
                let is_over = is_terminal::<S>(step.instance.state.state());
                if is_over {
                    account.cleared.extend(step.stop_timers());
                }
                step.note(trigger, Verdict::Handled, account);
                if is_over {
                    step.end(Phase::Completed);
                }
            }
            Next::CompensateThen(state) => {
                account.cleared.extend(step.stop_timers());
                step.instance.phase = Phase::Compensating { then: Some(state) };
                step.note(trigger.clone(), Verdict::Handled, account);
                self.compensate(step, &trigger);
            }
            Next::Suspend(why) => {
                account.note = Some(why.clone());
                step.halt(Phase::Suspended { why: why.clone() }, &why);
                step.note(trigger, Verdict::Halted, account);
            }
        }
        Ok(())
    }

    fn permit_effects(&self, effects: &Effects, declared: &Declared) -> Result<(), HandlerError> {
        if let Some(error) = &effects.wrong {
            return Err(HandlerError::reject(format!("a compensation does not encode: {error}")));
        }
        for timer in &effects.timers {
            if let TimerChange::Set(name, _) = timer {
                permit(&declared.sets, name, "sets")?;
            }
        }
        let known = |event: &str| self.define.compensations.contains_key(event);
        if let Some(other) = effects.compensations.iter().find(|other| !known(other.event)) {
            let why = format!("declare `{}` with `compensation`", other.event);
            return Err(HandlerError::reject(why));
        }
        if effects.pivots && !declared.pivots {
            return Err(HandlerError::reject("a transition pivots that does not declare `pivots`"));
        }
        Ok(())
    }
}

/// Whether a transition keeps to what it declares.
fn permit(declared: &[&str], done: &str, method: &str) -> Result<(), HandlerError> {
    if declared.contains(&done) {
        return Ok(());
    }
    let declared = declared.join("`, `");
    let why =
        format!("`{done}` is not among what the transition declares with `{method}`: `{declared}`");
    Err(HandlerError::reject(why))
}

/// Calls a saga's handler, which may panic.
pub(super) fn call<S>(
    decide: impl FnOnce() -> Option<Decision<S>>,
) -> Result<Decision<S>, HandlerError> {
    let decided =
        catch_unwind(AssertUnwindSafe(decide)).map_err(|panic| panicked(panic.as_ref()))?;
    decided.ok_or_else(|| HandlerError::reject("a value of another type came to the saga"))
}
