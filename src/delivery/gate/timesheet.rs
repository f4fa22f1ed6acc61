//! Handlers that take too long and cannot be cancelled: which ones they are, and a warning.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    delivery::Subscriber,
    message::Position,
    runtime::{
        Runtime, Step, Task, Tick, Timestamp,
        sync::{AtomicBool, AtomicU64, in_one_order},
    },
};

/// The thread that looks for stuck handlers. Apart from those of handlers, which may all be stuck.
const POOL: &str = "tidings timesheet"; // no user can name it so

/// A handler that has taken longer than the subscription's `timeout`, and cannot be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StuckHandler {
    /// The number of its lane, from 0.
    pub lane: u32,
    /// Its event. Not known of plain handlers (`Fn(&E)`), which get events by the batch.
    pub position: Option<Position>,
    /// Since when, to a few milliseconds.
    pub since: Timestamp,
}

/// What a lane's thread is at. Written by the lane, and read by others.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Timesheet {
    /// When the handler was called that runs now, in nanoseconds; 0 for none.
    since: AtomicU64,
    /// Its event; 0 where that is not known.
    position: AtomicU64,
    /// The call that was warned of.
    warned: AtomicU64,
    /// Async handlers that were cancelled and have not ended, and when they began.
    cancelled: Mutex<BTreeMap<Position, Tick>>,
}

impl Timesheet {
    fn begin(&self, now: Tick, position: Option<Position>) {
        self.position.store(position.map_or(0, Position::get), Ordering::Relaxed);
        self.since.store(nanos(now).max(1), Ordering::SeqCst);
    }

    pub(in crate::delivery) fn end(&self) {
        self.since.store(0, Ordering::Release);
    }

    /// An async handler was cancelled, and is to end.
    pub(in crate::delivery) fn note_cancelled(&self, position: Position, began: Tick) {
        self.cancelled.lock().insert(position, began);
    }

    pub(in crate::delivery) fn note_ended(&self, position: Position) {
        self.cancelled.lock().remove(&position);
    }

    /// When the handler was called that runs now.
    fn since(&self) -> Option<Tick> {
        let since = self.since.load(Ordering::SeqCst);
        (since > 0).then(|| Tick::from_nanos(since))
    }

    /// Whether nobody was warned of the call that began then. Somebody is now.
    fn is_news(&self, since: Tick) -> bool {
        self.warned.swap(nanos(since), Ordering::Relaxed) != nanos(since)
    }

    /// The handlers that have taken longer than that, with their events.
    pub(super) fn stuck(&self, now: Tick, timeout: Duration) -> Vec<(Option<Position>, Tick)> {
        let position = Position::new(self.position.load(Ordering::Relaxed));
        let is_late = |since: &Tick| now.saturating_sub(*since) >= timeout;
        let called = self.since().filter(is_late).map(|since| (position, since));
        let cancelled = self.cancelled.lock();
        let cancelled = cancelled.iter().map(|(position, began)| (Some(*position), *began));
        called.into_iter().chain(cancelled).collect()
    }
}

/// Looks for stuck handlers of a subscription while any run.
pub(super) struct Timekeeper {
    timeout: Duration,
    task: Arc<Task>,
    /// A look is on its way.
    armed: AtomicBool,
}

impl Timekeeper {
    pub(super) fn new(subscriber: &Arc<Subscriber>, timeout: Duration) -> Self {
        let runtime = subscriber.runtime();
        let weak = Arc::downgrade(subscriber);
        let task = runtime.task(runtime.pool(POOL, 1), move || {
            look(&weak);
            Step::Wait
        });
        Self { timeout, task, armed: AtomicBool::new(false) }
    }

    /// A lane calls a handler.
    pub(super) fn begin(
        &self,
        timesheet: &Timesheet,
        now: Tick,
        position: Option<Position>,
        runtime: &Runtime,
    ) {
        timesheet.begin(now, position);
        // Either this sees that the timekeeper has stopped looking, or its last look sees the call.
        in_one_order();
        if !self.armed.load(Ordering::SeqCst) {
            self.arm(now.saturating_add(self.timeout), runtime);
        }
    }

