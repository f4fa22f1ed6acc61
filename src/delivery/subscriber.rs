//! A subscription at work: what its lanes share.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use super::{
    DeadLetterStore, Run,
    careful::{self, Careful},
    conductor::Conductor,
    dead_letter::Alarm,
    effects::Effects,
    formation::Formation,
    gate::{BreakerState, Gate, Start, StuckHandler},
    idempotency::Inbox,
    inline::InlineSide,
    keys,
    lag::Lag,
    lane::Inbound,
    ledger::{Ledger, Outside},
    loss::{self, Loss},
    quarantine::Quarantine,
    sweep::Sweep,
    watch::Watches,
};
use crate::{
    contract::{EventType, NameId},
    journal::{Entry, Journal, Open, Route, Tag},
    message::Position,
    policy::{Backoff, Lanes, OnDeadLetter, Overflow, Retention},
    runtime::{Clock, Precedence, Runtime, Tick},
    storage::{Filter, StorageError, Write},
};

/// The choices that lanes ask about.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) retry: Backoff,
    /// For each lane: how many events may wait for a retry, or behind one.
    pub(crate) max_parked: usize,
    /// For each lane: how many async or pulled events may be under way.
    pub(crate) max_in_flight: usize,
    pub(crate) max_dead_letters: u64,
    /// How many processes in a row may end while an event is handled.
    pub(crate) max_crashes: u32,
    /// Through how many handlers what its handlers publish may have come.
    pub(crate) max_hops: u32,
    /// How long dead letters are kept, if not until somebody decides about them.
    pub(crate) dead_letter_retention: Option<Duration>,
    pub(crate) on_dead_letter: OnDeadLetter,
    pub(crate) overflow: Overflow,
    /// Of the whole bus.
    pub(crate) retention: Retention,
    /// How long a lane looks for events before it rests.
    pub(crate) spin: Duration,
    pub(crate) precedence: Precedence,
}

/// A handler and the event type it is for.
pub(crate) struct Registered {
    pub(super) event: Arc<EventType>,
    pub(super) route: Arc<Route>,
    pub(super) run: Run,
    /// What was handled, where copies are not to be.
    pub(super) inbox: Option<Inbox>,
}

/// A subscription at work: what its lanes share.
pub(crate) struct Subscriber {
    pub(crate) name: Arc<str>,
    pub(super) journal: Arc<Journal>,
    /// The lanes that there are now. Replaced as a whole, while it is locked for writing.
    pub(super) formation: RwLock<Arc<Formation>>,
    pub(super) lanes: Lanes,
    /// Follows the load, where the number of lanes is to.
    pub(super) conductor: OnceLock<Conductor>,
    pub(super) handlers: BTreeMap<NameId, Registered>,
    /// What it is owed: the events of its handlers, and of handlers that it once had.
    pub(super) kinds: BTreeSet<NameId>,
    /// The same, for storage.
    pub(super) filter: Filter,
    pub(super) policy: Policy,
    /// The gate in words.
    pub(super) protection: Vec<String>,
    /// What protects whatever the handlers call, where anything does.
    pub(super) gate: Option<Box<Gate>>,
    /// Attempts that were started to go on elsewhere.
    pub(super) starts: AtomicU64,
    /// One event at a time is handled, so state needs no key.
    pub(super) alone: bool,
    pub(crate) dead: DeadLetterStore,
    pub(super) alarm: Alarm,
    /// Gives up old letters, where they are not kept for ever.
    pub(super) sweep: OnceLock<Sweep>,
    pub(super) lag: Lag,
    pub(super) effects: Effects,
    /// After a process that did not end cleanly.
    pub(super) careful: Option<Careful>,
    pub(super) quarantine: Arc<Quarantine>,
    pub(super) counters: Counters,
    /// If it has handlers that are called where events are published.
    pub(super) inline: Option<Arc<InlineSide>>,
    /// Losses before this position are on record.
    pub(super) lost_before: Mutex<Position>,
    /// Its cursor and dead letters outlive the process.
    pub(super) is_stored: bool,
    /// The state of a subscription that leaves nothing behind.
    pub(super) memory: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(super) watches: Watches,
    pub(super) on_stop: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    pub(super) paused: AtomicBool,
    pub(super) stopping: AtomicBool,
    /// Set once `failure` is.
    pub(super) failed: AtomicBool,
    pub(super) failure: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) handled: Counter,
    pub(super) retried: Counter,
    pub(super) beyond_window: Counter,
    pub(super) dead_lettered: Counter,
    pub(super) missed: Counter,
    /// Dead letters that were given up, in earlier runs too.
    pub(super) discarded: Counter,
    /// Positions, in earlier runs too.
    pub(super) lost: Counter,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a subscription is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether it runs.
    pub condition: Condition,
    /// How many lanes it has now.
    pub lanes: u32,
    /// How many it may have.
    pub lane_bounds: Lanes,
    /// How often the number has changed since the subscription started.
    pub lane_changes: u64,
    /// Events handled since the process started.
    pub handled: u64,
    /// Failed attempts that were followed, or will be, by another one.
    pub retried: u64,
    /// Events that became dead letters since the process started.
    pub dead_lettered: u64,
    /// Events that it missed since the process started because it was too far behind, as
    /// [`Overflow::Skip`] has it.
    pub skipped: u64,
    /// Calls of idempotent handlers with an event so old that a copy of it may have been handled and
    /// forgotten, since the process started.
    pub beyond_window: u64,
    /// Positions that it never got, because the log no longer has them; see `Subscription::losses`.
    pub lost: u64,
    /// Events in its lanes: being handled, waiting for a retry, or behind such a one.
    pub held: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// Dead letters that were discarded, in earlier runs too.
    pub discarded: u64,
    /// Where its circuit breaker stands, if it has one.
    pub breaker: Option<BreakerState>,
    /// Handlers that have taken longer than its timeout and cannot be cancelled.
    pub stuck: Vec<StuckHandler>,
    /// It rests because its pool is overloaded, and it is sheddable.
    pub shed: bool,
    /// Its [`LagObjective`](crate::LagObjective) is missed.
    pub late: bool,
}

