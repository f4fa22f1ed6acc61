//! A lane: one event of a key at a time, in order, other keys going on.

mod commit;
mod handle;
mod intake;
mod outcome;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

pub(super) use handle::{Inbound, LaneHandle};

use super::{
    Subscriber,
    attempt::{Attempted, attempt},
    batch::Batch,
    cursor::{Cursor, Hole},
    parking::{Held, Parked},
};
use crate::{
    journal::{Entry, Phase, ReaderId, Ticket},
    message::Position,
    runtime::{Step, Tick},
};

/// A turn ends after so many attempts, so much time or so many bytes to commit, so that outputs
/// show and others get on.
const TURN_ATTEMPTS: usize = 256;
const TURN_TIME: Duration = Duration::from_millis(2);
const TURN_BYTES: usize = 4 * 1024 * 1024;

/// The pause before what cannot be done now is tried again: reading that failed, a dead letter that
/// finds no room, an event that was given back.
const PAUSE: Duration = Duration::from_secs(1);

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
    /// Dead letters that are being tried again, wherever they are in the lane.
    revived: BTreeSet<Position>,
    /// Received, and not looked at yet.
    inbox: VecDeque<Inbound>,
    batch: Batch,
    /// On its way to storage, with the number of events that it settles.
    commit: Option<(Arc<Ticket>, u64)>,
    /// Unacknowledged events of an earlier run, to be loaded first.
    unloaded: VecDeque<Hole>,
    turn_end: Tick,
    /// The timer that is set, if it is still to come.
    armed: Option<Tick>,
    /// The last cursor of a stop has been stored.
    farewell: bool,
    /// Nothing more can be committed, so nothing more is done.
    over: bool,
}

impl Lane {
    pub(super) fn new(
        subscriber: Arc<Subscriber>,
        handle: Arc<LaneHandle>,
        reader: ReaderId,
        cursor: Cursor,
    ) -> Self {
        let frontier = Position::new(cursor.frontier).unwrap_or(Position::FIRST);
        let first = cursor.holes.first().and_then(|hole| Position::new(hole.position));
        handle.took(cursor.holes.len(), first);
        Self {
            subscriber,
            handle,
            reader,
            backlog: VecDeque::new(),
            scanned: frontier,
            stored: frontier,
            parked: Parked::default(),
            running: BTreeMap::new(),
            revived: BTreeSet::new(),
            inbox: VecDeque::new(),
            batch: Batch::default(),
            commit: None,
            unloaded: cursor.holes.into(),
            turn_end: Tick::ZERO,
            armed: None,
            farewell: false,
            over: false,
        }
    }

    /// One turn. It ends with a commit on its way, or at rest.
    pub(super) fn step(&mut self) -> Step {
        self.tail().begin(self.reader);
        let step = self.turn();
        if self.commit.is_none() {
            self.handle.report(self.low(), self.running.len());
        }
        step
    }

    fn turn(&mut self) -> Step {
        if self.over || self.subscriber.has_failed() {
            self.over = true;
            self.set_phase(Phase::Failed);
            return Step::Wait;
        }
        if !self.settle_commit() {
            return Step::Wait;
        }
        let rests = self.subscriber.is_stopping() || self.subscriber.is_paused();
        // What comes in while the subscription is to rest is parked instead of handled.
        self.turn_end = if rests { Tick::ZERO } else { self.now().saturating_add(TURN_TIME) };
        self.receive();
        if self.subscriber.is_stopping() {
            return self.finish();
        }
        if self.subscriber.is_paused() {
            return self.rest();
        }
        if !self.load() {
            self.wake_at(self.now().saturating_add(PAUSE));
            return Step::Wait;
        }
        self.deliver_due();
        let more = self.deliver_new();
        if self.commit_batch() || more {
            return self.next_step();
        }
        self.rest()
    }

    /// Takes what others have sent, as far as it fits into one commit.
    fn receive(&mut self) {
        self.inbox.extend(self.handle.receive());
        while self.batch.bytes() < TURN_BYTES
            && let Some(inbound) = self.inbox.pop_front()
        {
            match inbound {
                Inbound::Finished { position, result } => self.finished(position, result),
                Inbound::GivenBack { position } => self.given_back(position),
                Inbound::Revive(held) => self.revive(held),
            }
        }
    }

    fn revive(&mut self, held: Held) {
        if self.revived.insert(held.position()) {
            self.parked.queue(held, self.now());
        }
    }

    /// Delivers what waited for its time, for at most half of the turn.
    fn deliver_due(&mut self) {
        let half = self.turn_end.saturating_sub(TURN_TIME / 2);
        while self.batch.attempts < TURN_ATTEMPTS / 2
            && self.batch.bytes() < TURN_BYTES
            && self.has_room_to_run()
        {
            let now = self.now();
            if now >= half {
                return;
            }
            let Some(held) = self.parked.take_due(now) else { return };
            self.deliver(held);
        }
    }

