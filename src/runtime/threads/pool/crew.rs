//! The threads of a pool: how they take tasks, and what they tell about it without a lock.
//!
//! A channel does not tell how old its first message is. But tasks leave it in the order in which
//! they came, so none in it is older than the one that left it last, nor than one that found it empty.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::Ordering::{Relaxed, SeqCst},
    },
};

use super::{Pool, ranks::Ranks};
use crate::runtime::{
    Clock, Precedence, Step, Task, Tick,
    sync::{
        AtomicBool, AtomicU64, AtomicUsize, Mutex,
        channel::{Receiver, TryRecvError},
        thread,
    },
};

pub(super) struct Queued {
    /// In nanoseconds.
    came: u64,
    call: Call,
}

/// What a thread is called for.
pub(super) enum Call {
    Run(Arc<Task>),
    /// The first of those that are ranked.
    RunFirst,
    LookAround,
}

/// A task that waits longer than this for a thread says that the pool is overloaded.
const LONG: Tick = Tick::from_millis(100);

/// It counts as overloaded for so long after that.
const CALM: Tick = Tick::from_secs(1);

/// What the threads of a pool share. They do not hold the pool itself, so that they end with it.
pub(super) struct Crew {
    queue: Receiver<Queued>,
    /// In nanoseconds: when what was taken last came, or what last found the queue empty.
    since: AtomicU64,
    /// So many threads are to end: the first ones that look. Changes with the pool's state locked.
    leaving: AtomicUsize,
    /// None in a pool of a fixed size, where nobody asks.
    counts: Option<Counts>,
    clock: Clock,
    /// Tasks, and when they came. In use from the first one on that has a precedence; until then the
    /// channel carries the tasks themselves, and after that a call for each.
    ranks: Mutex<Ranks<(Arc<Task>, Tick)>>,
    is_ranked: AtomicBool,
    /// In nanoseconds.
    overloaded_until: AtomicU64,
}

/// What tells how many threads are of use. On cache lines of its own: all threads write it.
#[derive(Default)]
#[repr(align(128))]
struct Counts {
    /// Tasks that threads have taken from the queue, ever.
    taken: AtomicU64,
    /// Threads that wait for something to come.
    resting: AtomicUsize,
    /// The fewest of them, since [`Crew::take_spare`].
    spare: AtomicUsize,
}

impl Counts {
    /// How many rest, after this one.
    fn end_rest(&self) -> usize {
        let resting = self.resting.fetch_sub(1, SeqCst) - 1;
        self.spare.fetch_min(resting, SeqCst);
        resting
    }
}