    /// What it sees from now on is its last look, unless somebody has it look again.
    fn begin_look(&self) {
        self.armed.store(false, Ordering::SeqCst);
        in_one_order();
    }

    fn arm(&self, at: Tick, runtime: &Runtime) {
        if !self.armed.swap(true, Ordering::SeqCst) {
            runtime.wake_at(at, &self.task);
        }
    }
}

/// Warns of handlers that are stuck, and looks again when another one may be.
fn look(subscriber: &Weak<Subscriber>) {
    let Some(subscriber) = subscriber.upgrade() else { return };
    let Some(timekeeper) = subscriber.gate.as_ref().and_then(|gate| gate.timekeeper()) else {
        return;
    };
    timekeeper.begin_look();
    let now = subscriber.runtime().now();
    let mut next: Option<Tick> = None;
    for (lane, handle) in (0_u32..).zip(&subscriber.formation().lanes) {
        let Some(since) = handle.timesheet.since() else { continue };
        let due = since.saturating_add(timekeeper.timeout);
        if due > now {
            next = Some(next.map_or(due, |next| next.min(due)));
        } else if handle.timesheet.is_news(since) {
            tracing::warn!(subscription = &*subscriber.name, lane, timeout = ?timekeeper.timeout,
                "a handler is stuck: it has not returned in time, and cannot be cancelled");
        }
    }
    if let Some(at) = next {
        timekeeper.arm(at, subscriber.runtime());
    }
}

#[allow(clippy::cast_possible_truncation)] // 580 years
fn nanos(tick: Tick) -> u64 {
    tick.as_nanos() as u64
}

/// Under `loom`, which tries every order in which threads can get on.
#[cfg(all(test, tidings_loom))]
mod models {
    use loom::thread;

    use super::*;
    use crate::runtime::{models::Queue, sync::ONE_ORDER};

    #[test]
    fn a_call_is_seen_by_the_last_look_or_has_another_one_come() {
        ONE_ORDER.set(true);
        loom::model(|| {
            let (queue, timeout) = (Queue::new(), Duration::from_secs(1));
            let task = queue.task(0, || Step::Wait);
            let timekeeper = Timekeeper { timeout, task, armed: AtomicBool::new(true) };
            let (timekeeper, sheet) = (Arc::new(timekeeper), Arc::<Timesheet>::default());
            let (own, sees) = (Arc::clone(&timekeeper), Arc::clone(&sheet));
            let look = thread::spawn(move || {
                own.begin_look();
                sees.since().is_some()
            });
            timekeeper.begin(&sheet, Tick::ZERO, None, &queue.runtime());
            let is_seen = look.join().unwrap();
            let comes = timekeeper.armed.load(Ordering::SeqCst);
            assert!(is_seen || comes, "nobody looks at a handler that may be stuck");
        });
    }
}

#[cfg(all(test, not(tidings_loom)))]
mod tests {
    use super::*;
    use crate::runtime::simulator::Simulator;

    #[test]
    fn each_call_is_warned_of_once() {
        let (sheet, second) = (Timesheet::default(), Tick::from_secs);
        let news = [1, 1, 2, 2, 3].map(|at| sheet.is_news(second(at)));
        assert_eq!(news, [true, false, true, false, true]);
    }

    #[test]
    fn somebody_looks_at_a_call_when_its_time_is_over() {
        let (sim, timeout) = (Simulator::new(1), Duration::from_secs(5));
        let runtime = sim.runtime();
        let looks = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&looks);
        let task = runtime.task(runtime.pool(POOL, 1), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Step::Wait
        });
        let timekeeper = Timekeeper { timeout, task, armed: AtomicBool::new(false) };
        let sheet = Timesheet::default();
        (0..3).for_each(|_| timekeeper.begin(&sheet, runtime.now(), None, &runtime));
        sim.advance(Duration::from_secs(4));
        assert_eq!(looks.load(Ordering::Relaxed), 0);
        sim.advance(Duration::from_secs(1));
        assert_eq!(looks.load(Ordering::Relaxed), 1, "one look for all");
    }
}
