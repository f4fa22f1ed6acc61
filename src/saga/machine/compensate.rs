//! Undoing what was done: the last turn's steps first, those of one turn together.

use std::time::Duration;

use super::{
    Arrived, Compensation, Machine, Phase, Progress, Step, TimerId, Trigger, Verdict, step::Account,
};
use crate::{
    policy::Attempt,
    saga::definition::{OnCompensationFailure, Saga},
};

/// How long the answer to a compensation is waited for that is sent once.
const ONLY_WAIT: Duration = Duration::from_mins(1);

impl<S: Saga> Machine<S> {
    /// Sends what is next to be undone, or ends the saga if nothing is.
    pub(super) fn compensate(&self, step: &mut Step<S>, trigger: &Trigger) {
        while let Some(turn) = self.next_turn(step) {
            for at in 0..step.instance.compensations.len() {
                let other = &step.instance.compensations[at];
                if other.turn == turn && other.progress == Progress::Registered {
                    self.send_compensation(step, at, trigger);
                }
            }
            let of_turn = || step.instance.compensations.iter().filter(|other| other.turn == turn);
            if of_turn().any(|other| matches!(other.progress, Progress::Sent { .. })) {
                return;
            }
            let has_failed =
                of_turn().any(|other| matches!(other.progress, Progress::Failed { .. }));
            if has_failed && self.halts_at_failure() {
                return step.halt_compensation();
            }
        }
        let has_failed =
            |step: &Step<S>| step.instance.compensations.iter().any(|it| it.progress.has_failed());
        if has_failed(step) {
            return step.halt_compensation();
        }
        step.end_compensated(trigger);
    }

    fn halts_at_failure(&self) -> bool {
        self.define.on_compensation_failure == OnCompensationFailure::Halt
    }

    /// The last turn of which something is left to be undone.
    fn next_turn(&self, step: &Step<S>) -> Option<u64> {
        let halts = self.halts_at_failure();
        let all = step.instance.compensations.iter();
        let left = all.filter(|other| match other.progress {
            Progress::Registered | Progress::Sent { .. } => true,
            Progress::Failed { .. } => halts,
            Progress::Done | Progress::Skipped => false,
        });
        left.map(|other| other.turn).max()
    }

    fn send_compensation(&self, step: &mut Step<S>, at: usize, trigger: &Trigger) {
        let Compensation { name, event, payload, progress, .. } = &step.instance.compensations[at];
        let kind = self.define.compensations.get(&**event);
        let kind = kind.ok_or_else(|| format!("this build does not know `{event}`"));
        let restored = kind.and_then(|kind| Ok((kind, (kind.restore)(payload.bytes())?)));
        let (kind, event) = match restored {
            Ok(restored) => restored,
            Err(why) => {
                step.instance.compensations[at].progress = Progress::Failed { why };
                return;
            }
        };
        let (attempts, first, previous) = match *progress {
            Progress::Sent { attempts, first, previous } => (attempts + 1, first, Some(previous)),
            _ => (1, step.moment.now, None),
        };
        let note = Some(format!("undoes `{name}`, attempt {attempts}"));
        let sent = vec![event.name().to_owned()];
        step.sends.push(event);
        if kind.answer.is_some() {
            let elapsed = step.moment.now.since(first);
            let attempt =
                Attempt { failed: attempts, elapsed, previous: previous.unwrap_or_default() };
            let delay = kind.retry.next_delay(attempt, step.moment.random);
            // After the last attempt, its answer is waited for as long as before.
            let delay = delay.or(previous).unwrap_or(ONLY_WAIT);
            step.instance.compensations[at].progress =
                Progress::Sent { attempts, first, previous: delay };
            step.set_timer(TimerId::Compensation(at), delay);
        } else {
            step.instance.compensations[at].progress = Progress::Done;
        }
        let from = Some(step.instance.state.state().to_owned());
        step.note(
            trigger.clone(),
            Verdict::Handled,
            Account { from, sent, note, ..Account::default() },
        );
    }

