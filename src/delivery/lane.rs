//! A lane: one event of a key at a time, in order, other keys going on.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    DeadLetter, DeadLetterReason, HandlerError, Subscriber,
    attempt::{Attempted, attempt},
    batch::Batch,
    context::Staged,
    cursor::{Cursor, Hole},
    dead_letter::Verdict,
    keys,
    lane_handle::{Inbound, LaneHandle},
    parking::{Held, Parked},
};
use crate::{
    journal::{Entry, Phase, ReaderId, Taken, Ticket},
    message::Position,
    policy::Attempt,
    runtime::{Step, Tick, Timestamp},
};

/// A turn ends after so many attempts or so much time, so that outputs show and others get on.
const TURN: (usize, Duration) = (256, Duration::from_millis(2));

/// How many events a lane takes from the tail at once.
const TAKE: usize = 64;

/// The pause after storage failed to read, or while the dead letters are full.
const PAUSE: Duration = Duration::from_secs(1);

/// A cursor that only skipped events of others is stored when it has moved this far.
const SKIPPED: u64 = 65_536;

/// The body of a lane's task. Only that task touches it.
pub(super) struct Lane {
    subscriber: Arc<Subscriber>,
    handle: Arc<LaneHandle>,
    reader: ReaderId,
    /// Taken from the journal, not yet looked at.
    backlog: VecDeque<Arc<Entry>>,
    /// Everything before it has been taken from the journal.
    scanned: Position,
    /// The frontier of the stored cursor.
    stored: Position,
    parked: Parked,
    /// Being handled elsewhere.
    running: BTreeMap<Position, Held>,
    batch: Batch,
    /// On its way to storage, with the number of events that it settles.
    commit: Option<(Arc<Ticket>, u64)>,
    /// Unacknowledged events of an earlier run, to be loaded first.
    unloaded: Vec<Hole>,
    turn_end: Tick,
    /// The timer that is set, if it is still to come.
    armed: Option<Tick>,
    failed: bool,
}

impl Lane {
    pub(super) fn new(
        subscriber: Arc<Subscriber>,
        handle: Arc<LaneHandle>,
        reader: ReaderId,
        cursor: Cursor,
    ) -> Self {
        let frontier = Position::new(cursor.frontier).unwrap_or(Position::FIRST);
        Self {
            subscriber,
            handle,
            reader,
            backlog: VecDeque::new(),
            scanned: frontier,
            stored: frontier,
            parked: Parked::default(),
            running: BTreeMap::new(),
            batch: Batch::default(),
            commit: None,
            unloaded: cursor.holes,
            turn_end: Tick::ZERO,
            armed: None,
            failed: false,
        }
    }

    /// One turn. It ends with a commit on its way, or at rest.
    pub(super) fn step(&mut self) -> Step {
        let step = self.turn();
        if self.commit.is_none() {
            self.handle.report(self.low(), self.running.len());
        }
        step
    }

    fn turn(&mut self) -> Step {
        if self.failed || !self.settle_commit() {
            return Step::Wait;
        }
        // What comes in while the subscription is to rest is parked instead of handled.
        let rests = self.subscriber.is_stopping() || self.subscriber.is_paused();
        self.turn_end = if rests { Tick::ZERO } else { self.now() + TURN.1 };
        self.receive();
        if self.subscriber.is_stopping() {
            return self.finish();
        }
        if self.subscriber.is_paused() {
            return self.flush(Phase::Stopped);
        }
        if !self.load() {
            return self.rest_until(self.now() + PAUSE, Phase::Working);
        }
        self.deliver_due();
        let more = self.deliver_new();
        if self.commit_batch(false) || more {
            return self.next_step();
        }
        self.flush(self.phase())
    }

    /// True once no commit is on its way.
    fn settle_commit(&mut self) -> bool {
        let Some((ticket, settled)) = &self.commit else { return true };
        match ticket.take() {
            None => false,
            Some(Ok(_)) => {
                self.handle.settled(*settled);
                self.commit = None;
                true
            }
            Some(Err(rejected)) => {
                self.fail(&rejected.failure);
                false
            }
        }
    }

    /// Storage takes no more, so going on would only do again what cannot be kept.
    fn fail(&mut self, error: &dyn std::error::Error) {
        self.failed = true;
        self.subscriber.fail(error);
        self.set_phase(Phase::Stopped);
    }

    fn receive(&mut self) {
        for inbound in self.handle.receive() {
            self.set_phase(Phase::Working);
            match inbound {
                Inbound::Finished { position, result } => self.finished(position, result),
                Inbound::Revive(held) => self.revive(held),
            }
        }
    }

