//! A subscription at work: what its lanes share.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    DeadLetterStore, Run,
    cursor::Layer,
    lane_handle::{Inbound, LaneHandle},
};
use crate::{
    contract::{EventType, NameId},
    journal::{Entry, GroupId, Journal, ReaderId},
    message::Position,
    policy::Backoff,
    runtime::{Runtime, Tick},
    storage::StorageError,
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
}

/// A handler and the event type it is for.
pub(crate) struct Registered {
    pub(super) event: Arc<EventType>,
    pub(super) run: Run,
}

/// A subscription at work: what its lanes share.
pub(crate) struct Subscriber {
    pub(crate) name: Arc<str>,
    pub(super) journal: Arc<Journal>,
    pub(super) group: GroupId,
    pub(super) handlers: BTreeMap<NameId, Registered>,
    /// What it is owed: the events of its handlers, and of handlers that it once had.
    pub(super) kinds: BTreeSet<NameId>,
    pub(super) lanes: Vec<Arc<LaneHandle>>,
    pub(super) policy: Policy,
    pub(crate) dead: DeadLetterStore,
    pub(super) counters: Counters,
    /// Its cursor and dead letters outlive the process.
    pub(super) is_stored: bool,
    /// What was acknowledged when it had another number of lanes.
    pub(super) layers: Vec<Layer>,
    pub(super) on_stop: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    pub(super) paused: AtomicBool,
    pub(super) stopping: AtomicBool,
    pub(super) failure: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) handled: Counter,
    pub(super) retried: Counter,
    pub(super) dead_lettered: Counter,
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
    /// Events handled since the process started.
    pub handled: u64,
    /// Failed attempts that were followed, or will be, by another one.
    pub retried: u64,
    /// Events that became dead letters since the process started.
    pub dead_lettered: u64,
    /// Events in its lanes: being handled, waiting for a retry, or behind such a one.
    pub held: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
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
    /// It has stopped, because storage takes no more. Says why.
    Failed(String),
}

impl Subscriber {
    pub(crate) fn runtime(&self) -> &Runtime {
        self.journal.runtime()
    }

    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn resume(&self) {
        self.paused.store(false, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn fail(&self, error: &dyn Error) {
        let name = &*self.name;
        tracing::error!(subscription = name, %error, "a commit failed; the subscription stops");
        *self.failure.lock() = Some(error.to_string());
    }

    pub(super) fn is_full_of_dead_letters(&self) -> bool {
        self.dead.count() >= self.policy.max_dead_letters
    }

    pub(super) fn wants(&self, entry: &Entry, lane: u32) -> bool {
        self.kinds.contains(&entry.kind) && self.lane_of(entry) == lane
    }

    /// Whether the event was acknowledged when there was another number of lanes.
    pub(super) fn is_inherited(&self, entry: &Entry) -> bool {
        self.layers.iter().any(|layer| {
            let lane = entry.envelope.lane(entry.position, layer.lanes()) as usize;
            let cursor = layer.cursors.get(lane);
            cursor.is_some_and(|cursor| cursor.acknowledges(entry.position.get()))
        })
    }

    /// Has a lane handle a dead letter again. False where there is none at that position.
    pub(crate) fn revive(&self, position: Position) -> Result<bool, StorageError> {
        let Some(held) = self.dead.held(position)? else { return Ok(false) };
        let lane = self.lane_of(&held.entry);
        if let Some(handle) = self.lanes.get(lane as usize) {
            // Announced first, so that the lane is at work from now on for whoever waits.
            self.journal.tail().announce(ReaderId { group: self.group, lane });
            handle.send(Inbound::Revive(held));
        }
        Ok(true)
    }

    #[allow(clippy::cast_possible_truncation)] // bounded far below
    fn lane_of(&self, entry: &Entry) -> u32 {
        entry.envelope.lane(entry.position, self.lanes.len() as u32)
    }

    pub(crate) fn wake(&self) {
        self.lanes.iter().for_each(|lane| lane.wake());
    }

    /// Has the lanes finish what they are at, and stop.
    pub(crate) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(on_stop) = self.on_stop.lock().take() {
            on_stop();
        }
        self.wake();
    }

    /// Waits for the lanes to stop. False where a handler still runs at the deadline.
    pub(crate) fn wait_stopped(&self, deadline: Tick) -> bool {
        self.journal.tail().wait_stopped(self.journal.runtime(), self.group, deadline)
    }

    /// Ends the lanes whatever they are at.
    pub(crate) fn leave(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(on_stop) = self.on_stop.lock().take() {
            on_stop();
        }
        self.journal.tail().leave(self.group);
    }

    /// How many handlers are at work right now.
    pub(crate) fn running(&self) -> u64 {
        let stuck = self.journal.tail().running(self.group) as u64;
        self.lanes.iter().map(|lane| lane.running()).sum::<u64>().max(stuck)
    }

    /// How many events it is still owed: those in its lanes, and those that it has not taken yet.
    pub(crate) fn count_left(&self) -> u64 {
        let lanes = (0..).zip(&self.lanes);
        lanes.map(|(lane, handle)| handle.held() + self.count_untaken(lane)).sum()
    }

    fn count_untaken(&self, lane: u32) -> u64 {
        let reader = ReaderId { group: self.group, lane };
        let tail = self.journal.tail();
        let mut from = tail.frontier(reader);
        let (ring_first, in_ring) = tail.count_waiting(reader, from);
        let mut behind = 0;
        while from < ring_first {
            let Ok(entries) = self.journal.read(from, ring_first) else {
                break;
            };
            if entries.is_empty() {
                break;
            }
            from = from.plus(entries.len() as u64);
            let wanted = |entry: &&Entry| self.wants(entry, lane) && !self.is_inherited(entry);
            behind += entries.iter().filter(wanted).count() as u64;
        }
        in_ring + behind
    }

    /// Positions from the first one that is not settled to the end of the journal.
    pub(crate) fn lag(&self) -> u64 {
        let tail = self.journal.tail();
        let end = tail.end();
        let lanes = (0..).zip(&self.lanes);
        let low = lanes.map(|(lane, handle)| {
            let frontier = tail.frontier(ReaderId { group: self.group, lane });
            handle.low().map_or(frontier, |low| low.min(frontier))
        });
        low.map(|low| end.since(low)).max().unwrap_or(0)
    }

    pub(crate) fn handled(&self) -> u64 {
        self.counters.handled.get()
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            condition: self.condition(),
            handled: self.counters.handled.get(),
            retried: self.counters.retried.get(),
            dead_lettered: self.counters.dead_lettered.get(),
            held: self.lanes.iter().map(|lane| lane.held()).sum(),
            dead_letters: self.dead.count(),
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
