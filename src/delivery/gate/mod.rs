//! What stands between a subscription's lanes and its handlers, to protect what those call.
//!
//! A lane asks whether the gate is open before it takes an event, has each event admitted before an
//! attempt, and tells how the attempt ended. Whatever has to wait is parked or left in the journal:
//! nothing is lost here, and no thread sleeps. A subscription without protection has no gate.

mod breaker;
mod bucket;
mod budget;
mod circuit;
mod classes;
mod deadline;
mod pace;
mod protection;
mod slots;
mod timesheet;
mod window;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;

pub use breaker::BreakerState;
pub(crate) use budget::Budget;
pub(crate) use classes::Classes;
#[cfg(feature = "tokio")]
pub(super) use deadline::Cancel;
pub use deadline::TimedOut;
pub(super) use deadline::{Deadline, Start};
pub(crate) use protection::Protection;
pub use timesheet::StuckHandler;
pub(super) use timesheet::Timesheet;

use breaker::Breaker;
use bucket::{Bucket, Buckets};
use circuit::{Broken, Call};
use pace::Pace;
use slots::{Permit, Slots};
use timesheet::Timekeeper;

use super::{HandlerError, Subscriber, context::Staged, lane::LaneHandle, parking::Held};
use crate::{
    event::Key,
    journal::{Mistake, Planted},
    message::Position,
    runtime::{PoolId, Runtime, Task, Tick},
};

/// So many keys can be busy at one time under a rate for each.
const MOST_KEYS: usize = 100_000;

/// What stands between a subscription's lanes and its handlers. Shared by the lanes.
pub(crate) struct Gate {
    rate: Option<Bucket>,
    keys: Option<Mutex<Buckets<Key>>>,
    breaker: Option<Breaker>,
    /// Each of them has to pay for a retry.
    budgets: Vec<Arc<Budget>>,
    classes: Classes,
    slots: Option<Arc<Slots>>,
    timeout: Option<Duration>,
    pace: Option<Pace>,
    /// The pool, where the subscription rests while that is overloaded.
    shed: Option<(Runtime, PoolId)>,
    /// Where there is a timeout, once the subscription has begun.
    timekeeper: OnceLock<Timekeeper>,
    planted: Planted,
}

/// How long a lane is to take nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Until(Tick),
    /// As many handlers are at work as may be.
    Full,
}

/// Why an event is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The gate is shut for all.
    Shut,
    /// This one has to wait until then; others may go on.
    Until(Tick),
    /// It is a retry that nothing pays for. It is to be put off for a while.
    Unpaid,
}

/// What an event has on its way to its handler and back.
#[derive(Debug, Default)]
pub(super) struct Pass {
    call: Option<Call>,
    began: Tick,
    permit: Option<Permit>,
}

impl Pass {
    /// Whether a failure is the breaker's business alone, and no attempt of the event.
    pub(super) fn is_probe(&self) -> bool {
        self.call.is_some_and(|call| call.is_probe)
    }
}

/// How an attempt ended, as far as it says something of what the handler calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    Badly,
    /// The event was at fault, or no handler was called.
    WithoutCall,
}

impl Ended {
    /// Of an attempt that did not fail. A filter or an inbox may have kept the event from its handler.
    pub(super) fn of(staged: &Staged) -> Self {
        if staged.skipped.is_some() { Self::WithoutCall } else { Self::Well }
    }
}

impl Gate {
    /// `None` where there is nothing to protect.
    pub(super) fn new(
        protection: Protection,
        subscription: &Arc<str>,
        shed: Option<(Runtime, PoolId)>,
        planted: Planted,
    ) -> Option<Box<Self>> {
        let own = protection.retry_budget.map(|settings| Arc::new(Budget::new(settings)));
        let keys = |rate| Mutex::new(Buckets::new(rate, MOST_KEYS));
        let gate = Self {
            rate: protection.rate.map(Bucket::new),
            keys: protection.rate_per_key.map(keys),
            breaker: protection.breaker.map(|breaker| Breaker::new(breaker, subscription)),
            budgets: own.into_iter().chain(protection.shared_budget).collect(),
            classes: protection.classes,
            slots: protection.max_concurrency.map(Slots::new),
            timeout: protection.timeout,
            pace: protection.pace.map(Pace::new),
            shed,
            timekeeper: OnceLock::new(),
            planted,
        };
        gate.protects().then(|| Box::new(gate))
    }

    fn protects(&self) -> bool {
        let Self { rate, keys, breaker, budgets, classes, slots, timeout, pace, shed, .. } = self;
        let calls = rate.is_some() || keys.is_some() || breaker.is_some() || pace.is_some();
        let handlers = slots.is_some() || timeout.is_some() || shed.is_some();
        calls || handlers || !budgets.is_empty() || !classes.is_empty()
    }

