//! Events that are handled together: they are gathered until there are enough, or the first has
//! waited long enough.
//!
//! Only what was never tried joins others. A batch that fails says of none of its events that it is at
//! fault; each of them is then handled by itself. An event that cannot join what is gathered of its key
//! has the handler called with that first.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use super::{Held, Lane, outcome::LONGEST_DELAY};
use crate::{
    contract::NameId,
    delivery::{
        HandlerError,
        attempt::{Attempted, Ready, prepare},
        batched::{Batching, Item},
        context::Staged,
        dead_letter::Verdict,
        gate::Pass,
        ledger::Skip,
    },
    event::Key,
    journal::Mistake,
    policy::Attempt,
    runtime::Tick,
};

/// What a lane gathers, by handler.
#[derive(Default)]
pub(super) struct Gatherings(BTreeMap<NameId, Gathering>);

struct Gathering {
    events: Vec<(Held, Item)>,
    keys: BTreeSet<Key>,
    max: usize,
    /// When the handler is called with those that are there.
    due: Tick,
}

impl Gatherings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(|gathering| gathering.events.len()).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.0.values().flat_map(|gathering| gathering.events.iter().map(|(held, _)| held))
    }

    /// Which of them has an event of that key.
    fn with(&self, key: Option<&Key>) -> Option<NameId> {
        let key = key?;
        let mut all = self.0.iter();
        all.find_map(|(kind, gathering)| gathering.keys.contains(key).then_some(*kind))
    }

    /// Adds an event. True if there are enough.
    fn add(&mut self, batching: &Batching, mut held: Held, item: Item, now: Tick) -> bool {
        // One that was scattered has waited before.
        let since = *held.gathered.get_or_insert(now);
        let due = since.saturating_add(batching.linger);
        let gathering = self.0.entry(held.entry.kind).or_insert_with(|| Gathering {
            events: Vec::new(),
            keys: BTreeSet::new(),
            max: batching.max,
            due,
        });
        gathering.due = gathering.due.min(due);
        gathering.keys.extend(held.key().cloned());
        gathering.events.push((held, item));
        gathering.is_full()
    }

    fn take_due(&self, now: Tick) -> Vec<NameId> {
        let is_due = |gathering: &Gathering| gathering.is_full() || gathering.due <= now;
        let due = self.0.iter().filter(|(_, gathering)| is_due(gathering));
        due.map(|(kind, _)| *kind).collect()
    }

    fn next_due(&self) -> Option<Tick> {
        self.0.values().map(|gathering| gathering.due).min()
    }
}

impl Gathering {
    fn is_full(&self) -> bool {
        self.events.len() >= self.max
    }
}

impl Lane {
    /// Whether an event is to be handled together with others.
    pub(super) fn joins_batch(&self, held: &Held) -> bool {
        let registered = self.subscriber.handlers.get(&held.entry.kind);
        registered.is_some_and(|registered| registered.run.batching.is_some())
            && held.is_fresh()
            && !(held.is_alone || held.is_suspect || self.careful > 0)
            && !self.is_broken()
    }

    fn is_broken(&self) -> bool {
        self.subscriber.gate.as_ref().is_some_and(|gate| gate.is_broken())
    }

    /// Calls the handler with what is gathered of an event's key, unless the event can join that. False
    /// if something of the key waits all the same.
    pub(super) fn is_next_of_its_key(&mut self, held: &Held) -> bool {
        let Some(kind) = self.gatherings.with(held.key()) else { return true };
        if kind == held.entry.kind && self.joins_batch(held) {
            return true;
        }
        self.call_batch(kind);
        self.gatherings.with(held.key()).is_none() && !self.parked.has_head(held.key())
    }

    /// Has an event wait for others. True if its key may go on.
    pub(super) fn gather(&mut self, mut held: Held) -> bool {
        self.batch.attempts += 1;
        let subscriber = Arc::clone(&self.subscriber);
        let ready = match prepare(&subscriber, &mut held) {
            ControlFlow::Continue(ready) => ready,
            ControlFlow::Break(attempted) => {
                return self.conclude(held, Pass::default(), attempted);
            }
        };
        let Some(batching) = &ready.registered.run.batching else { return false };
        match batching.wants(&ready.event) {
            Ok(true) => {}
            Ok(false) => {
                let skipped = Attempted::Succeeded(Staged::skipped(Skip::Filtered));
                return self.conclude(held, Pass::default(), skipped);
            }
            Err(error) => return self.fail(held, Pass::default(), error),
        }
        let Some(held) = self.admit_to_batch(held) else { return false };
        let context = ready.context(&subscriber, &held);
        let Ready { event, .. } = ready;
        let (kind, key, now) = (held.entry.kind, held.key().cloned(), self.now());
        if self.gatherings.add(batching, held, Item::new(event, context), now) {
            self.call_batch(kind);
            return !self.parked.has_head(key.as_ref());
        }
        true
    }

    /// Calls the handlers for which enough is there, or has waited long enough.
    pub(super) fn call_due_batches(&mut self) {
        if self.gatherings.is_empty() {
            return;
        }
        for kind in self.gatherings.take_due(self.now()) {
            self.call_batch(kind);
        }
    }

