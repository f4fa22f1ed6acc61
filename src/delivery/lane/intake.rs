//! How events come into a lane: from the ring, from storage, and from before the restart.

use std::{cell::Cell, sync::Arc, time::Duration};

use super::{Hole, Lane, PAUSE};
use crate::{
    delivery::{
        HandlerError,
        handler::Form,
        in_place::{Once, Turn},
        ledger::{Settled, Skip},
        loss::Loss,
    },
    journal::{Batch, Entry, Opened, Seat},
    message::Position,
    policy::{Attempt, jitter},
    runtime::Tick,
    storage::{StorageError, Write},
};

/// How many events that are handled in place count as one attempt for the length of a turn.
pub(super) const IN_PLACE: usize = 16;

impl Lane {
    /// Delivers what comes next. False if there is nothing more right now.
    pub(super) fn deliver_next(&mut self) -> bool {
        if let Some(entry) = self.backlog.pop_front() {
            self.deliver_entry(entry);
            return true;
        }
        let Some(mut seat) = self.seat.take() else { return false };
        let went_on = self.read_on(&mut seat);
        self.count_missed(&mut seat);
        self.note_scanned(&seat);
        self.seat = Some(seat);
        went_on
    }

    pub(super) fn note_scanned(&mut self, seat: &Seat) {
        self.scanned =
            Position::new(seat.next()).map_or(self.scanned, |next| next.max(self.scanned));
    }

    pub(super) fn count_missed(&self, seat: &mut Seat) {
        self.subscriber.note_missed(seat.take_missed());
    }

    fn read_on(&mut self, seat: &mut Seat) -> bool {
        let subscriber = Arc::clone(&self.subscriber);
        let before = seat.next();
        match seat.open(subscriber.journal.ring()) {
            Opened::Batch(batch) => {
                let more = batch.is_full();
                self.deliver_open(batch);
                self.looks = 0;
                // A reader on the heels of publishers slows them down: it reads the very memory
                // that they write. So it lets some events come together first.
                more
            }
            Opened::Nothing => seat.next() > before,
            Opened::Behind { from, to } => self.fetch_stored(seat, from, to),
            Opened::Gone => {
                self.over = true;
                false
            }
        }
    }

    /// Delivers events that are open: at least one, and the others as long as the turn lasts.
    fn deliver_open(&mut self, batch: Batch<'_>) {
        let next = Cell::new(0);
        while next.get() < batch.len() {
            if !self.deliver_in_place(&batch, &next) {
                self.deliver_one(&batch, next.get());
                next.set(next.get() + 1);
            }
            if self.turn_is_over() || !self.has_room_to_run() || !self.has_room_to_hold() {
                break;
            }
        }
        batch.close(next.get());
    }

    fn deliver_one(&mut self, batch: &Batch<'_>, at: usize) {
        let Some(open) = batch.get(at) else { return };
        let entry = self.subscriber.entry(&open);
        batch.taken(&open);
        if self.subscriber.is_in_part(&entry) && self.keep(&entry) {
            self.deliver_entry(entry);
        }
    }

    /// Calls a plain handler with the events where they lie. False where that will not do: there is
    /// no such handler, or the events (the next one, after some) may have to wait for others or are
    /// encoded.
    fn deliver_in_place(&mut self, batch: &Batch<'_>, next: &Cell<usize>) -> bool {
        let subscriber = Arc::clone(&self.subscriber);
        let Some(first) = batch.get(next.get()) else { return false };
        let Some(registered) = subscriber.handlers.get(&first.kind()) else { return false };
        let Form::Called { in_place: Some(handler), .. } = &registered.run.form else {
            return false;
        };
        if self.looks_at_each() || registered.route.expires() || subscriber.probed.is_on() {
            return false;
        }
        let (gate, clock) = (subscriber.gate.as_ref(), subscriber.journal.clock());
        let end = match gate {
            Some(gate) if gate.times_calls() => 0, // one by one
            _ => self.turn_end_nanos(),
        };
        let began = gate.map_or(Tick::ZERO, |_| clock.tick());
        let (from, mut writes) = (next.get(), std::mem::take(&mut self.batch.writes));
        let once = registered.inbox.as_ref().map(|inbox| Once::new(inbox, &mut writes));
        let turn = Turn { subscriber: &subscriber, clock, end, once };
        let clocked_in = self.clock_in(None);
        let result = handler.run(batch, next, &turn).map_err(|error| self.judge(error));
        self.clock_out(clocked_in);
        let duplicates = turn.once.as_ref().map_or(0, Once::duplicates);
        let has_to_wait = turn.once.as_ref().is_some_and(Once::has_to_wait);
        self.batch.writes = writes;
        let done = next.get() - from;
        self.handle.took(done, Position::new(first.position()));
        self.batch.attempts += done.div_ceil(IN_PLACE);
        self.batch.settle_all(Settled::Skipped(Skip::Duplicate), duplicates);
        let acknowledged = done as u64 - duplicates;
        self.batch.settle_all(Settled::Acknowledged, acknowledged);
        subscriber.counters.handled.add(acknowledged);
        self.leave_gate_in_place(acknowledged, result.as_ref().err(), began);
        let has_failed = result.is_err();
        if let Err(error) = result {
            self.fail_in_place(batch, next, &error);
        }
        !has_to_wait && (has_failed || done > 0)
    }