    /// The subscription begins.
    pub(super) fn begin(&self, subscriber: &Arc<Subscriber>) {
        if let Some(timeout) = self.timeout {
            self.timekeeper.get_or_init(|| Timekeeper::new(subscriber, timeout));
        }
    }

    fn timekeeper(&self) -> Option<&Timekeeper> {
        self.timekeeper.get()
    }

    /// A lane calls a handler, with an event that may not be known. True where it is to tell its
    /// timesheet when the handler has returned.
    pub(super) fn clock_in(
        &self,
        timesheet: &Timesheet,
        position: Option<Position>,
        runtime: &Runtime,
        now: Tick,
    ) -> bool {
        let Some(timekeeper) = self.timekeeper() else { return false };
        timekeeper.begin(timesheet, now, position, runtime);
        true
    }

    /// When an attempt is too late that begins now, or when its event is pulled.
    pub(super) fn deadline(&self, now: Tick, is_pulled: bool) -> Option<Deadline> {
        self.timeout.map(|timeout| Deadline::new(now, timeout, is_pulled))
    }

    /// The handlers of these lanes that take too long.
    pub(super) fn stuck(&self, lanes: &[Arc<LaneHandle>], runtime: &Runtime) -> Vec<StuckHandler> {
        let Some(timeout) = self.timeout else { return Vec::new() };
        let (now, wall) = (runtime.now(), runtime.wall());
        let in_lane = |(lane, handle): (u32, &Arc<LaneHandle>)| {
            let stuck = handle.timesheet.stuck(now, timeout).into_iter();
            stuck.map(move |(position, since)| {
                let since = wall.minus(now.saturating_sub(since));
                StuckHandler { lane, position, since }
            })
        };
        (0..).zip(lanes).flat_map(in_lane).collect()
    }

    /// Whether it has to be asked for each event.
    pub(super) fn is_for_each(&self) -> bool {
        let is_bound = self.rate.is_some() || self.keys.is_some() || self.slots.is_some();
        let is_bound = is_bound || self.pace.is_some();
        is_bound || self.is_broken()
    }

    /// Whether it has to be told of each event.
    pub(super) fn times_calls(&self) -> bool {
        self.breaker.as_ref().is_some_and(Breaker::times_calls)
    }