impl Crew {
    pub(super) fn new(queue: Receiver<Queued>, counts: bool, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            queue,
            since: AtomicU64::new(0),
            leaving: AtomicUsize::new(0),
            counts: counts.then(Counts::default),
            clock,
            ranks: Mutex::default(),
            is_ranked: AtomicBool::new(false),
            overloaded_until: AtomicU64::new(0),
        })
    }

    /// How a thread is to be called for a task that comes now.
    pub(super) fn rank(&self, task: Arc<Task>, now: Tick) -> Call {
        let precedence = task.precedence();
        if !self.is_ranked.load(Relaxed) {
            if precedence == Precedence::default() {
                return Call::Run(task);
            }
            self.is_ranked.store(true, Relaxed);
        }
        self.ranks.lock().push(precedence.priority, (task, now));
        Call::RunFirst
    }

    fn first(&self) -> Option<Arc<Task>> {
        let (task, came) = self.ranks.lock().pop()?;
        let now = self.clock.tick();
        if !task.precedence().is_sheddable && now.saturating_sub(came) > LONG {
            self.overloaded_until.store(nanos(now.saturating_add(CALM)), Relaxed);
        }
        Some(task)
    }

    pub(super) fn overloaded_until(&self) -> Tick {
        Tick::from_nanos(self.overloaded_until.load(Relaxed))
    }

    /// Where something is queued: when the first of it came, or the one before that, which is taken.
    pub(super) fn since(&self) -> Tick {
        Tick::from_nanos(self.since.load(Relaxed))
    }

    /// What is going to be queued, now.
    pub(super) fn welcome(&self, now: Tick, call: Call) -> Queued {
        let came = nanos(now);
        if self.is_later(came) && self.queue.is_empty() {
            self.since.fetch_max(came, Relaxed);
        }
        Queued { came, call }
    }

    /// Mostly not: on a busy pool the clock ticks, once a millisecond.
    fn is_later(&self, came: u64) -> bool {
        self.since.load(Relaxed) < came
    }

    pub(super) fn taken(&self) -> u64 {
        self.counts.as_ref().map_or(0, |counts| counts.taken.load(Relaxed))
    }

    pub(super) fn resting(&self) -> usize {
        self.counts.as_ref().map_or(0, |counts| counts.resting.load(SeqCst))
    }

    /// The fewest threads at rest since the last call.
    pub(super) fn take_spare(&self) -> usize {
        self.counts.as_ref().map_or(0, |counts| {
            let spare = counts.spare.swap(usize::MAX, SeqCst);
            counts.spare.fetch_min(self.resting(), SeqCst);
            spare
        })
    }

    pub(super) fn leaving(&self) -> usize {
        self.leaving.load(Relaxed)
    }

    pub(super) fn set_leaving(&self, leaving: usize) {
        self.leaving.store(leaving, Relaxed);
    }

    /// What a thread of the pool does all its life.
    pub(super) fn work(&self, pool: &Weak<Pool>) {
        let mut looks = 0;
        while let Some(task) = self.take(pool) {
            looks = if self.run(task, pool) == Step::Look { looks + 1 } else { 0 };
            // Once all that is queued has looked in vain, and not after each of it.
            if looks > 0 && looks >= self.queue.len() {
                thread::yield_now();
                looks = 0;
            }
        }
    }

    /// Runs a task. One that spins has its thread to itself until something else comes: its way
    /// through the queue would wake another thread for it.
    fn run(&self, task: Arc<Task>, pool: &Weak<Pool>) -> Step {
        loop {
            let step = run_guarded(&task);
            if step != Step::Spin {
                return step;
            }
            let Some(pool) = pool.upgrade() else { return Step::Wait };
            if !self.queue.is_empty() || self.leaving() > 0 {
                pool.push(task);
                return step;
            }
        }
    }

    /// The next task, waiting for one. None where this thread is to end: it is superfluous, or the
    /// pool is gone and nothing queued.
    fn take(&self, pool: &Weak<Pool>) -> Option<Arc<Task>> {
        loop {
            if self.leaving() > 0 && pool.upgrade().is_some_and(|pool| pool.leave()) {
                return None;
            }
            let queued = match self.queue.try_recv() {
                Ok(queued) => queued,
                Err(TryRecvError::Empty) => self.rest(pool)?,
                Err(TryRecvError::Disconnected) => return None,
            };
            self.note_taken(&queued);
            let task = match queued.call {
                Call::Run(task) => Some(task),
                Call::RunFirst => self.first(),
                Call::LookAround => None,
            };
            if task.is_some() {
                return task;
            }
        }
    }

    fn rest(&self, pool: &Weak<Pool>) -> Option<Queued> {
        let Some(counts) = &self.counts else {
            return self.queue.recv().ok();
        };
        counts.resting.fetch_add(1, SeqCst);
        let queued = self.queue.recv().ok();
        // Whoever queued more than this one may have relied on this thread.
        if counts.end_rest() == 0
            && !self.queue.is_empty()
            && let Some(pool) = pool.upgrade()
        {
            pool.watch();
        }
        queued
    }

    fn note_taken(&self, queued: &Queued) {
        if self.is_later(queued.came) {
            self.since.fetch_max(queued.came, Relaxed);
        }
        if let Some(counts) =
            self.counts.as_ref().filter(|_| !matches!(queued.call, Call::LookAround))
        {
            counts.taken.fetch_add(1, Relaxed);
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // 580 years
fn nanos(tick: Tick) -> u64 {
    tick.as_nanos() as u64
}

/// Handlers' panics are caught where they are called. One that arrives here is a bug of ours, or of
/// what belongs to users and is dropped here, and must not cost the pool a thread.
fn run_guarded(task: &Arc<Task>) -> Step {
    catch_unwind(AssertUnwindSafe(|| task.run())).unwrap_or_else(|_| {
        tracing::error!(task = task.id(), "an engine task panicked; please report this as a bug");
        Step::Wait
    })
}
