//! Has the number of lanes of a subscription follow its load.
//!
//! Each adaptive subscription has one task for it. While lanes have turns it looks at them now and
//! then ([`sizing`]); where their number is to change it has them come together ([`super::muster`]),
//! and sets others up in their stead ([`change`]).

mod change;
mod gauge;
mod sizing;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use change::{Change, NotStored};
pub(super) use gauge::Gauge;
use sizing::{LOOK, Load, Sizing};

use super::{Subscriber, formation::Formation, lane::LaneHandle};
use crate::{
    journal::{GroupId, Ticket},
    runtime::{PoolId, Step, Task, Tick},
};

/// The thread for it. Shared by all, since there is little to do, and apart from handlers.
const POOL: &str = "tidings lanes"; // no user can name it so

/// How long lanes may wait for the last one to come in. Doubles each time that it was too short.
const PATIENCE: Duration = Duration::from_millis(200);
const MOST_PATIENCE: Duration = Duration::from_secs(5);

/// What others have to do with the conductor.
pub(crate) struct Conductor {
    task: Arc<Task>,
    /// When the next look is to be, in nanoseconds since the runtime started. It is on its way until
    /// then; one of the past is none.
    due: AtomicU64,
    changes: AtomicU64,
    /// The number of lanes that somebody wants; 0 for none.
    asked: AtomicU32,
}

impl Conductor {
    /// Sets up the conductor of a subscription whose lanes run on `pool`.
    pub(super) fn start(subscriber: &Arc<Subscriber>, pool: PoolId) {
        let runtime = subscriber.runtime();
        let own = runtime.pool(POOL, 1);
        subscriber.conductor.get_or_init(|| {
            let mut conducting = Conducting::new(subscriber, pool);
            let task = runtime.task(own, move || conducting.guarded());
            Self { task, due: 0.into(), changes: 0.into(), asked: 0.into() }
        });
    }

    /// A lane begins a turn.
    pub(super) fn note_turn(&self, subscriber: &Subscriber, lane: &LaneHandle) {
        let now = subscriber.clock().tick();
        lane.gauge.begin(now);
        if self.due.load(Ordering::Relaxed) <= nanos(now) {
            self.arm(subscriber);
        }
    }

    /// How often the number of lanes has changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Has it change to so many lanes.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn ask(&self, lanes: u32) {
        self.asked.store(lanes, Ordering::Release);
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.task.wake();
    }

    pub(super) fn stop(&self) {
        self.task.stop();
    }

    /// Has it look soon, if it is not going to anyway.
    fn arm(&self, subscriber: &Subscriber) {
        let (now, due) = (subscriber.runtime().now(), self.due.load(Ordering::Acquire));
        let next = nanos(now.saturating_add(LOOK));
        let set = |due| self.due.compare_exchange(due, next, Ordering::AcqRel, Ordering::Relaxed);
        if due <= nanos(now) && set(due).is_ok() {
            self.wake_in(LOOK, subscriber);
        }
    }

    /// Whether it is too early for the next look.
    fn is_early(&self, now: Tick) -> bool {
        self.due.load(Ordering::Acquire) > nanos(now)
    }

    fn wake_in(&self, time: Duration, subscriber: &Subscriber) {
        let runtime = subscriber.runtime();
        runtime.wake_at(runtime.now().saturating_add(time), &self.task);
    }
}

/// The body of the task.
struct Conducting {
    subscriber: Arc<Subscriber>,
    /// Where the lanes run.
    pool: PoolId,
    sizing: Sizing,
    stage: Stage,
    seen: Seen,
    patience: Duration,
}

enum Stage {
    Watching,
    /// The lanes come in.
    Calling {
        lanes: u32,
        until: Option<Tick>,
    },
    /// What is to be is on its way to storage.
    Storing {
        change: Change,
        ticket: Arc<Ticket>,
    },
}

