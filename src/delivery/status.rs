//! How a subscription is doing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Subscriber,
    conductor::Conductor,
    gate::{BreakerState, StuckHandler},
};
use crate::policy::Lanes;

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

    pub(super) fn get(&self) -> u64 {
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
    /// [`Overflow::Skip`](crate::Overflow::Skip) has it.
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
