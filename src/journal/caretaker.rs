//! Calling the storage's upkeep: at once where it is wanted, otherwise in quiet moments.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use crate::{
    runtime::{Armed, Runtime, Step, Task, Tick, sync::AtomicU64},
    storage::{Storage, StorageError, Upkeep},
};

/// Without a commit for so long it is quiet.
const QUIET: Duration = Duration::from_millis(200);

/// How long to leave storage alone after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// The thread for upkeep.
const POOL: &str = "tidings upkeep"; // no user can name it so

type Afterwards = Box<dyn Fn() -> Option<Duration> + Send + Sync>;

/// Calls the storage's upkeep.
pub(super) struct Caretaker(Arc<Shared>);

struct Shared {
    storage: Arc<dyn Storage>,
    runtime: Runtime,
    task: OnceLock<Arc<Task>>,
    /// How many commits there were.
    commits: AtomicU64,
    timed: Armed,
    /// To be done after each upkeep.
    afterwards: OnceLock<Afterwards>,
    /// The last upkeep failed, and commits ask for another no earlier than this, in nanoseconds.
    paused_until: AtomicU64,
}

impl Caretaker {
    pub(super) fn new(runtime: &Runtime, storage: &Arc<dyn Storage>) -> Self {
        Self(Arc::new(Shared {
            storage: Arc::clone(storage),
            runtime: runtime.clone(),
            task: OnceLock::new(),
            commits: AtomicU64::new(0),
            timed: Armed::default(),
            afterwards: OnceLock::new(),
            paused_until: AtomicU64::new(0),
        }))
    }

    pub(super) fn start(&self) {
        let shared = Arc::clone(&self.0);
        let mut seen = 0;
        self.0.task.get_or_init(|| {
            let pool = self.0.runtime.pool(POOL, 1);
            self.0.runtime.task(pool, move || shared.serve(&mut seen))
        });
        self.0.rest(Duration::ZERO); // what an earlier run left to do
    }

    /// Has something done after each upkeep, on its thread. Once only. It says when it wants to be
    /// called again, if at all.
    pub(super) fn afterwards(&self, work: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        self.0.afterwards.get_or_init(|| Box::new(work));
    }

    /// To be called after each commit.
    pub(super) fn committed(&self) {
        let shared = &self.0;
        shared.commits.fetch_add(1, Ordering::Relaxed);
        if shared.is_paused() {
            return;
        }
        match shared.task.get() {
            Some(task) if shared.storage.wants_upkeep() => task.wake(),
            _ => shared.rest(QUIET),
        }
    }

    pub(super) fn stop(&self) {
        if let Some(task) = self.0.task.get() {
            task.stop();
        }
    }
}

impl Shared {
    /// Whether it is too early after a failure. Reads the clock only then.
    fn is_paused(&self) -> bool {
        let until = self.paused_until.load(Ordering::Acquire);
        if until == 0 {
            return false;
        }
        let is_paused = nanos(self.runtime.now()) < until;
        if !is_paused {
            self.paused_until.store(0, Ordering::Release);
        }
        is_paused
    }

    /// Has the task run after a while, unless it does so anyway.
    fn rest(&self, time: Duration) {
        if self.timed.arm()
            && let Some(task) = self.task.get()
        {
            self.runtime.wake_at(self.runtime.now().saturating_add(time), task);
        }
    }

    /// One turn of the task. `seen` is how many commits there were at the last one.
    fn serve(&self, seen: &mut u64) -> Step {
        self.timed.begin();
        let commits = self.commits.load(Ordering::Relaxed);
        let quiet = std::mem::replace(seen, commits) == commits;
        if !quiet && !self.storage.wants_upkeep() {
            self.rest(QUIET);
            return Step::Wait;
        }
        match self.upkeep() {
            Ok(Upkeep::More) => Step::Again,
            Ok(Upkeep::Done) => {
                self.finish();
                Step::Wait
            }
            Err(StorageError::Closed | StorageError::Poisoned) => Step::Wait,
            Err(error) => {
                tracing::warn!(%error, "the storage's upkeep failed; a later commit tries again");
                let until = nanos(self.runtime.now().saturating_add(PAUSE));
                self.paused_until.store(until, Ordering::Release);
                self.finish(); // which may make the room that was missing
                Step::Wait
            }
        }
    }

    fn finish(&self) {
        let Some(work) = self.afterwards.get() else { return };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Some(again)) => self.rest(again),
            Ok(None) => {}
            Err(_) => tracing::error!("what was to be done after an upkeep panicked"),
        }
    }

    /// A panic must not cost the thread.
    fn upkeep(&self) -> Result<Upkeep, StorageError> {
        let kept = catch_unwind(AssertUnwindSafe(|| self.storage.upkeep()));
        kept.unwrap_or(Err(StorageError::Poisoned))
    }
}

fn nanos(tick: Tick) -> u64 {
    u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(tidings_loom)))]
mod tests {
    use super::*;
    use crate::{runtime::simulator::Simulator, storage::MemoryStorage};

    #[test]
    fn after_a_failure_commits_ask_for_no_upkeep_for_a_while() {
        let sim = Simulator::new(1);
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let Caretaker(shared) = Caretaker::new(&sim.runtime(), &storage);
        assert!(!shared.is_paused());
        shared.paused_until.store(nanos(Tick::from_secs(5)), Ordering::Release);
        sim.advance(Duration::from_secs(4));
        assert!(shared.is_paused());
        sim.advance(Duration::from_secs(1));
        assert!(!shared.is_paused());
        assert_eq!(shared.paused_until.load(Ordering::Acquire), 0, "the clock is asked no more");
    }
}