    /// Delivers what is new: at least one event, however long those before it took. True if there
    /// may be more right away.
    fn deliver_new(&mut self) -> bool {
        loop {
            if self.batch.bytes() >= TURN_BYTES {
                return true;
            }
            if !self.has_room_to_run() || !self.has_room_to_hold() {
                return false;
            }
            if self.backlog.is_empty() && !self.fetch() {
                return false;
            }
            if let Some(entry) = self.backlog.pop_front() {
                let held = self.subscriber.held(entry);
                if self.parked.is_busy(&held) {
                    self.parked.queue(held, self.now());
                } else {
                    self.deliver(held);
                }
            }
            if self.turn_is_over() {
                return true;
            }
        }
    }

    /// Handles an event, and then those of its key that wait behind it, until one has to wait.
    fn deliver(&mut self, held: Held) {
        let key = held.key().cloned();
        if self.try_now(held) {
            self.go_on_with(key.as_ref());
        }
    }

    /// Handles what waits behind a key whose head is done.
    fn go_on_with(&mut self, key: Option<&crate::event::Key>) {
        while let Some(next) = self.parked.release(key) {
            if self.turn_is_over() {
                return self.parked.park(next, self.now());
            }
            if !self.try_now(next) {
                return;
            }
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
            Attempted::Failed(error) => self.fail_attempt(held, &error),
            Attempted::Hopeless(verdict) => self.bury(held, verdict),
            Attempted::Started => {
                self.parked.occupy(held.key());
                self.running.insert(held.position(), held);
                false
            }
        }
    }

    /// Sets the phase and the timer for when there is nothing to do right now.
    fn rest(&mut self) -> Step {
        if self.commit_batch() {
            return self.next_step();
        }
        let paused = self.subscriber.is_paused();
        if let Some(due) = self.parked.next_due()
            && !paused
            && self.has_room_to_run()
        {
            self.wake_at(due);
        }
        let phase = match () {
            () if !self.running.is_empty() => Phase::Working,
            () if paused => Phase::Stopped,
            () if !self.has_room_to_hold() => Phase::Blocked,
            () if !self.backlog.is_empty() => Phase::Working,
            () if !self.parked.is_empty() => Phase::Parked,
            () => Phase::Settled,
        };
        self.set_phase(phase);
        Step::Wait
    }

    /// Commits what is left, and stops once nothing runs any more.
    fn finish(&mut self) -> Step {
        if self.commit_last() {
            return self.next_step();
        }
        let phase = if self.running.is_empty() { Phase::Stopped } else { Phase::Working };
        self.set_phase(phase);
        Step::Wait
    }

    /// Wait for the commit that is on its way, if one is, and is not done already.
    fn next_step(&self) -> Step {
        match &self.commit {
            Some((ticket, _)) if !ticket.is_done() => Step::Wait,
            _ => Step::Again,
        }
    }

    /// The engine itself has panicked in this lane.
    pub(super) fn crash(&mut self) {
        self.give_up("the engine panicked; please report this as a bug");
    }

    fn give_up(&mut self, why: &str) {
        self.over = true;
        self.subscriber.fail(why);
        self.set_phase(Phase::Failed);
    }

    fn has_room_to_run(&self) -> bool {
        self.running.len() < self.subscriber.policy.max_in_flight
    }

    fn has_room_to_hold(&self) -> bool {
        self.parked.len() < self.subscriber.policy.max_parked
            && !self.subscriber.is_full_of_dead_letters()
    }

    fn turn_is_over(&self) -> bool {
        self.over
            || self.batch.attempts >= TURN_ATTEMPTS
            || self.batch.bytes() >= TURN_BYTES
            || self.now() >= self.turn_end
    }

    fn tail(&self) -> &crate::journal::Tail {
        self.subscriber.journal.tail()
    }

    fn set_phase(&self, phase: Phase) {
        // Before: whoever waits for the phase may ask how far the lane is.
        if self.commit.is_none() {
            self.handle.report(self.low(), self.running.len());
        }
        self.tail().set_phase(self.reader, phase);
    }

    /// Sets a timer, unless an earlier one is set.
    fn wake_at(&mut self, at: Tick) {
        let now = self.now();
        if self.armed.is_some_and(|armed| now < armed && armed <= at) {
            return;
        }
        if let Some(task) = self.handle.task() {
            self.armed = Some(at);
            self.subscriber.runtime().wake_at(at, &task);
        }
    }

    fn now(&self) -> Tick {
        self.subscriber.runtime().now()
    }

    fn random(&self) -> u64 {
        self.subscriber.runtime().random()
    }
}