    /// Whether anything is to be known of each event before its handler is called.
    fn looks_at_each(&self) -> bool {
        let is_behind = !self.parked.is_empty() || !self.running.is_empty();
        let is_behind = is_behind || !self.gatherings.is_empty();
        let gate = || self.subscriber.gate.as_ref().is_some_and(|gate| gate.is_for_each());
        let is_behind = is_behind || self.subscriber.until.is_some();
        is_behind || self.is_layered() || self.careful > 0 || self.holds_keys() || gate()
    }

    /// The handler has failed with the next event.
    fn fail_in_place(&mut self, batch: &Batch<'_>, next: &Cell<usize>, error: &HandlerError) {
        let Some(failed) = batch.get(next.get()) else { return };
        next.set(next.get() + 1);
        let entry = self.subscriber.entry(&failed);
        batch.taken(&failed);
        if self.keep(&entry) {
            self.batch.attempts += 1;
            let held = self.formation.held(entry);
            self.fail_attempt(held, error);
        }
    }

    fn deliver_entry(&mut self, entry: Arc<Entry>) {
        let inline = self.subscriber.inline.as_ref();
        let failure = inline.and_then(|side| side.failure(&entry));
        let held = self.formation.held(entry);
        if let Some(error) = failure {
            self.batch.attempts += 1;
            let error = self.judge(error);
            self.fail_attempt(held, &error);
        } else if !self.parked.is_busy(&held) {
            self.deliver(held);
        } else if !self.joins_letters(&held) {
            self.parked.queue(held, self.now());
        }
    }

    fn fetch_stored(&mut self, seat: &mut Seat, from: u64, to: u64) -> bool {
        let (Some(from), Some(to)) = (Position::new(from), Position::new(to)) else { return false };
        let (subscriber, formation) = (Arc::clone(&self.subscriber), Arc::clone(&self.formation));
        let read = subscriber.journal.read(from, to, &subscriber.filter);
        if let Err(StorageError::Truncated { first, .. }) = &read
            && let Some(loss) = Loss::new(from, *first)
        {
            self.lose(loss);
            seat.advance(first.get());
            return true;
        }
        let read = read.map_err(|error| error.to_string());
        let nothing = || "storage has nothing there".to_owned();
        let moved = read.and_then(|page| if page.1 > from { Ok(page) } else { Err(nothing()) });
        let (entries, next) = match moved {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(subscription = &*subscriber.name, %from, error,
                    "the log cannot be read; trying again");
                self.unreadable = true;
                self.wake_at(self.now().saturating_add(PAUSE));
                return false;
            }
        };
        for entry in entries.into_iter().filter(|entry| subscriber.wants(entry)) {
            if formation.lane_of(&entry) != self.number {
                continue;
            }
            let entry = Arc::new(entry);
            if self.keep(&entry) {
                self.backlog.push_back(entry);
            }
        }
        seat.advance(next.get());
        true
    }

    fn lose(&mut self, loss: Loss) {
        if let Some(Write { key, value }) = self.subscriber.lose(loss) {
            self.batch.writes.insert(key, value);
        }
    }

    /// Takes note of an event that the lane will settle. False for one that needs no settling.
    fn keep(&self, entry: &Entry) -> bool {
        if self.is_layered() && self.formation.is_inherited(entry.position.get(), entry.tag()) {
            return false;
        }
        self.handle.took(1, Some(entry.position));
        true
    }

    /// Loads what an earlier run left unacknowledged. False where storage cannot be read now.
    pub(super) fn load(&mut self) -> bool {
        while let Some(hole) = self.unloaded.front().copied() {
            let Some(position) = Position::new(hole.position) else { return true };
            let subscriber = &self.subscriber;
            let entry = match subscriber.journal.read_one(position) {
                Ok(entry) => entry,
                Err(StorageError::Truncated { .. }) => {
                    self.unloaded.pop_front();
                    self.batch.settle(Settled::Skipped(Skip::Lost));
                    if let Some(loss) = Loss::new(position, position.next()) {
                        self.lose(loss);
                    }
                    continue;
                }
                Err(error) => {
                    tracing::error!(subscription = &*subscriber.name, %position, %error,
                        "an unacknowledged event cannot be read; trying again");
                    return false;
                }
            };
            self.unloaded.pop_front();
            if self.subscriber.kinds.contains(&entry.kind) {
                self.reload(hole, Arc::new(entry));
            } else {
                // The subscription has given up on such events.
                self.batch.settle(Settled::Skipped(Skip::Ignored));
            }
        }
        true
    }

    fn reload(&mut self, hole: Hole, entry: Arc<Entry>) {
        let mut held = hole.restore(entry);
        held.is_suspect = true;
        if self.parked.is_busy(&held) {
            return self.parked.queue(held, self.now());
        }
        let failed = held.attempts.max(1);
        let attempt = Attempt { failed, elapsed: Duration::ZERO, previous: Duration::ZERO };
        let delay = match held.attempts {
            0 => None,
            _ => self.subscriber.policy.retry.next_delay(attempt, self.random()),
        };
        // Spread, so that a restart does not try everything at one moment.
        let delay = jitter(delay.unwrap_or_default(), self.random());
        self.parked.park(held, self.now().saturating_add(delay));
    }
}
