//! What operators do to an instance.

use super::{
    Command, Instance, Machine, Moment, Phase, Progress, Step, TimerId, Trigger, Verdict, Waiting,
    WaitingEvent, step::Account,
};
use crate::{delivery::HandlerError, event::Key, saga::definition::Saga};

impl Command {
    fn trigger(&self) -> Trigger {
        let action = match self {
            Self::Retry => "retry".to_owned(),
            Self::Skip => "skip".to_owned(),
            Self::FireTimer(name) => format!("fire timer {name}"),
            Self::Cancel(why) => format!("cancel: {why}"),
            Self::DiscardParked => "discard parked".to_owned(),
            Self::TakeParked => "take parked".to_owned(),
        };
        Trigger::Operator { action }
    }
}

impl<S: Saga> Machine<S> {
    /// An operator does something.
    pub(crate) fn operate(
        &self,
        key: &Key,
        (instance, parked): (Instance<S>, Vec<WaitingEvent>),
        command: &Command,
        moment: Moment,
    ) -> Result<Step<S>, HandlerError> {
        let mut step = Step::new(self, key, instance, moment);
        step.instance.waiting.extend(parked.into_iter().map(Waiting::Event));
        let trigger = command.trigger();
        match command {
            Command::Retry => self.retry(&mut step, trigger),
            Command::Skip => self.skip(&mut step, trigger),
            Command::FireTimer(name) => self.fire(&mut step, name, trigger)?,
            Command::Cancel(_) => self.cancel(&mut step, trigger),
            Command::DiscardParked => {
                step.pass(trigger, Verdict::Ignored, "the instance has begun");
            }
            Command::TakeParked => step.pass(trigger, Verdict::Handled, ""),
        }
        self.drain(&mut step);
        Ok(step)
    }

    fn retry(&self, step: &mut Step<S>, trigger: Trigger) {
        match step.instance.phase {
            Phase::Suspended { .. } => {
                step.instance.phase = Phase::Running;
                step.instance.pace.transitions = 0;
                step.pass(trigger, Verdict::Handled, "it goes on");
            }
            Phase::CompensationFailed { .. } => {
                self.replace_failed(step, &Progress::Registered, &trigger);
            }
            _ => step.pass(trigger, Verdict::Ignored, "it does not wait for an operator"),
        }
    }

    fn skip(&self, step: &mut Step<S>, trigger: Trigger) {
        if matches!(step.instance.phase, Phase::CompensationFailed { .. }) {
            return self.replace_failed(step, &Progress::Skipped, &trigger);
        }
        step.pass(trigger, Verdict::Ignored, "no compensation has failed");
    }

    fn replace_failed(&self, step: &mut Step<S>, by: &Progress, trigger: &Trigger) {
        for other in &mut step.instance.compensations {
            if matches!(other.progress, Progress::Failed { .. }) {
                other.progress = by.clone();
            }
        }
        step.pass(trigger.clone(), Verdict::Handled, "");
        self.go_on_compensating(step, trigger);
    }

    fn fire(&self, step: &mut Step<S>, name: &str, trigger: Trigger) -> Result<(), HandlerError> {
        if !step.stop_timer(&TimerId::Named(name.to_owned())) {
            step.pass(trigger, Verdict::Ignored, "the timer is not set");
            return Ok(());
        }
        step.pass(trigger, Verdict::Handled, "");
        self.ring(step, name)
    }

    fn cancel(&self, step: &mut Step<S>, trigger: Trigger) {
        if !matches!(step.instance.phase, Phase::Running | Phase::Suspended { .. }) {
            return step.pass(trigger, Verdict::Ignored, "it is over, or being undone");
        }
        if step.instance.pivoted {
            return step.pass(trigger, Verdict::Ignored, "it is past the point of no return");
        }
        let from = Some(step.instance.state.state().to_owned());
        let cleared = step.stop_timers();
        step.instance.phase = Phase::Compensating { then: None };
        step.note(
            trigger.clone(),
            Verdict::Handled,
            Account { from, cleared, ..Account::default() },
        );
        self.compensate(step, &trigger);
    }
}
