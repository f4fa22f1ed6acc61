//! A lane: one event of a key at a time, in order, other keys going on.

mod careful;
mod change;
mod commit;
mod deliver;
mod gate;
mod gather;
mod handle;
mod held_keys;
mod intake;
mod outcome;
mod post;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

pub(super) use change::Share;
use gate::AtGate;
use gather::Gatherings;
pub(super) use handle::{Inbound, LaneHandle, Submitted};
pub(super) use post::Post;

use super::{
    Subscriber,
    batch::Batch,
    careful::CAREFUL,
    cursor::{Cursor, Hole},
    formation::Formation,
    ledger::Tally,
    parking::{Held, Parked},
};
use crate::{
    journal::{Entry, Mistake, Phase, Seat, Ticket},
    message::Position,
    runtime::{Step, Tick},
};

/// A turn ends after so many attempts, so much time or so many bytes to commit, so that outputs
/// show and others get on.
const TURN_ATTEMPTS: usize = 256;
const TURN_TIME: Duration = Duration::from_millis(2);
const TURN_BYTES: usize = 4 * 1024 * 1024;

/// How often a lane that spins looks before others of its pool have their turn.
const SPINS: u32 = 256;

/// The pause before what cannot be done now is tried again: reading that failed, a dead letter that
/// finds no room, an event that was given back.
const PAUSE: Duration = Duration::from_secs(1);

/// The pause before an event is looked at again that must not be handled beside another one.
const OTHERS_PAUSE: Duration = Duration::from_millis(10);

/// The body of a lane's task. Only that task touches it.
pub(super) struct Lane {
    subscriber: Arc<Subscriber>,
    formation: Arc<Formation>,
    handle: Arc<LaneHandle>,
    number: u32,
    /// Its place in the ring. Missing only while something of the ring is open.
    seat: Option<Seat>,
    /// Read from storage, not yet looked at.
    backlog: VecDeque<Arc<Entry>>,
    /// Everything before it has been taken from the journal.
    scanned: Position,
    /// From this position on the layers have nothing to say.
    beyond_layers: Position,
    /// The frontier of the stored cursor.
    stored: Position,
    /// The same, of the last commit that is done.
    committed: Position,
    /// Events before that which are settled by a commit that is not done.
    uncommitted: Vec<Position>,
    parked: Parked,
    /// Being gathered, to be handled together.
    gatherings: Gatherings,
    /// Being handled elsewhere.
    running: BTreeMap<Position, Held>,
    /// Dead letters that are being tried again, wherever they are in the lane.
    revived: BTreeSet<Position>,
    /// Received, and not looked at yet.
    inbox: VecDeque<Inbound>,
    batch: Batch,
    /// On its way to storage, with the number of events that it settles.
    commit: Option<(Arc<Ticket>, u64)>,
    /// What is committed.
    tally: Tally,
    /// The same once the commit that is on its way is done.
    tally_after: Tally,
    /// Unacknowledged events of an earlier run, to be loaded first.
    unloaded: VecDeque<Hole>,
    turn_end: Tick,
    /// Storage could not be read in this turn.
    unreadable: bool,
    /// How often it has looked for more in vain.
    looks: u32,
    spinning_until: Tick,
    /// The timer that is set, if it is still to come.
    armed: Option<Tick>,
    at_gate: AtGate,
    /// The last cursor of a stop has been stored.
    farewell: bool,
    /// Where it has come to a stop, for a change of the number of lanes.
    stopped_at: Option<Position>,
    /// How many more events it is careful with.
    careful: usize,
    /// Nothing more can be committed, so nothing more is done.
    over: bool,
}