    /// Wakes the lane when the next batch is due. One that waits for room to be handled does not need that:
    /// the lane is woken when there is some.
    pub(super) fn wake_for_batches(&mut self, shut_out: bool) {
        if let Some(due) = self.gatherings.next_due()
            && (due > self.now() || !shut_out)
        {
            self.wake_at(due);
        }
    }

    /// Parks all that is gathered.
    pub(super) fn scatter_all(&mut self) {
        let gatherings = std::mem::take(&mut self.gatherings);
        if self.subscriber.is_planted(Mistake::PauseLosesGathered) {
            return;
        }
        gatherings.0.into_values().for_each(|gathering| self.scatter(gathering));
    }

    fn scatter(&mut self, gathering: Gathering) {
        for (held, _) in gathering.events {
            self.put_back(held);
        }
    }

    /// Nothing has become of it.
    fn put_back(&mut self, mut held: Held) {
        self.leave_inbox(&mut held);
        self.parked.put_back(held, self.now());
    }

    /// Calls a handler with what is gathered for it, if there is room to.
    fn call_batch(&mut self, kind: NameId) {
        let subscriber = Arc::clone(&self.subscriber);
        let Some(batching) =
            subscriber.handlers.get(&kind).and_then(|known| known.run.batching.as_ref())
        else {
            return;
        };
        if self.is_broken() {
            if let Some(gathering) = self.gatherings.0.remove(&kind) {
                self.scatter(gathering);
            }
            return;
        }
        let pass = match &subscriber.gate {
            Some(gate) => gate.admit_batch(self.number, self.now()),
            None => Some(Pass::default()),
        };
        let Some(pass) = pass else { return };
        let Some(gathering) = self.gatherings.0.remove(&kind) else { return };
        let (mut held, mut items): (Vec<_>, Vec<_>) = gathering.events.into_iter().unzip();
        for held in &mut held {
            held.gathered = None;
        }
        let clocked_in = self.clock_in(held.first().map(Held::position));
        let result = subscriber.call_batch_probed(&mut items, |items| batching.call(items));
        self.clock_out(clocked_in);
        self.conclude_batch(held, items, pass, result);
    }

    fn conclude_batch(
        &mut self,
        all: Vec<Held>,
        mut items: Vec<Item>,
        pass: Pass,
        result: Result<(), HandlerError>,
    ) {
        let mut result = result.map_err(|error| self.judge(error));
        if let ([only], Err(_)) = (items.as_mut_slice(), &result) {
            only.failure = only.failure.take().or(std::mem::replace(&mut result, Ok(())).err());
        }
        for item in &mut items {
            item.failure = item.take_failure().map(|error| self.judge(error));
        }
        self.leave_gate_with_batch(pass, has_failed(&items, &result));
        let mut waiting = BTreeSet::new();
        for (held, item) in all.into_iter().zip(items) {
            let key = held.key().cloned();
            if key.as_ref().is_some_and(|key| waiting.contains(key)) {
                self.put_back(held);
                continue;
            }
            let was_busy = self.parked.is_busy(&held);
            if self.conclude_one(held, item, result.as_ref().err()) {
                continue;
            }
            if let Some(key) = key {
                if was_busy {
                    self.parked.line_up(&key);
                }
                waiting.insert(key);
            }
        }
    }

    /// True if the event is settled.
    fn conclude_one(&mut self, mut held: Held, item: Item, whole: Option<&HandlerError>) -> bool {
        if self.is_behind(&held) {
            // A letter was made of one before it.
            self.leave_inbox(&mut held);
            return self.bury(held, Verdict::behind());
        }
        match (item.failure, whole) {
            (Some(error), _) => self.fail(held, Pass::default(), error),
            (None, None) => self.succeed(&mut held, item.context.staged),
            (None, Some(error)) => {
                self.fail_together(held, error);
                false
            }
        }
    }

    /// A batch has failed with it, which is no attempt of its own.
    fn fail_together(&mut self, mut held: Held, error: &HandlerError) {
        self.leave_inbox(&mut held);
        held.is_alone = true;
        self.subscriber.counters.retried.add(1);
        let attempt = Attempt { failed: 1, elapsed: Duration::ZERO, previous: Duration::ZERO };
        let policy = || self.subscriber.policy.retry.next_delay(attempt, self.random());
        let delay = error.delay().or_else(policy).unwrap_or_default().min(LONGEST_DELAY);
        tracing::debug!(subscription = &*self.subscriber.name, position = %held.position(),
            event = &*held.entry.envelope.name, ?delay, error = error.describe(),
            "a batch failed; the event will be handled by itself");
        self.subscriber.probed.retries(&self.subscriber, &held.entry, delay);
        self.parked.park(held, self.now().saturating_add(delay));
    }
}

/// Whether what the handler calls seems to be at fault.
fn has_failed(items: &[Item], result: &Result<(), HandlerError>) -> bool {
    let may_be_retried = |error: &HandlerError| !error.is_rejection();
    match result {
        Err(error) => may_be_retried(error),
        Ok(()) => items.iter().all(|item| item.failure.as_ref().is_some_and(may_be_retried)),
    }
}
