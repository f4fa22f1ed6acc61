//! Retrying many dead letters, so many in a second.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    delivery::Subscriber,
    message::Position,
    runtime::{Monitor, PoolId, Runtime, Step, Task, Tick},
};

/// The most letters that are sent in one step, so that others of the pool get on.
const AT_ONCE: u64 = 64;

/// A run that retries dead letters at a steady rate, beside everything else. Dropping it stops it.
///
/// It holds positions, and loads one letter at a time. It may be stopped, or end in a crash, at any
/// moment: a letter is there until it is handled, and so another run simply goes on.
#[must_use = "a run stops when it is dropped"]
pub struct Rerun {
    shared: Arc<Shared>,
    task: Arc<Task>,
    runtime: Runtime,
}

/// How far a [`Rerun`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RerunProgress {
    /// Letters that were to be retried when it began.
    pub total: u64,
    /// Letters that have been given to their lanes.
    pub retried: u64,
    /// Letters that were gone when their turn came, handled or discarded.
    pub gone: u64,
    /// Letters that could not be read.
    pub failed: u64,
    /// Whether it has come to its end, or was stopped.
    pub is_over: bool,
}

#[derive(Default)]
struct Shared {
    total: u64,
    retried: AtomicU64,
    gone: AtomicU64,
    failed: AtomicU64,
    over: AtomicBool,
    changed: Monitor,
}

impl Shared {
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.changed.notify();
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl Rerun {
    pub(super) fn start(
        subscriber: Arc<Subscriber>,
        pool: PoolId,
        letters: VecDeque<Position>,
        per_second: u32,
    ) -> Self {
        let shared = Arc::new(Shared { total: letters.len() as u64, ..Shared::default() });
        let runtime = subscriber.runtime().clone();
        let (begin, per_second) = (runtime.now(), u64::from(per_second.max(1)));
        let mut work =
            Work { subscriber, letters, shared: Arc::clone(&shared), begin, per_second, sent: 0 };
        // The task sets its own timer.
        let slot: Arc<OnceLock<Weak<Task>>> = Arc::default();
        let own = Arc::clone(&slot);
        let task = runtime.task(pool, move || {
            let next = work.step();
            if let (Some(at), Some(task)) = (next, own.get().and_then(Weak::upgrade)) {
                work.subscriber.runtime().wake_at(at, &task);
            }
            Step::Wait
        });
        slot.get_or_init(|| Arc::downgrade(&task));
        task.wake();
        Self { shared, task, runtime }
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> RerunProgress {
        let shared = &self.shared;
        RerunProgress {
            total: shared.total,
            retried: shared.retried.load(Ordering::Relaxed),
            gone: shared.gone.load(Ordering::Relaxed),
            failed: shared.failed.load(Ordering::Relaxed),
            is_over: shared.is_over(),
        }
    }

    /// Retries no more. What was given to the lanes is still handled.
    pub fn stop(&self) {
        self.task.stop();
        self.shared.end();
    }

    /// Waits until all letters are with their lanes, or it was stopped. False if that is not so after
    /// `timeout`. [`Bus::wait_idle`](crate::Bus::wait_idle) then waits until they are handled.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = self.runtime.now().saturating_add(timeout);
        self.runtime.wait(&self.shared.changed, Some(deadline), || self.shared.is_over())
    }
}

impl Drop for Rerun {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Rerun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rerun").field(&self.progress()).finish()
    }
}

/// What the task of a run works with.
struct Work {
    subscriber: Arc<Subscriber>,
    letters: VecDeque<Position>,
    shared: Arc<Shared>,
    begin: Tick,
    per_second: u64,
    sent: u64,
}

impl Work {
    /// Sends what is due by now. Returns when to come again, if at all.
    fn step(&mut self) -> Option<Tick> {
        for _ in 0..AT_ONCE {
            if !self.subscriber.is_alive() {
                self.letters.clear();
            }
            let Some(position) = self.letters.front().copied() else {
                self.shared.end();
                return None;
            };
            let due = self.begin.saturating_add(self.time_of(self.sent));
            if due > self.subscriber.runtime().now() {
                return Some(due);
            }
            self.letters.pop_front();
            self.send(position);
            self.sent += 1;
        }
        Some(self.subscriber.runtime().now())
    }

    fn time_of(&self, sent: u64) -> Duration {
        let nanos = u128::from(sent) * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn send(&self, position: Position) {
        let count = match self.subscriber.revive(position) {
            Ok(true) => &self.shared.retried,
            Ok(false) => &self.shared.gone,
            Err(error) => {
                tracing::error!(subscription = &*self.subscriber.name, %position, %error,
                    "a dead letter cannot be read; it is not tried again");
                &self.shared.failed
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