/// What the last look has found.
struct Seen {
    at: Tick,
    end: u64,
    group: GroupId,
    busy: Duration,
    done: u64,
}

impl Conducting {
    fn new(subscriber: &Arc<Subscriber>, pool: PoolId) -> Self {
        Self {
            sizing: Sizing::new(subscriber.lanes),
            seen: Seen { at: Tick::ZERO, end: 0, group: 0, busy: Duration::ZERO, done: 0 },
            subscriber: Arc::clone(subscriber),
            pool,
            stage: Stage::Watching,
            patience: PATIENCE,
        }
    }

    fn guarded(&mut self) -> Step {
        if catch_unwind(AssertUnwindSafe(|| self.step())).is_err() {
            self.give_up("the engine panicked; please report this as a bug");
        }
        Step::Wait
    }

    fn step(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Watching) {
            Stage::Watching => self.watch(),
            Stage::Calling { lanes, until } => self.wait_for_lanes(lanes, until),
            Stage::Storing { change, ticket } => self.wait_for_storage(change, ticket),
        };
    }

    fn watch(&mut self) -> Stage {
        let subscriber = Arc::clone(&self.subscriber);
        let Some(conductor) = subscriber.conductor.get() else { return Stage::Watching };
        if !subscriber.is_alive() {
            return Stage::Watching;
        }
        let formation = subscriber.formation();
        let asked = conductor.asked.swap(0, Ordering::AcqRel);
        if asked > 0 && asked != formation.count() {
            return self.call(&formation, subscriber.lanes.nearest(asked));
        }
        let now = subscriber.runtime().now();
        if conductor.is_early(now) {
            return Stage::Watching; // woken for something that is over
        }
        // Before the look: a turn that it does not see has it look again.
        conductor.due.store(0, Ordering::Release);
        if now.saturating_sub(self.seen.at) < LOOK / 2 {
            conductor.arm(&subscriber);
            return Stage::Watching;
        }
        let before = self.seen.done;
        let load = self.look(&formation, now);
        if let Some(lanes) = self.sizing.look(&load) {
            return self.call(&formation, lanes);
        }
        let in_turn = formation.lanes.iter().any(|lane| lane.gauge.is_in_turn());
        if in_turn || load.done > before || self.sizing.is_shrinking() {
            conductor.arm(&subscriber);
        }
        Stage::Watching
    }

    /// What there is to see now. An event waits for long that was there at the last look.
    fn look(&mut self, formation: &Formation, now: Tick) -> Load {
        let (subscriber, lanes) = (&self.subscriber, formation.count());
        let ring = subscriber.journal.ring();
        let turns = formation.lanes.iter().map(|lane| lane.gauge.total(now)).sum::<Duration>();
        let is_new = self.seen.group != formation.group;
        let before = if is_new { Duration::ZERO } else { self.seen.busy };
        let time = now.saturating_sub(self.seen.at).max(Duration::from_nanos(1));
        let enough = formation.lanes.len() + 1;
        let keys = ring.keys_waiting(formation.group, self.seen.end, enough);
        let done = subscriber.attempts();
        let busy = turns.saturating_sub(before).as_secs_f64() / time.as_secs_f64();
        let (group, end) = (formation.group, ring.end());
        self.seen = Seen { at: now, end, group, busy: turns, done };
        Load {
            now,
            lanes,
            keys: u32::try_from(keys).unwrap_or(u32::MAX),
            busy: busy + in_flight(formation, subscriber.policy.max_in_flight),
            done,
            fits: formation.in_lanes() <= subscriber.policy.max_parked as u64 / 2,
        }
    }

    /// Has the lanes come in. One that is alone holds nobody up.
    fn call(&mut self, formation: &Formation, lanes: u32) -> Stage {
        tracing::debug!(
            subscription = &*self.subscriber.name,
            from = formation.count(),
            to = lanes,
            "the number of lanes changes"
        );
        let conductor = self.subscriber.conductor.get();
        let runtime = self.subscriber.runtime();
        let others = formation.count() > 1;
        let until = others.then(|| runtime.now().saturating_add(self.patience));
        if let Some(conductor) = conductor.filter(|_| others) {
            conductor.wake_in(self.patience, &self.subscriber);
        }
        formation.muster.call();
        formation.wake();
        Stage::Calling { lanes, until }
    }

    fn wait_for_lanes(&mut self, lanes: u32, until: Option<Tick>) -> Stage {
        let subscriber = Arc::clone(&self.subscriber);
        let formation = subscriber.formation();
        if !subscriber.is_alive() {
            return self.call_off(&formation);
        }
        if let Some(all) = formation.muster.take() {
            return match Change::of(&subscriber, &formation, all, lanes) {
                Ok(change) => self.begin(change),
                Err(all) => {
                    for lane in all {
                        formation.muster.come_in(lane);
                    }
                    self.call_off(&formation)
                }
            };
        }
        let now = subscriber.runtime().now();
        if until.is_some_and(|until| now >= until) {
            self.patience = self.patience.saturating_mul(2).min(MOST_PATIENCE);
            return self.call_off(&formation);
        }
        Stage::Calling { lanes, until }
    }

    /// The lanes go on as they were.
    fn call_off(&mut self, formation: &Formation) -> Stage {
        let runtime = self.subscriber.runtime();
        self.sizing.note_failure(runtime.now());
        formation.muster.call_off();
        formation.wake();
        self.watch_on();
        Stage::Watching
    }

    fn begin(&mut self, change: Change) -> Stage {
        let Some(conductor) = self.subscriber.conductor.get() else { return Stage::Watching };
        match change.store(&self.subscriber, &conductor.task) {
            Ok(Some(ticket)) if !ticket.is_done() => Stage::Storing { change, ticket },
            Ok(Some(ticket)) => self.wait_for_storage(change, ticket),
            Ok(None) => self.carry_out(change),
            // Somebody else may have the name.
            Err(NotStored::Left) => Stage::Watching,
            Err(NotStored::Failed(error)) => {
                self.give_up(&error.to_string());
                Stage::Watching
            }
        }
    }

    fn wait_for_storage(&mut self, change: Change, ticket: Arc<Ticket>) -> Stage {
        match ticket.take() {
            None => Stage::Storing { change, ticket },
            Some(Ok(_)) => self.carry_out(change),
            Some(Err(rejected)) => {
                self.give_up(&rejected.failure.to_string());
                Stage::Watching
            }
        }
    }

    fn carry_out(&mut self, change: Change) -> Stage {
        let subscriber = Arc::clone(&self.subscriber);
        if change.carry_out(&subscriber, self.pool)
            && let Some(conductor) = subscriber.conductor.get()
        {
            conductor.changes.fetch_add(1, Ordering::Relaxed);
        }
        self.patience = PATIENCE;
        self.watch_on();
        Stage::Watching
    }

    fn watch_on(&mut self) {
        if let Some(conductor) = self.subscriber.conductor.get() {
            conductor.arm(&self.subscriber);
        }
    }

    /// The subscription ends, with its lanes wherever they are.
    fn give_up(&mut self, why: &str) {
        let subscriber = &self.subscriber;
        subscriber.fail(why);
        let formation = subscriber.formation();
        for lane in formation.numbers() {
            subscriber.journal.ring().expel(formation.group, lane);
        }
        subscriber.journal.quiet().notify();
    }
}

/// How many lanes are full of what is handled elsewhere.
#[allow(clippy::cast_precision_loss)] // far below 2^52
fn in_flight(formation: &Formation, most: usize) -> f64 {
    let running: u64 = formation.lanes.iter().map(|lane| lane.running()).sum();
    running as f64 / most as f64
}

fn nanos(tick: Tick) -> u64 {
    u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX)
}
