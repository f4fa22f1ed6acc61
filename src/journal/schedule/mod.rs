//! Events that are to be published later.
//!
//! On a durable bus they are state: a key for each, by the time at which it is due, so that whoever
//! schedules, cancels or acknowledges does it with a write of the same commit. When the first is due,
//! the leader of the log takes what is due out of the state and appends it, in one commit. Nothing of
//! them is in memory until then. On a volatile bus they wait in a map.

mod encoded;
mod fire;
mod pending;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

pub(super) use encoded::Encoded;
use parking_lot::Mutex;
pub use pending::ScheduledEvent;

use super::{Draft, Journal, PublishError, PublishFailure, Rejected, Ticket, Topic, Transaction};
use crate::{
    event::Event,
    message::{Delayed, Envelope, MessageId, Scheduled},
    runtime::{Runtime, Step, Task, Timestamp},
    storage::{StorageError, Write},
};

/// What the keys of all scheduled events begin with.
const PREFIX: &[u8] = b"scheduled\0";

/// The thread that looks at the time.
const POOL: &str = "tidings schedule"; // no user can name it so

/// The clock is looked at this often while anything waits, since it may be set.
const GLANCE: Duration = Duration::from_mins(1);

/// The pause after a failure of storage.
const PAUSE: Duration = Duration::from_secs(1);

/// How many events a volatile bus keeps for later.
const MOST: usize = 1 << 20;

/// How many events are published at once.
const AT_ONCE: usize = 256;

/// Nothing waits.
const NEVER: u64 = u64::MAX;

/// An event that is to be published later.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) due: Timestamp,
    pub(crate) draft: Draft,
}

/// That an event is not to be published later.
#[derive(Debug)]
pub(crate) struct Cancel {
    pub(crate) scheduled: Scheduled,
    /// Told whether it still waited, where anybody asks.
    found: Option<Arc<AtomicBool>>,
}

/// Who publishes what is due.
pub(super) struct Schedule {
    /// What waits on a volatile bus.
    waiting: Mutex<BTreeMap<Scheduled, Draft>>,
    /// When the first is due, as far as it is known: at that time or earlier.
    first: AtomicU64,
    task: OnceLock<Arc<Task>>,
    stopped: AtomicBool,
}

impl Later {
    pub(crate) fn scheduled(&self) -> Scheduled {
        Scheduled::new(self.due, self.draft.envelope().id)
    }

    /// About how much it takes in storage.
    pub(crate) fn bytes(&self) -> usize {
        self.draft.bytes() + 128
    }
}

impl Cancel {
    pub(crate) fn new(scheduled: Scheduled) -> Self {
        Self { scheduled, found: None }
    }

    fn note(&self, was_found: bool) {
        if let Some(found) = &self.found {
            found.store(was_found, Ordering::Release);
        }
    }
}

impl Schedule {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            first: AtomicU64::new(NEVER),
            task: OnceLock::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Sets the task up that publishes what is due, and has it look at what an earlier run has left.
    pub(super) fn start(&self, journal: &Arc<Journal>) {
        let weak: Weak<Journal> = Arc::downgrade(journal);
        let runtime = journal.runtime.clone();
        let task = self.task.get_or_init(|| {
            let mut under_way = None;
            runtime.task(runtime.pool(POOL, 1), move || {
                weak.upgrade()
                    .map_or(Step::Wait, |journal| journal.look_at_schedule(&mut under_way))
            })
        });
        if journal.is_durable() {
            task.wake();
        }
    }

    /// Nothing more is published.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(task) = self.task.get() {
            task.stop();
        }
    }

    /// Something is due then.
    pub(super) fn note(&self, due: Timestamp) {
        if due.as_nanos() < self.first.fetch_min(due.as_nanos(), Ordering::AcqRel)
            && let Some(task) = self.task.get()
        {
            task.wake();
        }
    }

    /// How many wait on a volatile bus.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }

    fn keep(&self, later: Later) {
        let due = later.due;
        self.waiting.lock().insert(later.scheduled(), later.draft);
        self.note(due);
    }

    fn take_out(&self, cancel: &Cancel) {
        let taken = self.waiting.lock().remove(&cancel.scheduled);
        cancel.note(taken.is_some());
    }

    /// What is due on a volatile bus, and when the next is.
    fn take_due(&self, now: Timestamp) -> (Vec<Draft>, Option<Timestamp>) {
        let mut waiting = self.waiting.lock();
        let mut due = Vec::new();
        while due.len() < AT_ONCE
            && let Some(first) = waiting.first_entry()
        {
            if first.key().due() > now {
                break;
            }
            due.push(first.remove());
        }
        (due, waiting.first_key_value().map(|(next, _)| next.due()))
    }
}

impl Journal {
    /// Turns a delayed message into what a transaction takes.
    pub(crate) fn draft_later<E: Event>(
        &self,
        delayed: Delayed<E>,
        cause: Option<&Envelope>,
    ) -> Result<Later, PublishError<E>> {
        let due = delayed.due(self.clock.wall());
        let message = delayed.into_message();
        if self.log.is_none() && self.schedule.waiting() >= MOST {
            let full = PublishFailure::Full { capacity: MOST };
            return Err(PublishError::new(full, message));
        }
        let topic: Arc<Topic> = match self.topic::<E>() {
            Ok(topic) => topic,
            Err(taken) => return Err(PublishError::new(taken.into(), message)),
        };
        Ok(Later { due, draft: self.draft_at(&topic, message, cause, due)? })
    }

