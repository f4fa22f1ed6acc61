//! One instance of a saga that is tried out: its machine, what would be stored, and a clock.

use std::{collections::VecDeque, time::Duration};

use crate::{
    delivery::HandlerError,
    event::{Event, Key},
    message::MessageId,
    runtime::Timestamp,
    saga::{
        Arrived, Condition, Instance, Machine, Moment, Outcome, Outgoing, Saga, Step, TimerId,
        Verdict, WaitingEvent, read,
    },
};

pub(super) struct Trial<S: Saga> {
    machine: Machine<S>,
    key: Option<Key>,
    /// The instance as it would be stored.
    stored: Option<Vec<u8>>,
    parked: Vec<WaitingEvent>,
    now: Timestamp,
    ids: u64,
    pub(super) sent: VecDeque<Box<dyn Outgoing>>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) refused: Option<HandlerError>,
}

impl<S: Saga> Trial<S> {
    #[track_caller]
    pub(super) fn new() -> Self {
        match Machine::new() {
            Ok(machine) => Self::of(machine),
            Err(error) => panic!("{error}"),
        }
    }

    fn of(machine: Machine<S>) -> Self {
        Self {
            machine,
            key: None,
            stored: None,
            parked: Vec::new(),
            now: Timestamp::from_nanos(1_700_000_000_000_000_000),
            ids: 0,
            sent: VecDeque::new(),
            verdicts: Vec::new(),
            refused: None,
        }
    }

    /// The same from the beginning.
    pub(super) fn anew(self) -> Self {
        Self::of(self.machine)
    }

    /// Something else comes: what came before was looked at.
    pub(super) fn begin(&mut self) {
        self.sent.clear();
        self.verdicts.clear();
        self.refused = None;
    }

    pub(super) fn new_id(&mut self) -> MessageId {
        self.ids += 1;
        MessageId::from_bytes(u128::from(self.ids).to_be_bytes())
    }

    #[track_caller]
    pub(super) fn feed<E: Event>(&mut self, event: &E, id: MessageId) {
        assert!(self.machine.knows(E::NAME), "`{}` does not know `{}`", S::NAME, E::NAME);
        let Some(key) = self.machine.key_of(E::NAME, event, event.key()) else {
            panic!("`{}` names no instance: it has no key", E::NAME);
        };
        let own = self.key.get_or_insert_with(|| key.clone());
        assert!(*own == key, "`{}` is about `{key}`, and the test about `{own}`", E::NAME);
        let arrived = Arrived { name: E::NAME, id, event };
        match self.instance() {
            Some(instance) => {
                let stepped = self.machine.event(&key, instance, arrived, self.moment());
                self.take_step(stepped);
            }
            None => self.feed_first(&key, arrived),
        }
    }

    fn feed_first(&mut self, key: &Key, arrived: Arrived<'_>) {
        match self.machine.first_event(key, self.parked.clone(), arrived, self.moment()) {
            Ok(Outcome::Step(step)) => {
                self.parked.clear();
                self.take_step(Ok(*step));
            }
            Ok(Outcome::Park(waiting)) => self.parked.push(waiting),
            Ok(Outcome::PassedOver) => {}
            Err(error) => self.refused = Some(error),
        }
    }

    /// What would be committed.
    fn take_step(&mut self, stepped: Result<Step<S>, HandlerError>) {
        match stepped {
            Ok(step) => {
                self.sent.extend(step.sends);
                self.verdicts.extend(step.history.iter().map(|entry| entry.verdict));
                let kept = (!step.purge).then(|| serde_json::to_vec(&step.instance));
                self.stored = kept.transpose().unwrap_or_default();
            }
            Err(error) => self.refused = Some(error),
        }
    }

    /// Time passes; timers go off on the way.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now.plus(time);
        while self.ring_next(Some(until)) {}
        self.now = until;
    }

    /// Has the next timer go off, if it is due until then. False where there is none.
    pub(super) fn ring_next(&mut self, until: Option<Timestamp>) -> bool {
        let Some(instance) = self.instance() else { return false };
        let next = instance.timers.iter().min_by_key(|timer| (timer.due, timer.epoch));
        let Some(next) = next.filter(|timer| until.is_none_or(|until| timer.due <= until)) else {
            return false;
        };
        let (id, epoch) = (next.id.clone(), next.epoch);
        self.now = self.now.max(next.due);
        let Some(key) = self.key.clone() else { return false };
        let stepped = self.machine.timer(&key, instance, (&id, epoch), self.moment());
        self.take_step(stepped);
        // An error would be a dead letter, and the timer would not come again.
        self.refused.is_none()
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, random: u64::MAX }
    }

    fn instance(&self) -> Option<Instance<S>> {
        read(self.stored.as_ref()?).ok()
    }

    pub(super) fn state(&self) -> Option<S> {
        Some(self.instance()?.state)
    }

    pub(super) fn condition(&self) -> Option<Condition> {
        Some(Condition::of(&self.instance()?.phase))
    }

    /// How far away a timer of the saga's own is.
    pub(super) fn timer(&self, name: &str) -> Option<Duration> {
        let instance = self.instance()?;
        let wanted = TimerId::Named(name.to_owned());
        let timer = instance.timers.iter().find(|timer| timer.id == wanted)?;
        Some(timer.due.since(self.now))
    }

    pub(super) fn parked(&self) -> Vec<String> {
        self.parked.iter().map(|waiting| waiting.name.clone()).collect()
    }
}