impl Lane {
    pub(super) fn new(
        subscriber: Arc<Subscriber>,
        formation: Arc<Formation>,
        handle: Arc<LaneHandle>,
        (number, seat): (u32, Seat),
        cursor: Cursor,
    ) -> Self {
        let frontier = Position::new(cursor.frontier).unwrap_or(Position::FIRST);
        let first = cursor.holes.first().and_then(|hole| Position::new(hole.position));
        handle.took(cursor.holes.len(), first);
        let careful = if subscriber.careful.is_some() { CAREFUL } else { 0 };
        let lane = Self {
            careful,
            beyond_layers: formation.beyond_layers(),
            subscriber,
            formation,
            handle,
            number,
            seat: Some(seat),
            backlog: VecDeque::new(),
            scanned: frontier,
            stored: frontier,
            committed: frontier,
            uncommitted: Vec::new(),
            parked: Parked::default(),
            gatherings: Gatherings::default(),
            running: BTreeMap::new(),
            revived: BTreeSet::new(),
            inbox: VecDeque::new(),
            batch: Batch::default(),
            commit: None,
            tally: cursor.tally,
            tally_after: cursor.tally,
            unloaded: cursor.holes.into(),
            turn_end: Tick::ZERO,
            unreadable: false,
            looks: 0,
            spinning_until: Tick::ZERO,
            armed: None,
            at_gate: AtGate::default(),
            farewell: false,
            stopped_at: None,
            over: false,
        };
        lane.handle.keep_account(lane.account());
        lane
    }

    /// One turn. It ends with a commit on its way, or at rest.
    pub(super) fn step(&mut self) -> Step {
        if let Some(seat) = &self.seat {
            seat.begin();
        }
        self.stopped_at = None;
        self.subscriber.lag.arm();
        let step = self.turn();
        self.step_aside();
        if self.commit.is_none() {
            self.handle.report(self.low(), self.running.len());
        }
        self.handle.keep_account(self.account());
        self.tell_watches();
        step
    }