    /// Schedules from a user's thread, and returns once that is as durable as promised.
    pub(crate) fn schedule(&self, later: Later) -> Result<Scheduled, Rejected> {
        let scheduled = later.scheduled();
        let Some(log) = &self.log else {
            self.schedule.keep(later);
            return Ok(scheduled);
        };
        log.publish(self, Transaction { later: vec![later], ..Transaction::default() })?;
        Ok(scheduled)
    }

    /// Takes back what was scheduled. False where it does not wait any more.
    pub(crate) fn cancel(&self, scheduled: Scheduled) -> Result<bool, StorageError> {
        let found = Arc::new(AtomicBool::new(false));
        let cancel = Cancel { scheduled, found: Some(Arc::clone(&found)) };
        match &self.log {
            None => self.schedule.take_out(&cancel),
            Some(log) => {
                let cancels = vec![cancel];
                let transaction = Transaction { cancels, ..Transaction::default() };
                let done = log.commit_for_handler(self, transaction);
                done.map_err(|rejected| rejected.failure.into_storage())?;
            }
        }
        Ok(found.load(Ordering::Acquire))
    }

    /// The same for what a lane of a volatile bus has done.
    pub(super) fn reschedule(&self, later: Vec<Later>, cancels: &[Cancel]) {
        for one in later {
            self.schedule.keep(one);
        }
        for one in cancels {
            self.schedule.take_out(one);
        }
    }

    /// One turn of the task.
    fn look_at_schedule(&self, under_way: &mut Option<Arc<Ticket>>) -> Step {
        if self.schedule.stopped.load(Ordering::Acquire) {
            return Step::Wait;
        }
        let now = self.runtime.wall();
        let Some(log) = &self.log else {
            self.schedule.first.store(NEVER, Ordering::Release);
            let (due, next) = self.schedule.take_due(now);
            self.publish_always(due);
            return self.look_again(now, next);
        };
        if let Some(ticket) = under_way {
            match ticket.take() {
                None => return Step::Wait,
                Some(Ok(_)) => *under_way = None,
                Some(Err(rejected)) => {
                    *under_way = None;
                    return self.look_after_failure(&rejected.failure.into_storage());
                }
            }
        }
        // Before storage is asked: what comes meanwhile sets it anew.
        self.schedule.first.store(NEVER, Ordering::Release);
        match log.next_due() {
            Ok(Some(due)) if due <= now => {
                let task = self.schedule.task.get();
                let fire = Transaction { fires: Some(now), ..Transaction::default() };
                let ticket = log.submit(fire, task);
                let is_done = ticket.is_done();
                *under_way = Some(ticket);
                if is_done { Step::Again } else { Step::Wait }
            }
            Ok(next) => self.look_again(now, next),
            Err(error) => self.look_after_failure(&error),
        }
    }

    fn look_again(&self, now: Timestamp, next: Option<Timestamp>) -> Step {
        let Some(next) = next else { return Step::Wait };
        self.schedule.first.fetch_min(next.as_nanos(), Ordering::AcqRel);
        if next <= now {
            return Step::Again;
        }
        self.look_in(next.since(now).min(GLANCE));
        Step::Wait
    }

    fn look_after_failure(&self, error: &StorageError) -> Step {
        if !matches!(error, StorageError::Closed | StorageError::Poisoned) {
            tracing::error!(%error, "what is due could not be published; trying again");
            self.look_in(PAUSE);
        }
        Step::Wait
    }

    fn look_in(&self, time: Duration) {
        if let Some(task) = self.schedule.task.get() {
            let runtime: &Runtime = &self.runtime;
            runtime.wake_at(runtime.now().saturating_add(time), task);
        }
    }
}

/// The key of a scheduled event in storage.
fn key(scheduled: Scheduled) -> Vec<u8> {
    let mut key = PREFIX.to_vec();
    key.extend(scheduled.due().as_nanos().to_be_bytes());
    key.extend(scheduled.id().to_bytes());
    key
}

/// What a key of storage stands for.
fn scheduled(key: &[u8]) -> Option<Scheduled> {
    let (due, id) = key.strip_prefix(PREFIX)?.split_first_chunk()?;
    let id = MessageId::from_bytes(id.try_into().ok()?);
    Some(Scheduled::new(Timestamp::from_nanos(u64::from_be_bytes(*due)), id))
}

impl Transaction {
    /// Writes down what is to be published later and what is not to be, and says when the first of it
    /// is due.
    pub(super) fn write_schedule(&mut self) -> Option<Timestamp> {
        let later = self.later.iter();
        let stored =
            |later: &Later| Write::put(key(later.scheduled()), encoded::encode(&later.draft));
        self.writes.extend(later.map(stored));
        let cancels = self.cancels.iter();
        self.writes.extend(cancels.map(|cancel| Write::remove(key(cancel.scheduled))));
        self.later.iter().map(|later| later.due).min()
    }
}