    /// Whether handlers are not called, or on probation only.
    pub(super) fn is_broken(&self) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| !breaker.is_closed())
    }

    pub(super) fn breaker_state(&self, runtime: &Runtime) -> Option<BreakerState> {
        self.breaker.as_ref().map(|breaker| breaker.state(runtime))
    }

    /// Whether a lane is to take nothing now.
    pub(super) fn rest(&self, lane: u32, now: Tick) -> Option<Rest> {
        let broken = self.breaker.as_ref().and_then(|breaker| breaker.rest(now));
        let broken = broken.filter(|_| !self.planted.is(Mistake::IgnoreBreaker));
        let limited = || self.rate.as_ref()?.opens_at(now).map(Rest::Until);
        let full = || self.slots.as_ref()?.is_full(lane).then_some(Rest::Full);
        broken.or_else(|| self.overload(now)).or_else(limited).or_else(full)
    }

    fn overload(&self, now: Tick) -> Option<Rest> {
        let (runtime, pool) = self.shed.as_ref()?;
        let until = runtime.overloaded_until(*pool);
        (until > now).then_some(Rest::Until(until))
    }

    /// Whether the subscription rests because its pool is overloaded.
    pub(super) fn is_shed(&self, now: Tick) -> bool {
        self.overload(now).is_some()
    }

    /// Has the lane woken when there is room for another handler. False if there is.
    pub(super) fn wait_for_room(&self, lane: u32, task: &Arc<Task>) -> bool {
        self.slots.as_ref().is_some_and(|slots| slots.wait(lane, task))
    }

    /// The lane does not wait for room.
    pub(super) fn forget(&self, lane: u32) {
        if let Some(slots) = &self.slots {
            slots.forget(lane);
        }
    }

    /// Lets an event through to its handler, or says why not.
    pub(super) fn admit(&self, held: &Held, lane: u32, now: Tick) -> Result<Pass, Refusal> {
        if self.rest(lane, now).is_some() {
            return Err(Refusal::Shut);
        }
        if !held.is_tried() {
            let pass = self.admit_paid(held, lane, now)?;
            self.budgets.iter().for_each(|budget| budget.deposit(1, now));
            return Ok(pass);
        }
        let paid = self.budgets.iter().take_while(|budget| budget.withdraw(now)).count();
        let is_paid = paid == self.budgets.len();
        let admitted =
            if is_paid { self.admit_paid(held, lane, now) } else { Err(Refusal::Unpaid) };
        if admitted.is_err() {
            self.budgets.iter().take(paid).for_each(|budget| budget.refund(now));
        }
        admitted
    }

    fn admit_paid(&self, held: &Held, lane: u32, now: Tick) -> Result<Pass, Refusal> {
        let permit = self.permit(lane)?;
        self.pay(held, now)?;
        let enter = |breaker: &Breaker| breaker.enter(now, held.is_fresh());
        match self.breaker.as_ref().map(enter).transpose() {
            Ok(call) => Ok(Pass { call, began: now, permit }),
            Err(_) if self.planted.is(Mistake::IgnoreBreaker) => {
                Ok(Pass { call: None, began: now, permit })
            }
            Err(Broken::Shut(_)) => Err(Refusal::Shut),
            Err(Broken::ForFailed { until }) => Err(Refusal::Until(until)),
        }
    }

    fn permit(&self, lane: u32) -> Result<Option<Permit>, Refusal> {
        match &self.slots {
            _ if self.planted.is(Mistake::IgnoreConcurrency) => Ok(None),
            Some(slots) => slots.take(lane).map(Some).ok_or(Refusal::Shut),
            None => Ok(None),
        }
    }

    fn pay(&self, held: &Held, now: Tick) -> Result<(), Refusal> {
        if let Some(pace) = &self.pace {
            let published_at = held.entry.envelope.published_at;
            pace.admit(published_at, now).map_err(Refusal::Until)?;
        }
        if let (Some(keys), Some(key)) = (&self.keys, held.key())
            && !self.planted.is(Mistake::KeyRateNotCharged)
        {
            keys.lock().take(key, now).map_err(Refusal::Until)?;
        }
        if let Some(rate) = &self.rate
            && !self.planted.is(Mistake::RateNotCharged)
        {
            // Another lane may have been quicker.
            rate.take(now).map_err(|_| Refusal::Shut)?;
        }
        Ok(())
    }

    /// Lets an event join others of a batch, or says why not. It has never been tried.
    pub(super) fn admit_to_batch(&self, held: &Held, now: Tick) -> Result<(), Refusal> {
        if self.overload(now).is_some() {
            return Err(Refusal::Shut);
        }
        if held.gathered.is_some() {
            return Ok(()); // it has paid, and was scattered since
        }
        self.pay(held, now)?;
        self.budgets.iter().for_each(|budget| budget.deposit(1, now));
        Ok(())
    }

    /// Lets a batch through to its handler, if there is room for one. A broken gate is no way for one.
    pub(super) fn admit_batch(&self, lane: u32, now: Tick) -> Option<Pass> {
        let permit = self.permit(lane).ok()?;
        Some(Pass { call: None, began: now, permit })
    }

    /// A batch was handled, or has failed as a whole. As for `ended`.
    pub(super) fn ended_batch(&self, pass: Pass, failed: bool, now: Tick) -> bool {
        let Pass { began, permit, .. } = pass;
        drop(permit);
        let took = now.saturating_sub(began);
        self.breaker.as_ref().is_some_and(|breaker| breaker.ended(None, failed, took, now))
    }

    /// A handler's error, with what is to happen with the event.
    pub(super) fn judge(&self, error: HandlerError) -> HandlerError {
        self.classes.judge(error)
    }

    /// An attempt has ended. True where lanes are to ask again whether they may go on.
    pub(super) fn ended(&self, pass: Pass, ended: Ended, now: Tick) -> bool {
        let Pass { call, began, permit } = pass;
        drop(permit);
        let (Some(breaker), Some(call)) = (&self.breaker, call) else { return false };
        match ended {
            Ended::WithoutCall => breaker.withdraw(call),
            Ended::Well | Ended::Badly => {
                let took = now.saturating_sub(began);
                breaker.ended(Some(call), ended == Ended::Badly, took, now)
            }
        }
    }

    /// Events were handled in place, the last of them from `began` on; one more may have failed. As
    /// for `ended`.
    pub(super) fn handled_in_place(
        &self,
        handled: u64,
        failed: bool,
        began: Tick,
        now: Tick,
    ) -> bool {
        for budget in &self.budgets {
            budget.deposit(handled + u64::from(failed), now);
        }
        let Some(breaker) = &self.breaker else { return false };
        let took = now.saturating_sub(began);
        if breaker.times_calls() {
            return (handled > 0 || failed) && breaker.ended(None, failed, took, now);
        }
        breaker.succeeded(handled);
        failed && breaker.ended(None, true, took, now)
    }
}