    fn turn(&mut self) -> Step {
        if self.over || self.subscriber.has_failed() {
            self.quit();
            return Step::Wait;
        }
        if !self.settle_commit() {
            return Step::Wait;
        }
        let rests = self.subscriber.is_stopping() || self.subscriber.is_paused();
        // What comes in while the subscription is to rest is parked instead of handled.
        self.turn_end = if rests { Tick::ZERO } else { self.now().saturating_add(TURN_TIME) };
        self.unreadable = false;
        self.receive();
        self.take_back_late();
        if rests || self.formation.muster.is_called() {
            self.scatter_all();
        }
        if self.subscriber.is_stopping() {
            return self.finish();
        }
        if self.formation.muster.is_called() {
            return self.come_in();
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
        self.call_due_batches();
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
                Inbound::Finished { entry, serial, result } => {
                    self.finished(entry.position, serial, result);
                }
                Inbound::Pulled { entry, serial, at } => self.pulled(entry.position, serial, at),
                Inbound::GivenBack { entry, serial } => self.given_back(entry.position, serial),
                Inbound::Revive(held) => self.retry_letter(held),
                Inbound::Follow(key) => self.follow(Some(&key)),
            }
        }
    }

    /// A dead letter is to be tried again. It may have been since it was read for that.
    fn retry_letter(&mut self, held: Held) {
        if self.subscriber.dead.is_current(&held) {
            self.revive(held);
        } else {
            self.read_letter(held.position());
        }
    }

    fn revive(&mut self, held: Held) {
        if self.revived.insert(held.position()) {
            if self.subscriber.is_planted(Mistake::RetryRemovesLetter) {
                self.subscriber.dead.remove(held.position(), &mut self.batch.writes);
            }
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
            if !self.deliver_next() {
                return false;
            }
            if self.turn_is_over() {
                return true;
            }
        }
    }

    /// Sets the phase and the timer for when there is nothing to do right now.
    fn rest(&mut self) -> Step {
        if self.commit_batch() {
            return self.next_step();
        }
        let paused = self.subscriber.is_paused();
        let shut_out = !paused && self.waits_at_gate();
        let has_room_to_run = !shut_out && self.has_room_in_flight();
        if let Some(due) = self.parked.next_due()
            && !paused
            && has_room_to_run
            && !self.subscriber.is_planted(Mistake::ForgetRetry)
        {
            self.wake_at(due);
        }
        self.wake_for_batches(shut_out);
        self.wake_at_deadline();
        let broken = if shut_out { self.broken_phase() } else { None };
        let phase = match () {
            () if !self.running.is_empty() || !self.gatherings.is_empty() => Phase::Working,
            () if paused => Phase::Stopped,
            () if let Some(phase) = broken => phase,
            () if !self.has_room_to_hold() => Phase::Blocked,
            () if !self.backlog.is_empty() => Phase::Working,
            () if !self.parked.is_empty() => Phase::Parked,
            () => Phase::Settled,
        };
        let full = !has_room_to_run || !self.has_room_to_hold();
        let hungry = !paused && !full && !self.unreadable;
        if hungry && self.spins() {
            // At once: a way through the pool's queue would cost more than all the rest.
            self.deliver_new();
            self.commit_batch();
            return self.next_step();
        }
        if hungry && self.looks < self.subscriber.runtime().patience() {
            // More is likely to come before falling asleep and being woken would be over.
            self.looks += 1;
            return if self.looks > 1 { Step::Look } else { Step::Again };
        }
        if self.rest_in(phase, hungry) { Step::Wait } else { Step::Again }
    }

    /// Commits what is left, and stops once nothing runs any more.
    fn finish(&mut self) -> Step {
        if self.commit_last() {
            return self.next_step();
        }
        self.wake_at_deadline();
        let phase = if self.running.is_empty() { Phase::Stopped } else { Phase::Working };
        if self.rest_in(phase, false) { Step::Wait } else { Step::Again }
    }

    /// Wait for the commit that is on its way, if one is, and is not done already.
    fn next_step(&self) -> Step {
        match &self.commit {
            Some((ticket, _)) if !ticket.is_done() => Step::Wait,
            _ if !self.subscriber.policy.spin.is_zero() => Step::Spin,
            _ => Step::Again,
        }
    }

    /// The engine itself has panicked in this lane.
    pub(super) fn crash(&mut self) {
        self.give_up("the engine panicked; please report this as a bug");
    }

    fn give_up(&mut self, why: &str) {
        self.subscriber.fail(why);
        self.quit();
    }

    /// Does nothing more, and holds nobody up.
    fn quit(&mut self) {
        self.over = true;
        self.handle.report(self.low(), self.running.len());
        let journal = &self.subscriber.journal;
        journal.ring().expel(self.formation.group, self.number);
        journal.quiet().notify();
    }

    fn has_room_to_run(&self) -> bool {
        self.has_room_in_flight() && !self.is_shut_out()
    }

    fn has_room_in_flight(&self) -> bool {
        self.running.len() < self.subscriber.policy.max_in_flight
    }

    fn has_room_to_hold(&self) -> bool {
        self.parked.len() + self.gatherings.len() < self.subscriber.policy.max_parked
            && !self.subscriber.is_full_of_dead_letters()
    }

    fn turn_is_over(&self) -> bool {
        self.over
            || self.batch.attempts >= TURN_ATTEMPTS
            || self.batch.bytes() >= TURN_BYTES
            || self.subscriber.is_paused()
            || self.subscriber.is_stopping()
            || self.subscriber.journal.clock().is_past(self.turn_end_nanos())
    }

    /// Looks for more without rest. True if there is some, or if it is to look on.
    fn spins(&mut self) -> bool {
        let (subscriber, Some(seat)) = (&self.subscriber, &self.seat) else { return false };
        let spin = subscriber.policy.spin;
        if spin.is_zero() || subscriber.runtime().patience() == 0 {
            return false;
        }
        let now = subscriber.journal.clock().tick();
        if self.looks == 0 {
            self.spinning_until = now.saturating_add(spin);
            self.looks = 1;
        }
        if now >= self.spinning_until {
            return false;
        }
        let ring = subscriber.journal.ring();
        for _ in 0..SPINS {
            if seat.has_next(ring) {
                break;
            }
            std::hint::spin_loop();
        }
        true
    }

    /// Whether it may still meet what the layers have to say something about.
    fn is_layered(&self) -> bool {
        self.scanned < self.beyond_layers
    }

    fn turn_end_nanos(&self) -> u64 {
        u64::try_from(self.turn_end.as_nanos()).unwrap_or(u64::MAX)
    }

    /// True if the lane rests now, and false if there is something to do.
    fn rest_in(&mut self, phase: Phase, hungry: bool) -> bool {
        // Before: whoever waits for the phase may ask how far the lane is.
        if self.commit.is_none() {
            self.handle.report(self.low(), self.running.len());
        }
        let journal = &self.subscriber.journal;
        let rests = self.seat.as_mut().is_none_or(|seat| seat.rest(journal.ring(), phase, hungry));
        if rests && phase != Phase::Working {
            journal.quiet().notify();
        }
        rests
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
        self.subscriber.journal.clock().tick()
    }

    fn random(&self) -> u64 {
        self.subscriber.runtime().random()
    }
}