    /// No answer has come in time.
    pub(super) fn answer_is_due(&self, step: &mut Step<S>, at: usize) {
        let Some(other) = step.instance.compensations.get(at) else { return };
        let Progress::Sent { attempts, first, previous } = other.progress else { return };
        let trigger = Trigger::Compensation { name: other.name.clone() };
        let elapsed = step.moment.now.since(first);
        let attempt = Attempt { failed: attempts, elapsed, previous };
        let kind = self.define.compensations.get(&*other.event);
        let goes_on = kind.and_then(|kind| kind.retry.next_delay(attempt, step.moment.random));
        if goes_on.is_some() {
            return self.send_compensation(step, at, &trigger);
        }
        let why = format!("no answer to `{}` after {attempts} attempts", other.event);
        step.instance.compensations[at].progress = Progress::Failed { why: why.clone() };
        step.pass(trigger.clone(), Verdict::Halted, &why);
        self.compensate(step, &trigger);
    }

    /// An event comes while steps are being undone: an answer, or else too late.
    pub(super) fn answer(&self, step: &mut Step<S>, arrived: Arrived<'_>) {
        let all = &step.instance.compensations;
        let found = all.iter().position(|other| {
            let is_asked = !matches!(other.progress, Progress::Registered | Progress::Done);
            let kind = self.define.compensations.get(&*other.event);
            let answer = kind.and_then(|kind| kind.answer.as_ref());
            let answer = answer.filter(|answer| is_asked && answer.event == arrived.name);
            answer.is_some_and(|answer| (answer.is_for)(other.payload.bytes(), arrived.event))
        });
        let Some(at) = found else {
            return step.pass(arrived.trigger(), Verdict::Late, "steps are being undone");
        };
        step.stop_timer(&TimerId::Compensation(at));
        let other = &mut step.instance.compensations[at];
        other.progress = Progress::Done;
        let note = format!("`{}` is undone", other.name);
        step.pass(arrived.trigger(), Verdict::Handled, &note);
        self.go_on_compensating(step, &arrived.trigger());
    }

    /// After an answer, or an operator's word.
    pub(super) fn go_on_compensating(&self, step: &mut Step<S>, trigger: &Trigger) {
        let phase = std::mem::replace(&mut step.instance.phase, Phase::Running);
        step.instance.phase = match phase {
            Phase::CompensationFailed { then, .. } => Phase::Compensating { then },
            other => other,
        };
        self.compensate(step, trigger);
    }
}

impl<S: Saga> Step<S> {
    fn halt_compensation(&mut self) {
        let failed = self.instance.compensations.iter().find_map(|other| match &other.progress {
            Progress::Failed { why } => {
                Some(format!("`{}` could not be undone: {why}", other.name))
            }
            _ => None,
        });
        let why = failed.unwrap_or_default();
        let then = self.take_goal();
        self.halt(Phase::CompensationFailed { then, why: why.clone() }, &why);
    }

    /// Where it goes once everything is undone.
    fn take_goal(&mut self) -> Option<S> {
        match std::mem::replace(&mut self.instance.phase, Phase::Running) {
            Phase::Compensating { then } | Phase::CompensationFailed { then, .. } => then,
            _ => None,
        }
    }

    fn end_compensated(&mut self, trigger: &Trigger) {
        let from = self.instance.state.state().to_owned();
        let then = self.take_goal();
        let over = if then.is_some() { Phase::Completed } else { Phase::Cancelled };
        if let Some(state) = then {
            self.instance.state = state;
        }
        let note = Some("everything is undone".to_owned());
        let account = Account { from: Some(from), note, ..Account::default() };
        self.note(trigger.clone(), Verdict::Handled, account);
        self.end(over);
    }
}

impl Progress {
    fn has_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}
