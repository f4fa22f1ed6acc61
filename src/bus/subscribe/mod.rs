//! Describing a subscription, and starting it.

mod error;
mod handlers;
mod start;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

pub use error::SubscribeError;

use super::Inner;
use crate::{
    contract::EventType,
    delivery::{
        AlarmHook, DeadLetterAlarm, Idempotency, NamedLayer, Passes, Policy, Protection,
        ReplayPlan, Run,
    },
    policy::{Backoff, LagObjective, Lanes, OnDeadLetter, Overflow, Start},
    runtime::{Precedence, Runtime},
};

/// The most lanes that a subscription may have.
const MAX_LANES: u32 = 1024;

/// The most events that a lane may park, or have in flight: its cursor names each of them.
const MAX_HELD: usize = 20_000;

/// A subscription being described. It runs once it is started.
#[must_use = "a subscription does nothing until it is started"]
pub struct SubscriptionBuilder {
    bus: Arc<Inner>,
    name: Arc<str>,
    handlers: Vec<(Arc<EventType>, Run)>,
    filters: Vec<(Arc<EventType>, Passes)>,
    live_only: Vec<Arc<EventType>>,
    idempotencies: Vec<(Arc<EventType>, Idempotency)>,
    layers: Vec<NamedLayer>,
    ignored: BTreeSet<String>,
    lanes: Lanes,
    pool: String,
    start: Start,
    pub(super) policy: Policy,
    alarm: Option<AlarmHook>,
    pub(super) protection: Protection,
    pub(super) objective: Option<LagObjective>,
    ephemeral: bool,
    replay: Option<ReplayPlan>,
    paused: bool,
    /// A subscription of the bus's own, whose name users cannot take.
    own: bool,
    /// The first thing that is wrong, told at the start.
    wrong: Option<SubscribeError>,
}

impl SubscriptionBuilder {
    pub(super) fn new(bus: Arc<Inner>, name: &str) -> Self {
        let policy = Policy {
            retry: Backoff::default(),
            max_parked: 10_000,
            max_in_flight: 64,
            max_dead_letters: 100_000,
            max_crashes: 3,
            max_hops: bus.max_hops,
            dead_letter_retention: None,
            on_dead_letter: OnDeadLetter::default(),
            overflow: Overflow::default(),
            retention: bus.retention,
            spin: Duration::ZERO,
            precedence: Precedence::default(),
        };
        Self {
            bus,
            name: name.into(),
            handlers: Vec::new(),
            filters: Vec::new(),
            live_only: Vec::new(),
            idempotencies: Vec::new(),
            layers: Vec::new(),
            ignored: BTreeSet::new(),
            lanes: Lanes::fixed(1),
            pool: Runtime::DEFAULT_POOL.into(),
            start: Start::default(),
            policy,
            alarm: None,
            protection: Protection::default(),
            objective: None,
            ephemeral: false,
            replay: None,
            paused: false,
            own: false,
            wrong: None,
        }
    }

    /// The most lanes that there may be.
    pub(crate) fn most_lanes(&self) -> u32 {
        self.lanes.most()
    }

    /// When a failed event is tried again. [`Backoff::default`] unless set.
    pub fn retry(mut self, backoff: Backoff) -> Self {
        self.policy.retry = backoff;
        self
    }

    /// How many lanes there are, from 1 (the default) to 1,024: a number, or [`Lanes::adaptive`],
    /// which follows the load. Events of one key always go to one lane, in order; lanes run in
    /// parallel. The number may change from one start to the next.
    pub fn lanes(mut self, lanes: impl Into<Lanes>) -> Self {
        self.lanes = lanes.into();
        self
    }

    /// The pool to run on. [`Runtime::DEFAULT_POOL`] unless set.
    pub fn pool(mut self, name: &str) -> Self {
        self.pool = name.into();
        self
    }