/// Whether a subscription runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// It handles what comes.
    Running,
    /// It rests until it is resumed.
    Paused,
    /// It rests until dead letters are retried or discarded: there is no room for another one.
    DeadLettersFull,
    /// It has stopped for good, because the bus or the subscription was shut down.
    Stopped,
    /// It has stopped, because storage takes no more or the engine has failed. Says why.
    Failed(String),
}

impl Subscriber {
    pub(crate) fn runtime(&self) -> &Runtime {
        self.journal.runtime()
    }

    /// What it does with each type of event, from the outside to the handler.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&EventType, &[String])> {
        self.handlers.values().map(|registered| (&*registered.event, &*registered.run.steps))
    }

    /// What protects whatever its handlers call, in the order in which an event comes by.
    pub(crate) fn protection(&self) -> &[String] {
        &self.protection
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.is_stored
    }

    pub(super) fn clock(&self) -> &Clock {
        self.journal.clock()
    }

    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::Release);
        self.renew_inline();
        self.wake();
    }

    pub(crate) fn resume(&self) {
        self.paused.store(false, Ordering::Release);
        self.renew_inline();
        let formation = self.formation.read();
        for lane in formation.numbers() {
            self.journal.ring().poke(formation.group, lane);
        }
        formation.wake();
    }

    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Nothing more can be done. Whoever pulls is told.
    pub(super) fn fail(&self, why: &str) {
        tracing::error!(subscription = &*self.name, error = why, "the subscription stops");
        *self.failure.lock() = Some(why.to_owned());
        self.failed.store(true, Ordering::Release);
        self.detach_inline();
        self.tell_stop();
        self.wake();
    }

    /// No handler of it is called any more where events are published.
    fn detach_inline(&self) {
        if let Some(side) = &self.inline {
            side.detach();
        }
    }

    /// Has publishing threads see whether it is paused.
    fn renew_inline(&self) {
        if let Some(side) = &self.inline {
            side.renew();
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The committed value of a state key.
    pub(super) fn recall(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        if self.is_stored {
            self.journal.get(key)
        } else {
            Ok(self.memory.lock().get(key).cloned())
        }
    }

    /// Commits state in memory, where the subscription leaves nothing behind.
    pub(super) fn remember(&self, writes: keys::Writes) {
        let mut memory = self.memory.lock();
        for (key, value) in writes {
            match value {
                Some(value) => memory.insert(key, value),
                None => memory.remove(&key),
            };
        }
    }

    pub(super) fn is_full_of_dead_letters(&self) -> bool {
        self.dead.count() >= self.policy.max_dead_letters
    }

    /// Whether it is owed such events.
    pub(super) fn wants(&self, entry: &Entry) -> bool {
        self.kinds.contains(&entry.kind)
    }

    /// An event that a lane has open, to be held for longer.
    pub(super) fn entry(&self, event: &Open<'_>) -> Arc<Entry> {
        let registered = self.handlers.get(&event.kind()).map(|registered| &*registered.event);
        self.journal.entry(registered, event)
    }

    pub(super) fn send(&self, inbound: Inbound) {
        // Locked, so that the lane is not replaced before it is poked.
        let formation = self.formation.read();
        let lane = formation.send(inbound);
        // From now on, and until it has looked, the lane is not at rest for whoever waits.
        self.journal.ring().poke(formation.group, lane);
        if let Some(handle) = formation.lanes.get(lane as usize) {
            handle.wake();
        }
    }

    /// Tells the lane of an event something.
    pub(super) fn tell(&self, inbound: Inbound) {
        self.formation.read().send(inbound);
    }

    /// Has it change to so many lanes, if its bounds allow that.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn ask_for_lanes(&self, lanes: u32) {
        if let Some(conductor) = self.conductor.get() {
            conductor.ask(self.lanes.nearest(lanes));
        }
    }

    pub(super) fn formation(&self) -> Arc<Formation> {
        Arc::clone(&self.formation.read())
    }

    pub(crate) fn wake(&self) {
        self.formation().wake();
    }

    /// Has the lanes finish what they are at, and stop.
    pub(crate) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.detach_inline();
        self.tell_stop();
        self.wake();
    }

    pub(crate) fn is_pulled(&self) -> bool {
        self.on_stop.lock().is_some()
    }

    /// Tells whoever pulls that nothing more will come.
    fn tell_stop(&self) {
        let on_stop = self.on_stop.lock().take();
        if let Some(on_stop) = on_stop {
            on_stop();
        }
    }

    /// Whether it can handle anything.
    pub(crate) fn is_alive(&self) -> bool {
        !self.is_stopping() && !self.has_failed()
    }

    /// Waits for the lanes to stop. False where a handler still runs at the deadline.
    pub(crate) fn wait_stopped(&self, deadline: Tick) -> bool {
        let (journal, runtime) = (&self.journal, self.runtime());
        let have_stopped = || journal.ring().running(self.formation.read().group) == 0;
        runtime.wait(journal.quiet(), Some(deadline), have_stopped)
    }

    /// Takes note that nothing is under way, once the lanes have stopped.
    pub(crate) fn end_cleanly(&self) {
        if !self.is_stored || self.has_failed() {
            return;
        }
        if let Err(error) = careful::end(&self.journal, &self.name) {
            tracing::warn!(subscription = &*self.name, %error,
                "that the subscription ended cleanly could not be stored; it will be careful next time");
        }
    }

    /// Ends the lanes whatever they are at. They commit nothing after this.
    pub(crate) fn leave(&self) {
        self.stopping.store(true, Ordering::Release);
        self.detach_inline();
        let formation = self.leave_lanes();
        self.journal.ring().leave(formation.group);
        if let Some(conductor) = self.conductor.get() {
            conductor.stop();
        }
        if let Some(sweep) = self.sweep.get() {
            sweep.stop();
        }
        self.lag.stop();
        formation.muster.disband();
        self.journal.quiet().notify();
        self.tell_stop();
    }

    /// No others take over from these lanes after this.
    fn leave_lanes(&self) -> Arc<Formation> {
        let formation = self.formation.read();
        formation.lanes.iter().for_each(|lane| lane.leave());
        Arc::clone(&formation)
    }

    /// How many handlers are at work right now.
    pub(crate) fn running(&self) -> u64 {
        let formation = self.formation.read();
        let stuck = self.journal.ring().running(formation.group) as u64;
        formation.lanes.iter().map(|lane| lane.running()).sum::<u64>().max(stuck)
    }

    /// Where the events are that it is to get, as of the last turn of each lane. Reads on in the log
    /// for what no lane has taken yet, until `deadline`: at least so many wait then.
    pub(crate) fn ledger(&self, deadline: Tick) -> Ledger {
        // Locked, so that events do not go from one lane to another in between.
        let formation = self.formation.read();
        let accounts: Vec<_> = formation.lanes.iter().map(|lane| lane.account()).collect();
        let formation = Arc::clone(&formation);
        let from: Vec<_> = accounts.iter().map(|account| account.scanned).collect();
        let outside = Outside {
            untaken: self.count_untaken(&formation, &from, deadline),
            missed: self.counters.missed.get(),
            discarded: self.counters.discarded.get(),
            inline: self.inline.as_ref().map_or(0, |side| side.handled()),
        };
        Ledger::new(&accounts, outside)
    }

    /// How many events it is still to take, where each lane has come so far.
    fn count_untaken(&self, formation: &Formation, frontiers: &[u64], deadline: Tick) -> u64 {
        let ring = self.journal.ring();
        let untaken = |position: u64, tag: Tag| {
            let is_for = |lanes| tag.lane(position, lanes) as usize;
            let is_new = frontiers.get(is_for(formation.count())).is_some_and(|at| position >= *at);
            is_new && self.kinds.contains(&tag.kind()) && !formation.is_inherited(position, tag)
        };
        let (first, tags) = ring.tags();
        let in_ring = (first..).zip(tags).filter(|(at, tag)| untaken(*at, *tag)).count() as u64;
        let first = Position::new(first).unwrap_or(Position::FIRST);
        let mut from = frontiers.iter().min().and_then(|at| Position::new(*at)).unwrap_or(first);
        let mut behind = 0;
        while from < first && self.runtime().now() < deadline {
            let read = self.journal.read(from, first, &self.filter);
            let Some((entries, next)) = read.ok().filter(|(_, next)| *next > from) else { break };
            from = next;
            let left = |entry: &&Entry| untaken(entry.position.get(), entry.tag());
            behind += entries.iter().filter(left).count() as u64;
        }
        in_ring + behind
    }

    /// Positions from the first one that is not settled to the end of the journal.
    pub(crate) fn lag(&self) -> u64 {
        let end = self.journal.end();
        // Locked, so that the lanes are not replaced in between.
        let formation = self.formation.read();
        let low = formation.numbers().zip(&formation.lanes).map(|(lane, handle)| {
            // A reader that has left stands where its last commit put it.
            let ring = self.journal.ring();
            let frontier = ring.frontier(formation.group, lane).and_then(Position::new);
            let frontier = frontier.or(handle.low()).unwrap_or(end);
            handle.low().map_or(frontier, |low| low.min(frontier))
        });
        low.map(|low| end.since(low)).max().unwrap_or(0)
    }

    /// What it never got, because the log no longer has it.
    pub(crate) fn losses(&self) -> Result<Vec<Loss>, StorageError> {
        loss::list(&self.journal, &self.name)
    }

    /// Takes note of a loss, as far as another lane has not. The write keeps it on record.
    pub(super) fn lose(&self, loss: Loss) -> Option<Write> {
        let mut lost_before = self.lost_before.lock();
        let loss = Loss::new(loss.first.max(*lost_before), loss.last.next())?;
        *lost_before = loss.last.next();
        loss.report(&self.name);
        self.counters.lost.add(loss.positions());
        Some(loss.write(&self.name))
    }

    /// What was handled of such events, where copies are not to be.
    pub(super) fn inbox(&self, entry: &Entry) -> Option<&Inbox> {
        self.handlers.get(&entry.kind)?.inbox.as_ref()
    }

    /// Takes note of an event that is handled though a copy of it may have been.
    pub(super) fn note_beyond_window(&self, entry: &Entry) {
        self.counters.beyond_window.add(1);
        tracing::warn!(subscription = &*self.name, position = %entry.position,
            event = &*entry.envelope.name, id = %entry.envelope.id,
            "an event is so old that a copy of it may have been handled and forgotten");
    }

    /// Takes note of events that were passed over, because it was too slow.
    pub(super) fn note_missed(&self, missed: u64) {
        if missed > 0 {
            self.counters.missed.add(missed);
            tracing::warn!(subscription = &*self.name, missed, "too slow: events were skipped");
        }
    }

    /// An attempt begins that goes on elsewhere.
    pub(super) fn start(&self) -> Start {
        let gate = self.gate.as_ref();
        let deadline = gate.and_then(|gate| gate.deadline(self.clock().tick()));
        Start { serial: self.starts.fetch_add(1, Ordering::Relaxed), deadline }
    }

    /// Attempts made since it started.
    pub(super) fn attempts(&self) -> u64 {
        let Counters { handled, retried, dead_lettered, .. } = &self.counters;
        handled.get() + retried.get() + dead_lettered.get()
    }

    pub(crate) fn handled(&self) -> u64 {
        let inline = self.inline.as_ref().map_or(0, |side| side.handled());
        self.counters.handled.get() + inline
    }

    pub(crate) fn status(&self) -> Status {
        let (formation, gate) = (self.formation(), self.gate.as_ref());
        Status {
            condition: self.condition(),
            lanes: formation.count(),
            lane_bounds: self.lanes,
            lane_changes: self.conductor.get().map_or(0, Conductor::changes),
            handled: self.handled(),
            retried: self.counters.retried.get(),
            dead_lettered: self.counters.dead_lettered.get(),
            skipped: self.counters.missed.get(),
            beyond_window: self.counters.beyond_window.get(),
            lost: self.counters.lost.get(),
            held: formation.in_lanes(),
            dead_letters: self.dead.count(),
            discarded: self.counters.discarded.get(),
            breaker: gate.and_then(|gate| gate.breaker_state(self.runtime())),
            late: self.lag.is_missed(),
            shed: gate.is_some_and(|gate| gate.is_shed(self.runtime().now())),
            stuck: gate.map_or_else(Vec::new, |gate| gate.stuck(&formation.lanes, self.runtime())),
        }
    }

    fn condition(&self) -> Condition {
        if let Some(failure) = &*self.failure.lock() {
            return Condition::Failed(failure.clone());
        }
        if self.is_stopping() {
            Condition::Stopped
        } else if self.is_paused() {
            Condition::Paused
        } else if self.is_full_of_dead_letters() {
            Condition::DeadLettersFull
        } else {
            Condition::Running
        }
    }
}