    fn finished(&mut self, position: Position, result: Result<Staged, HandlerError>) {
        let Some(held) = self.running.remove(&position) else {
            return;
        };
        self.batch.attempts += 1;
        let key = held.key().cloned();
        let resolved = match result {
            Ok(staged) => self.succeed(&held, staged),
            Err(_) if self.is_discarded(&held) => true,
            Err(error) => self.retry(held, &error),
        };
        if resolved && let Some(next) = self.parked.release(key.as_ref()) {
            self.deliver(next);
        }
    }

    fn revive(&mut self, held: Held) {
        self.subscriber.journal.tail().arrived(self.reader);
        let position = held.position();
        if self.running.contains_key(&position)
            || self.parked.iter().any(|other| other.position() == position)
        {
            return;
        }
        self.parked.queue(held, self.now());
    }

    /// Loads what an earlier run left unacknowledged. False where storage cannot be read now.
    fn load(&mut self) -> bool {
        let journal = Arc::clone(&self.subscriber.journal);
        while let Some(hole) = self.unloaded.first().copied() {
            let Some(position) = Position::new(hole.position) else {
                return true;
            };
            let entry = match journal.read(position, position.next()) {
                Ok(entries) => entries.into_iter().next(),
                Err(error) => {
                    tracing::error!(subscription = &*self.subscriber.name, %position, %error,
                        "an unacknowledged event cannot be read; trying again");
                    return false;
                }
            };
            self.unloaded.remove(0);
            if let Some(entry) = entry {
                self.reload(hole, Arc::new(entry));
            }
        }
        true
    }

    fn reload(&mut self, hole: Hole, entry: Arc<Entry>) {
        self.handle.took(1, Some(entry.position));
        let mut held = Held::new(entry);
        held.attempts = hole.attempts;
        held.first_failed =
            (hole.first_failed > 0).then(|| Timestamp::from_nanos(hole.first_failed));
        if self.parked.is_busy(&held) {
            return self.parked.queue(held, self.now());
        }
        // Spread, so that a restart does not try everything at one moment.
        let attempt = Attempt {
            failed: held.attempts.max(1),
            elapsed: Duration::ZERO,
            previous: Duration::ZERO,
        };
        let delay = match held.attempts {
            0 => Duration::ZERO,
            _ => {
                self.subscriber.policy.retry.next_delay(attempt, self.random()).unwrap_or_default()
            }
        };
        self.parked.park(held, self.now() + delay);
    }

    fn deliver_due(&mut self) {
        while !self.turn_is_over() && self.has_room_to_run() {
            let Some(held) = self.parked.take_due(self.now()) else {
                return;
            };
            self.set_phase(Phase::Working);
            self.deliver(held);
        }
    }

    /// True if there may be more to deliver right away.
    fn deliver_new(&mut self) -> bool {
        while !self.turn_is_over() {
            if !self.has_room_to_run() || !self.has_room_to_hold() {
                return false;
            }
            if self.backlog.is_empty() && !self.fetch() {
                return false;
            }
            let Some(entry) = self.backlog.pop_front() else { continue };
            let held = Held::new(entry);
            if self.parked.is_busy(&held) {
                self.parked.queue(held, self.now());
            } else {
                self.deliver(held);
            }
        }
        true
    }

    /// Gets more events from the journal. False if there are none.
    fn fetch(&mut self) -> bool {
        let subscriber = Arc::clone(&self.subscriber);
        let tail = subscriber.journal.tail();
        match tail.take(self.reader, TAKE) {
            Taken::Entries { entries, frontier } => {
                let moved = frontier > self.scanned;
                self.scanned = frontier;
                self.keep(entries);
                moved
            }
            Taken::Behind { from, to } => match subscriber.journal.read(from, to) {
                Ok(entries) if !entries.is_empty() => {
                    self.scanned = from.plus(entries.len() as u64);
                    let lane = self.reader.lane;
                    let entries = entries.into_iter().map(Arc::new);
                    self.keep(entries.filter(|entry| subscriber.wants(entry, lane)));
                    tail.advance(self.reader, self.scanned);
                    true
                }
                Ok(_) => self.unreadable(from, &"storage has nothing there"),
                Err(error) => self.unreadable(from, &error),
            },
        }
    }

    fn keep(&mut self, entries: impl IntoIterator<Item = Arc<Entry>>) {
        let subscriber = &self.subscriber;
        let new = entries.into_iter().filter(|entry| !subscriber.is_inherited(entry));
        let before = self.backlog.len();
        self.backlog.extend(new);
        let first = self.backlog.get(before).map(|entry| entry.position);
        self.handle.took(self.backlog.len() - before, first);
    }

