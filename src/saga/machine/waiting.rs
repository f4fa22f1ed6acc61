//! Events that wait for another state, and what comes of them there.

use super::{
    Arrived, Machine, Moment, Payload, Phase, Step, Trigger, Verdict, Waiting, WaitingEvent,
    decide::Reacts,
};
use crate::{
    delivery::HandlerError,
    saga::definition::{EventKind, Saga},
};

impl Waiting {
    pub(super) fn into_trigger(self) -> Trigger {
        match self {
            Self::Event(event) => Trigger::Event { name: event.name, id: event.id },
            Self::Timer(name) => Trigger::Timer { name },
        }
    }
}

impl<S: Saga> Machine<S> {
    /// The event as it is kept.
    pub(crate) fn waiting(
        &self,
        arrived: Arrived<'_>,
        moment: Moment,
    ) -> Result<WaitingEvent, HandlerError> {
        let Some(kind) = self.define.events.get(arrived.name) else {
            return Err(HandlerError::reject(format!("`{}` knows no `{}`", S::NAME, arrived.name)));
        };
        let bytes = (kind.encode)(arrived.event).map_err(HandlerError::reject)?;
        Ok(WaitingEvent {
            name: arrived.name.to_owned(),
            version: kind.version,
            id: arrived.id,
            since: moment.now,
            payload: Payload::new(bytes),
        })
    }

    pub(super) fn defer(
        &self,
        step: &mut Step<S>,
        arrived: Arrived<'_>,
    ) -> Result<(), HandlerError> {
        let most = self.define.limits.waiting;
        if step.instance.waiting.len() >= most {
            let why = format!("{most} events of key `{}` wait already", step.key);
            return Err(HandlerError::reject(why));
        }
        let waiting = self.waiting(arrived, step.moment)?;
        step.instance.waiting.push(Waiting::Event(waiting));
        step.pass(arrived.trigger(), Verdict::Deferred, "");
        Ok(())
    }

    /// Takes what has waited long enough. What fails keeps its place, and the instance is suspended.
    pub(super) fn drain(&self, step: &mut Step<S>) {
        while step.is_running()
            && let Some(at) = self.first_ready(step)
        {
            let waiting = step.instance.waiting.remove(at);
            if let Err(error) = self.take_up(step, &waiting) {
                let why = format!("an event that had waited failed: {}", error.describe());
                step.halt(Phase::Suspended { why: why.clone() }, &why);
                step.pass(waiting.clone().into_trigger(), Verdict::Halted, &why);
                step.instance.waiting.insert(at, waiting);
            }
        }
    }

    fn first_ready(&self, step: &Step<S>) -> Option<usize> {
        let state = step.instance.state.state();
        step.instance.waiting.iter().position(|waiting| match waiting {
            Waiting::Timer(_) => true,
            Waiting::Event(event) => {
                let is_known = self.define.events.contains_key(&*event.name);
                is_known && !matches!(self.reaction(state, &event.name), Reacts::Defer)
            }
        })
    }

    fn take_up(&self, step: &mut Step<S>, waiting: &Waiting) -> Result<(), HandlerError> {
        if step.goes_in_circles() {
            return Err(HandlerError::reject("too many transitions within a minute"));
        }
        match waiting {
            Waiting::Timer(name) => self.take_timer(step, name),
            Waiting::Event(event) => match self.define.events.get_key_value(&*event.name) {
                Some((name, kind)) => self.take_up_event(step, name, kind, event),
                None => Ok(()),
            },
        }
    }

    fn take_up_event(
        &self,
        step: &mut Step<S>,
        name: &'static str,
        kind: &EventKind<S>,
        waiting: &WaitingEvent,
    ) -> Result<(), HandlerError> {
        if waiting.version != kind.version {
            let (found, known) = (waiting.version, kind.version);
            let why = format!("`{name}` has version {found}, and this build knows {known}");
            return Err(HandlerError::reject(why));
        }
        let event = (kind.decode)(waiting.payload.bytes()).map_err(HandlerError::reject)?;
        let arrived = Arrived { name, id: waiting.id, event: &*event };
        match self.reaction(step.instance.state.state(), name) {
            Reacts::Handle(decide, declared) => self.handle(step, arrived, decide, declared)?,
            Reacts::Ignore => step.pass(arrived.trigger(), Verdict::Ignored, "it had waited"),
            Reacts::Reject => step.pass(arrived.trigger(), Verdict::Rejected, "it had waited"),
            Reacts::Defer => {}
        }
        step.instance.remember(waiting.id, self.define.limits.remembered);
        Ok(())
    }
}