    /// Where the subscription starts when its name is new. [`Start::Earliest`] unless set.
    pub fn start_at(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// How many dead letters are kept, from 1. 100,000 by default. When there is no room for another
    /// one, the subscription rests until some are retried or discarded: nothing is dropped.
    pub fn dead_letters(mut self, max: u64) -> Self {
        self.policy.max_dead_letters = max.max(1);
        self
    }

    /// Calls this when there are 80 % of the dead letters that are kept, and when there is no room for
    /// another one: once each time that this comes to be so, and at the start if it is. It is called
    /// by a thread of the subscription, whose events wait meanwhile; a panic in it is traced.
    pub fn on_dead_letter_alarm(
        mut self,
        hook: impl Fn(DeadLetterAlarm) + Send + Sync + 'static,
    ) -> Self {
        self.alarm = Some(AlarmHook::new(hook));
        self
    }

    /// How long dead letters are kept: those that died longer ago are given up, which is traced with
    /// their number and counted by [`Status::discarded`](crate::Status::discarded). Looked at when the
    /// subscription starts, and about when a letter has come of age. For ever unless set.
    pub fn dead_letter_retention(mut self, age: Duration) -> Self {
        self.policy.dead_letter_retention = Some(age);
        self
    }

    /// What a dead letter means for later events of its key: they go on without it, unless this says
    /// [`OnDeadLetter::HoldKey`].
    pub fn on_dead_letter(mut self, policy: OnDeadLetter) -> Self {
        self.policy.on_dead_letter = policy;
        self
    }

    /// How many processes in a row may end while one event is being handled, from 1; 3 by default. Then
    /// the event becomes a dead letter, [`Crashed`](crate::DeadLetterReason::Crashed): its handler is
    /// taken to be what ends them. The first of them does not count, since only a subscription that
    /// did not end cleanly takes notes. Where processes are killed all the time, more may be better.
    pub fn max_crashes(mut self, processes: u32) -> Self {
        self.policy.max_crashes = processes.max(1);
        self
    }

    /// How many events a lane may hold that wait for a retry, or behind such a one; from 1 to
    /// 20,000, 10,000 by default. At the bound the lane takes nothing new until one is settled.
    pub fn max_parked(mut self, events: usize) -> Self {
        self.policy.max_parked = events.clamp(1, MAX_HELD);
        self
    }

    /// How many events of a lane may be under way in async handlers, or pulled and not settled;
    /// from 1, 64 by default. Always one at a time for each key.
    pub fn max_in_flight(mut self, events: usize) -> Self {
        self.policy.max_in_flight = events.clamp(1, MAX_HELD);
        self
    }

    /// What happens on a volatile bus when the subscription is so far behind that the ring is full:
    /// publishers wait for it unless this says otherwise. No effect on a durable bus, which reads on
    /// from storage.
    pub fn on_lag(mut self, overflow: Overflow) -> Self {
        self.policy.overflow = overflow;
        self
    }

    /// Has a lane with nothing to do look for events all the time, for so long, before it rests: an
    /// event then reaches its handler in well under a microsecond, where waking a thread takes
    /// several to tens of them. Each such lane keeps a thread of its pool, and so a core, busy
    /// meanwhile: give it a pool of its own. Not at all unless set.
    pub fn spin(mut self, time: Duration) -> Self {
        self.policy.spin = time;
        self
    }

    /// Leaves nothing behind: the subscription starts anew each time, where `start_at` says, and
    /// its dead letters live in memory. For caches and for looking around.
    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    /// Has it go through a part of the past, and no further; so many times as fast as that was
    /// published, if that is to be.
    pub(crate) fn replaying(mut self, replay: ReplayPlan, pace: Option<f64>) -> Self {
        (self.replay, self.protection.pace) = (Some(replay), pace);
        self
    }

    /// Has it take nothing: it is there to be asked.
    pub(crate) fn at_rest(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Gives up on an event that the subscription once handled. Without this, a stored subscription
    /// whose handler for an event is gone sends that event to the dead letters: what it was to get
    /// is never skipped in silence.
    pub fn ignore(mut self, event: &str) -> Self {
        self.ignored.insert(event.into());
        self
    }
}

impl std::fmt::Debug for SubscriptionBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubscriptionBuilder")
            .field("name", &self.name)
            .field("lanes", &self.lanes)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