    fn unreadable(&mut self, from: Position, error: &dyn std::fmt::Display) -> bool {
        let name = &*self.subscriber.name;
        tracing::error!(subscription = name, %from, %error, "the log cannot be read; trying again");
        self.wake_at(self.now() + PAUSE);
        false
    }

    /// Handles an event, and then those of its key that wait behind it, until one has to wait.
    fn deliver(&mut self, held: Held) {
        let mut next = Some(held);
        while let Some(held) = next {
            if self.turn_is_over() {
                return self.parked.park(held, self.now());
            }
            let key = held.key().cloned();
            if !self.try_now(held) {
                return;
            }
            next = self.parked.release(key.as_ref());
        }
    }

    /// True if the event is settled, one way or the other.
    fn try_now(&mut self, held: Held) -> bool {
        if self.is_discarded(&held) {
            return true;
        }
        self.batch.attempts += 1;
        if let Some(verdict) = held.verdict.clone() {
            return self.bury(held, verdict);
        }
        let subscriber = Arc::clone(&self.subscriber);
        match attempt(&subscriber, &self.handle, &held, &mut self.batch.writes) {
            Attempted::Succeeded(staged) => self.succeed(&held, staged),
            Attempted::Failed(_) if self.is_discarded(&held) => true,
            Attempted::Failed(error) => self.retry(held, &error),
            Attempted::Hopeless(verdict) => self.bury(held, verdict),
            Attempted::Started => {
                self.parked.occupy(held.key());
                self.running.insert(held.position(), held);
                false
            }
        }
    }

    /// A dead letter to be tried again that is none any more: given up, or handled meanwhile.
    fn is_discarded(&self, held: &Held) -> bool {
        held.is_revived() && !self.subscriber.dead.contains(held.position())
    }

    fn succeed(&mut self, held: &Held, staged: Staged) -> bool {
        self.batch.merge(staged);
        if held.is_revived() {
            self.subscriber.dead.remove(held.position(), &mut self.batch.writes);
        } else {
            self.batch.settled += 1;
        }
        self.subscriber.counters.handled.add(1);
        true
    }

    fn retry(&mut self, mut held: Held, error: &HandlerError) -> bool {
        held.attempts += 1;
        let now = self.subscriber.journal.runtime().wall();
        let first_failed = *held.first_failed.get_or_insert(now);
        if error.is_rejection() {
            let reason = DeadLetterReason::Rejected;
            return self.bury(held, Verdict { reason, error: error.to_string() });
        }
        let attempt = Attempt {
            failed: held.attempts,
            elapsed: now.since(first_failed),
            previous: held.previous,
        };
        let Some(delay) = self.subscriber.policy.retry.next_delay(attempt, self.random()) else {
            let reason = DeadLetterReason::Exhausted;
            return self.bury(held, Verdict { reason, error: error.to_string() });
        };
        let delay = error.delay().unwrap_or(delay);
        tracing::debug!(subscription = &*self.subscriber.name, position = %held.position(),
            event = &*held.entry.envelope.name, attempt = held.attempts, ?delay, %error,
            "a handler failed; it will be tried again");
        self.subscriber.counters.retried.add(1);
        held.previous = delay;
        self.parked.park(held, self.now() + delay);
        false
    }

    /// Makes the event a dead letter. Where there is no room for one, or its payload cannot be
    /// read, the event stays parked and so does its key: never dropped, never acknowledged.
    fn bury(&mut self, mut held: Held, verdict: Verdict) -> bool {
        let subscriber = Arc::clone(&self.subscriber);
        let is_full = !held.is_revived() && subscriber.is_full_of_dead_letters();
        let payload = match subscriber.journal.payload(&held.entry) {
            Ok(payload) if !is_full => payload,
            _ => {
                held.verdict = Some(verdict);
                self.parked.park(held, self.now() + PAUSE);
                return false;
            }
        };
        tracing::warn!(subscription = &*subscriber.name, position = %held.position(),
            event = &*held.entry.envelope.name, reason = %verdict.reason, error = verdict.error,
            attempts = held.all_attempts(), "an event became a dead letter");
        let letter = DeadLetter::new(&held, &verdict, payload, subscriber.journal.runtime().wall());
        if let Err(error) = subscriber.dead.add(letter, &held.entry, &mut self.batch.writes) {
            tracing::error!(%error, "a dead letter does not encode; its event stays parked");
            held.verdict = Some(verdict);
            self.parked.park(held, self.now() + PAUSE);
            return false;
        }
        self.batch.settled += u64::from(!held.is_revived());
        subscriber.counters.dead_lettered.add(1);
        true
    }

