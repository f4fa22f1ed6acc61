//! One step of an instance: what it comes to, and what is to be done.

use std::time::Duration;

use super::{
    Compensation, HistoryEntry, Instance, Limits, Machine, Moment, Payload, Phase, Progress,
    SetTimer, TimerId, Trigger, Verdict, instance::Pace,
};
use crate::{
    event::Key,
    message::{MessageId, Scheduled},
    saga::{
        definition::Saga,
        outgoing::Outgoing,
        turn::{About, Effects, Registration, TimerChange},
    },
};

const MINUTE: Duration = Duration::from_mins(1);

/// One step of an instance: what it comes to, and what is to be done. All of it commits together.
pub(crate) struct Step<S> {
    pub(crate) key: Key,
    pub(crate) instance: Instance<S>,
    pub(crate) sends: Vec<Box<dyn Outgoing>>,
    /// Timers to be set, by epoch, with their delays.
    pub(crate) set: Vec<(u64, Duration)>,
    pub(crate) stopped: Vec<Scheduled>,
    pub(crate) history: Vec<HistoryEntry>,
    /// Nothing of the instance is to be kept.
    pub(crate) purge: bool,
    /// Why it needs an operator, if it has come to that.
    pub(crate) halted: Option<String>,
    pub(super) moment: Moment,
    pub(super) limits: Limits,
    version: u32,
}

/// What goes into the history beside what is plain from the instance.
#[derive(Default)]
pub(super) struct Account {
    pub(super) from: Option<String>,
    pub(super) sent: Vec<String>,
    pub(super) set: Vec<String>,
    pub(super) cleared: Vec<String>,
    pub(super) note: Option<String>,
}

impl<S: Saga> Step<S> {
    pub(super) fn new(
        machine: &Machine<S>,
        key: &Key,
        mut instance: Instance<S>,
        moment: Moment,
    ) -> Self {
        instance.version = S::VERSION;
        Self {
            key: key.clone(),
            instance,
            sends: Vec::new(),
            set: Vec::new(),
            stopped: Vec::new(),
            history: Vec::new(),
            purge: false,
            halted: None,
            moment,
            limits: machine.define.limits,
            version: S::VERSION,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.instance.phase, Phase::Running)
    }

    /// What a handler is told.
    pub(super) fn about(&self, message: Option<MessageId>) -> About {
        let (key, revision) = (self.key.clone(), self.instance.revision);
        About { key, message, now: self.moment.now, revision }
    }

    /// Counts one more transition, and suspends the instance if there were too many within a minute.
    pub(super) fn goes_in_circles(&mut self) -> bool {
        let now = self.moment.now;
        let pace = &mut self.instance.pace;
        if now.since(pace.since) >= MINUTE {
            *pace = Pace { since: now, transitions: 0 };
        }
        pace.transitions += 1;
        let most = self.limits.transitions_a_minute;
        if pace.transitions <= most {
            return false;
        }
        let why = format!("more than {most} transitions within a minute");
        self.halt(Phase::Suspended { why: why.clone() }, &why);
        true
    }

    /// Does what a turn asks for, besides the next state.
    pub(super) fn take(&mut self, effects: Effects) -> Account {
        let mut account = Account::default();
        account.sent.extend(effects.sends.iter().map(|event| event.name().to_owned()));
        self.sends.extend(effects.sends);
        for timer in effects.timers {
            match timer {
                TimerChange::Set(name, after) => {
                    self.set_timer(TimerId::Named(name.to_owned()), after);
                    account.set.push(name.to_owned());
                }
                TimerChange::Clear(name) => {
                    if self.stop_timer(&TimerId::Named(name.to_owned())) {
                        account.cleared.push(name.to_owned());
                    }
                }
            }
        }
        let turn = self.instance.revision + 1;
        for name in effects.forgotten {
            self.instance.compensations.retain(|other| other.name != name);
        }
        for Registration { name, event, payload } in effects.compensations {
            self.register(name, event, payload, turn);
        }
        if effects.pivots {
            self.instance.pivoted = true;
        }
        if self.instance.pivoted {
            self.instance.compensations.clear();
        }
        account
    }

    /// A later registration takes the place of an earlier one.
    fn register(&mut self, name: String, event: &str, payload: Payload, turn: u64) {
        let event = event.to_owned();
        let all = &mut self.instance.compensations;
        match all.iter_mut().find(|other| other.name == name) {
            Some(other) => (other.event, other.payload) = (event, payload),
            None => {
                let progress = Progress::Registered;
                all.push(Compensation { name, event, payload, turn, progress });
            }
        }
    }

    /// Writes the next line of the history.
    pub(super) fn note(&mut self, trigger: Trigger, verdict: Verdict, account: Account) {
        self.instance.revision += 1;
        self.instance.changed = self.moment.now;
        self.history.push(HistoryEntry {
            revision: self.instance.revision,
            at: self.moment.now,
            trigger,
            verdict,
            from: account.from,
            to: self.instance.state.state().to_owned(),
            sent: account.sent,
            timers_set: account.set,
            timers_cleared: account.cleared,
            note: account.note,
            version: self.version,
        });
    }

    /// The same for what changes nothing.
    pub(super) fn pass(&mut self, trigger: Trigger, verdict: Verdict, note: &str) {
        let from = Some(self.instance.state.state().to_owned());
        let note = (!note.is_empty()).then(|| note.to_owned());
        self.note(trigger, verdict, Account { from, note, ..Account::default() });
    }

    pub(super) fn set_timer(&mut self, id: TimerId, after: Duration) {
        self.stop_timer(&id);
        self.instance.epoch += 1;
        let (epoch, due) = (self.instance.epoch, self.moment.now.plus(after));
        self.instance.timers.push(SetTimer { id, epoch, due, scheduled: None });
        self.set.push((epoch, after));
    }

    /// False where it was not set.
    pub(super) fn stop_timer(&mut self, id: &TimerId) -> bool {
        let Some(at) = self.instance.timers.iter().position(|timer| timer.id == *id) else {
            return false;
        };
        let timer = self.instance.timers.swap_remove(at);
        self.forget_timer(&timer);
        true
    }

    pub(super) fn stop_timers(&mut self) -> Vec<String> {
        let timers = std::mem::take(&mut self.instance.timers);
        for timer in &timers {
            self.forget_timer(timer);
        }
        let named = timers.into_iter().filter_map(|timer| match timer.id {
            TimerId::Named(name) => Some(name),
            TimerId::Compensation(_) | TimerId::Purge => None,
        });
        named.collect()
    }

    fn forget_timer(&mut self, timer: &SetTimer) {
        self.set.retain(|(epoch, _)| *epoch != timer.epoch);
        self.stopped.extend(timer.scheduled);
    }

    /// It waits for an operator.
    pub(super) fn halt(&mut self, phase: Phase<S>, why: &str) {
        self.instance.phase = phase;
        self.halted = Some(why.to_owned());
    }

    /// The saga is over.
    pub(super) fn end(&mut self, phase: Phase<S>) {
        self.instance.phase = phase;
        self.instance.compensations.clear();
        self.stop_timers();
        for waiting in std::mem::take(&mut self.instance.waiting) {
            self.pass(waiting.into_trigger(), Verdict::Late, "it waited until the saga was over");
        }
        if self.limits.keep_completed.is_zero() {
            self.purge = true;
            return;
        }
        self.set_timer(TimerId::Purge, self.limits.keep_completed);
    }
}
