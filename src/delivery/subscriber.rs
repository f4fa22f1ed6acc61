//! A subscription at work: what its lanes share.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use super::{
    DeadLetterStore, Plan, Probed, Run,
    careful::{self, Careful},
    conductor::Conductor,
    dead_letter::Alarm,
    effects::Effects,
    formation::Formation,
    gate::{Gate, Start},
    idempotency::Inbox,
    inline::InlineSide,
    keys,
    lag::Lag,
    lane::Inbound,
    loss::{self, Loss},
    quarantine::Quarantine,
    status::Counters,
    sweep::Sweep,
    watch::Watches,
};
use crate::{
    contract::{EventType, NameId},
    journal::{Entry, Journal, Mistake, Open, Route},
    message::Position,
    policy::{Backoff, Lanes, OnDeadLetter, Overflow, Retention},
    runtime::{Clock, Precedence, Runtime, Tick},
    storage::{Filter, KeyValue, StorageError, Write},
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
    pub(super) run: Arc<Run>,
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
    pub(super) probed: Probed,
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
    /// What it was started with, to be started so again.
    pub(super) plan: Plan,
    /// Events before it have come before, or may have.
    pub(super) repeats_before: Position,
    /// It is a replay, and gets nothing from there on.
    pub(super) until: Option<Position>,
    /// In whose name effects are told apart.
    pub(super) effects_of: Arc<str>,
    /// The one that has taken over from it.
    pub(crate) successor: OnceLock<Arc<Self>>,
    /// Set once `failure` is.
    pub(super) failed: AtomicBool,
    pub(super) failure: Mutex<Option<String>>,
}

impl Subscriber {
    pub(crate) fn runtime(&self) -> &Runtime {
        self.journal.runtime()
    }

    /// Whether the tests have planted this mistake. Never, outside of tests.
    #[inline]
    pub(super) fn is_planted(&self, mistake: Mistake) -> bool {
        self.journal.is_planted(mistake)
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

    /// The committed values of state keys below a prefix and after a key, at most so many.
    pub(crate) fn recall_page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        if self.is_stored {
            return self.journal.scan_page(prefix, after, most);
        }
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let memory = self.memory.lock();
        let page = memory.range::<[u8], _>((from, Bound::Unbounded));
        let page = page.take_while(|(key, _)| key.starts_with(prefix)).take(most);
        Ok(page.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// The committed value of a state key.
    pub(crate) fn recall(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        if self.is_stored {
            self.journal.get(key)
        } else {
            Ok(self.memory.lock().get(key).cloned())
        }
    }

    /// The committed value of that name, for a key.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn state(
        &self,
        key: Option<&crate::event::Key>,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        self.recall(&keys::state(&self.name, key, name))
    }

    /// Stores that value, for a subscription that is stored.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn put_state(
        &self,
        key: Option<&crate::event::Key>,
        name: &str,
        value: Vec<u8>,
    ) -> Result<(), StorageError> {
        self.journal.write(vec![Write::put(keys::state(&self.name, key, name), value)])
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
        self.kinds.contains(&entry.kind) && self.is_in_part(entry)
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
        formation.wake_lane(lane);
    }

    /// Tells the lane of an event something.
    pub(super) fn tell(&self, inbound: Inbound) {
        let formation = self.formation.read();
        let lane = formation.send(inbound);
        if !self.is_planted(Mistake::ForgetToWake) {
            formation.wake_lane(lane);
        }
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
        let deadline = gate.and_then(|gate| gate.deadline(self.clock().tick(), self.is_pulled()));
        Start { serial: self.starts.fetch_add(1, Ordering::Relaxed), deadline }
    }
}