    /// Sends the batch on its way with the cursor. False if there is nothing to commit.
    fn commit_batch(&mut self, even_skipped: bool) -> bool {
        let frontier = self.frontier();
        let skipped = frontier.since(self.stored);
        let worth_it = skipped >= SKIPPED || (even_skipped && skipped > 0);
        if self.batch.is_empty() && !(worth_it && self.subscriber.is_stored) {
            return false;
        }
        let Some(task) = self.handle.task() else {
            return false;
        };
        let batch = std::mem::take(&mut self.batch);
        let cursor = self.cursor(frontier);
        self.stored = frontier;
        let settled = batch.settled;
        let transaction = batch.into_transaction(cursor);
        self.commit = Some((self.subscriber.journal.commit(transaction, &task), settled));
        true
    }

    /// The cursor's key and value, for a subscription that keeps one.
    fn cursor(&self, frontier: Position) -> Option<(Vec<u8>, Vec<u8>)> {
        if !self.subscriber.is_stored {
            return None;
        }
        let held =
            self.parked.iter().chain(self.running.values()).filter(|held| !held.is_revived());
        let hole = |held: &Held| Hole {
            position: held.position().get(),
            attempts: held.attempts,
            first_failed: held.first_failed.map_or(0, Timestamp::as_nanos),
        };
        let mut holes: Vec<_> = held.map(hole).chain(self.unloaded.iter().copied()).collect();
        holes.sort_unstable_by_key(|hole| hole.position);
        let cursor = Cursor { frontier: frontier.get(), holes };
        let value = serde_json::to_vec(&cursor).ok()?;
        Some((keys::cursor(&self.subscriber.name, self.reader.lane), value))
    }

    /// The first position that is held.
    fn low(&self) -> Option<Position> {
        let parked = self.parked.low().into_iter();
        let running = self.running.keys().next().copied();
        let backlog = self.backlog.front().map(|entry| entry.position);
        parked.chain(running).chain(backlog).min()
    }

    fn frontier(&self) -> Position {
        self.backlog.front().map_or(self.scanned, |entry| entry.position)
    }

    /// Commits what is left, and stops once nothing runs any more.
    fn finish(&mut self) -> Step {
        self.scanned = if self.backlog.is_empty() {
            self.subscriber.journal.tail().frontier(self.reader).max(self.scanned)
        } else {
            self.scanned
        };
        if self.commit_batch(true) {
            return self.next_step();
        }
        let phase = if self.running.is_empty() { Phase::Stopped } else { Phase::Working };
        self.set_phase(phase);
        Step::Wait
    }

    /// Commits what is left, and rests.
    fn flush(&mut self, phase: Phase) -> Step {
        if self.commit_batch(false) {
            return self.next_step();
        }
        match self.parked.next_due() {
            Some(due) if !self.subscriber.is_paused() => self.rest_until(due, phase),
            _ => {
                self.set_phase(phase);
                Step::Wait
            }
        }
    }

    fn rest_until(&mut self, due: Tick, phase: Phase) -> Step {
        self.wake_at(due);
        self.set_phase(phase);
        Step::Wait
    }

    /// Wait for the commit that is on its way, if one is, and is not done already.
    fn next_step(&mut self) -> Step {
        match &self.commit {
            Some((ticket, _)) if !ticket.is_done() => Step::Wait,
            _ => Step::Again,
        }
    }

    fn phase(&self) -> Phase {
        if !self.running.is_empty() || !self.backlog.is_empty() {
            Phase::Working
        } else if self.parked.is_empty() {
            Phase::Settled
        } else {
            Phase::Parked
        }
    }

    fn has_room_to_run(&self) -> bool {
        self.running.len() < self.subscriber.policy.max_in_flight
    }

    fn has_room_to_hold(&self) -> bool {
        self.parked.len() < self.subscriber.policy.max_parked
            && !self.subscriber.is_full_of_dead_letters()
    }

    fn turn_is_over(&self) -> bool {
        self.batch.attempts >= TURN.0 || self.now() >= self.turn_end
    }

    fn set_phase(&self, phase: Phase) {
        self.subscriber.journal.tail().set_phase(self.reader, phase);
    }

    /// Sets a timer, unless an earlier one is set.
    fn wake_at(&mut self, at: Tick) {
        let now = self.now();
        if self.armed.is_some_and(|armed| now < armed && armed <= at) {
            return;
        }
        if let Some(task) = self.handle.task() {
            self.armed = Some(at);
            self.subscriber.journal.runtime().wake_at(at, &task);
        }
    }

    fn now(&self) -> Tick {
        self.subscriber.journal.runtime().now()
    }

    fn random(&self) -> u64 {
        self.subscriber.journal.runtime().random()
    }
}
