//! The durable part of the journal: group commit into storage.
//!
//! One thread at a time leads: it takes everything that waits, commits it as one, and shows it to
//! the readers. A blocking publisher that finds no leader leads itself, which saves two thread
//! switches; those that come meanwhile form the next commit. What was enqueued without waiting is
//! led by a task of its own, on its own thread, so that busy handlers cannot hold it up.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use super::{Draft, Journal, PublishFailure, Rejected, Ticket, Transaction};
use crate::{
    message::Position,
    policy::Durability,
    runtime::{Runtime, Step, Task},
    storage::{Commit, Record, Storage, StorageError},
};

/// The most payload bytes that one group takes.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// The thread for commits that nobody blocks on.
const POOL: &str = "tidings commit"; // no user can name it so

pub(crate) struct Log {
    storage: Arc<dyn Storage>,
    durability: Durability,
    capacity: usize,
    queue: Mutex<Queue>,
    committer: OnceLock<Arc<Task>>,
    /// The storage has panicked, and is not asked again.
    broken: AtomicBool,
    runtime: Runtime,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    /// Events in `waiting`.
    events: usize,
    /// Requests that are in `waiting` or being committed.
    open: usize,
    /// Somebody leads, or has been told to.
    led: bool,
    /// Users' publishes are refused.
    intake_closed: bool,
    /// Everything is refused.
    closed: bool,
}

struct Request {
    transaction: Transaction,
    ticket: Arc<Ticket>,
    /// A thread waits for the ticket, and can lead.
    blocks: bool,
}

impl Log {
    pub(super) fn new(
        runtime: &Runtime,
        storage: Arc<dyn Storage>,
        durability: Durability,
        capacity: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            storage,
            durability,
            capacity,
            queue: Mutex::default(),
            committer: OnceLock::new(),
            broken: AtomicBool::new(false),
            runtime: runtime.clone(),
        })
    }

    /// Sets the committer up. Separate from `new`, since it refers back to the journal.
    pub(super) fn start(&self, journal: &Arc<Journal>) {
        let pool = self.runtime.pool(POOL, 1);
        let journal = Arc::downgrade(journal);
        self.committer.get_or_init(|| {
            self.runtime.task(pool, move || match journal.upgrade() {
                Some(journal) => journal.log.as_ref().map_or(Step::Wait, |log| log.serve(&journal)),
                None => Step::Wait,
            })
        });
    }

    pub(super) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Publishes from a user's thread, which may become the leader.
    pub(super) fn publish(
        &self,
        journal: &Journal,
        transaction: Transaction,
    ) -> Result<Position, Rejected> {
        let ticket = Ticket::new(None);
        let request = Request { transaction, ticket: Arc::clone(&ticket), blocks: true };
        let mut leads = self.push(request, Bound::Intake(usize::MAX))?;
        if !leads {
            self.runtime.wait(ticket.changed(), None, || ticket.is_done() || ticket.leads());
            leads = ticket.leads();
        }
        if leads {
            while !ticket.is_done() {
                self.commit_group(journal);
            }
            self.hand_over();
        }
        ticket.take().unwrap_or_else(|| Err(self.withdraw(&ticket)))
    }

    /// Takes back a request that nobody is left to serve.
    pub(super) fn withdraw(&self, ticket: &Arc<Ticket>) -> Rejected {
        let mut queue = self.queue.lock();
        let found = queue.waiting.iter().position(|request| Arc::ptr_eq(&request.ticket, ticket));
        let request = found.and_then(|at| queue.waiting.remove(at));
        closed(request.map(|request| request.transaction.drafts).unwrap_or_default())
    }

    /// Queues a user's publish for the committer.
    pub(super) fn enqueue(&self, transaction: Transaction) -> Result<Arc<Ticket>, Rejected> {
        let ticket = Ticket::new(None);
        let request = Request { transaction, ticket: Arc::clone(&ticket), blocks: false };
        if self.push(request, Bound::Intake(self.capacity))? {
            self.wake_committer();
        }
        Ok(ticket)
    }

    /// Queues what a lane has done, however full the queue is.
    pub(super) fn submit(&self, transaction: Transaction, waker: &Arc<Task>) -> Arc<Ticket> {
        let ticket = Ticket::new(Some(waker));
        let request = Request { transaction, ticket: Arc::clone(&ticket), blocks: false };
        match self.push(request, Bound::None) {
            Ok(true) => self.wake_committer(),
            Ok(false) => {}
            Err(rejected) => return Ticket::failed(rejected),
        }
        ticket
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.queue.lock().open == 0
    }

    pub(super) fn close_intake(&self) {
        self.queue.lock().intake_closed = true;
    }

    pub(super) fn close(&self) -> Result<(), StorageError> {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.events = 0;
        let waiting = std::mem::take(&mut queue.waiting);
        queue.open -= waiting.len();
        drop(queue);
        for request in waiting {
            request.ticket.complete(Err(closed(request.transaction.drafts)));
        }
        if let Some(committer) = self.committer.get() {
            committer.stop();
        }
        self.storage.close()
    }

    /// Queues a request. True: the caller leads, and must see that the queue is served.
    fn push(&self, request: Request, bound: Bound) -> Result<bool, Rejected> {
        let mut queue = self.queue.lock();
        let drafts = request.transaction.drafts.len();
        let refused = match bound {
            _ if queue.closed => Some(PublishFailure::Closed),
            Bound::Intake(_) if queue.intake_closed => Some(PublishFailure::Closed),
            Bound::Intake(capacity) if queue.events > 0 && queue.events + drafts > capacity => {
                Some(PublishFailure::Full { capacity })
            }
            _ => None,
        };
        if let Some(failure) = refused {
            return Err(Rejected { failure, drafts: request.transaction.drafts });
        }
        queue.events += drafts;
        queue.open += 1;
        queue.waiting.push_back(request);
        let leads = !queue.led;
        queue.led = true;
        Ok(leads)
    }

    /// One turn of the committer, which is only woken to lead.
    fn serve(&self, journal: &Journal) -> Step {
        self.commit_group(journal);
        let mut queue = self.queue.lock();
        queue.led = !queue.waiting.is_empty();
        if queue.led { Step::Again } else { Step::Wait }
    }

    /// Ends the lead of a blocking publisher whose own request is done.
    fn hand_over(&self) {
        let mut queue = self.queue.lock();
        match queue.waiting.front() {
            None => queue.led = false,
            Some(next) if next.blocks => next.ticket.lead(),
            Some(_) => self.wake_committer(),
        }
    }

    fn wake_committer(&self) {
        if let Some(committer) = self.committer.get() {
            committer.wake();
        }
    }

    /// Commits what waits, shows it to the readers, and answers. Only the leader calls it.
    fn commit_group(&self, journal: &Journal) {
        let mut group = self.take_group();
        let answered = group.len();
        match self.store(self.commit_of(&mut group)) {
            Ok(first) => show(journal, first, group),
            Err(error) => reject(error, group),
        }
        self.queue.lock().open -= answered;
        journal.tail.quiet().notify();
    }

    /// A storage that panics is taken to have failed midway: the leader must live on to answer.
    fn store(&self, commit: Commit) -> Result<Position, StorageError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(StorageError::Poisoned);
        }
        let stored = catch_unwind(AssertUnwindSafe(|| self.storage.commit(commit)));
        stored.unwrap_or_else(|_| {
            self.broken.store(true, Ordering::Release);
            let source = Arc::new(io::Error::other("the storage panicked"));
            Err(StorageError::Indeterminate { doing: "committing", source })
        })
    }

    fn take_group(&self) -> Vec<Request> {
        let mut queue = self.queue.lock();
        let mut bytes = 0;
        let mut group = Vec::new();
        while let Some(next) = queue.waiting.front() {
            bytes += next.transaction.bytes();
            if bytes > GROUP_BYTES && !group.is_empty() {
                break;
            }
            queue.events -= next.transaction.drafts.len();
            group.extend(queue.waiting.pop_front());
        }
        group
    }

    fn commit_of(&self, group: &mut [Request]) -> Commit {
        let mut commit = Commit { durability: Durability::Buffered, ..Commit::default() };
        for Request { transaction, .. } in group {
            commit.durability = commit.durability.max(self.level(transaction));
            commit.writes.append(&mut transaction.writes);
            commit.records.extend(transaction.drafts.iter_mut().map(|draft| Record {
                envelope: Arc::clone(&draft.envelope),
                payload: std::mem::take(&mut draft.payload),
            }));
        }
        commit
    }

    fn level(&self, transaction: &Transaction) -> Durability {
        transaction.durability.map_or(self.durability, |asked| asked.min(self.durability))
    }
}

/// Who may be refused for what.
#[derive(Clone, Copy)]
enum Bound {
    /// A user: while the intake is open and the queue has room.
    Intake(usize),
    /// A lane: never, until everything is closed.
    None,
}

fn show(journal: &Journal, first: Position, group: Vec<Request>) {
    let mut next = first;
    let mut entries = Vec::new();
    let mut answers = Vec::with_capacity(group.len());
    for request in group {
        answers.push((request.ticket, next));
        for draft in request.transaction.drafts {
            entries.push(Arc::new(draft.into_entry(next)));
            next = next.next();
        }
    }
    let dropped = journal.tail.append(entries);
    for (ticket, first) in answers {
        ticket.complete(Ok(first));
    }
    // Dropping an event runs its owner's code. A panic there must not cost the log its leader.
    if catch_unwind(AssertUnwindSafe(|| drop(dropped))).is_err() {
        tracing::error!("dropping an event panicked");
    }
}

fn reject(error: StorageError, group: Vec<Request>) {
    let failure = match error {
        StorageError::Closed => PublishFailure::Closed,
        error => {
            tracing::error!(%error, "a commit failed");
            PublishFailure::Storage(error)
        }
    };
    for Request { transaction, ticket, .. } in group {
        ticket.complete(Err(Rejected { failure: failure.share(), drafts: transaction.drafts }));
    }
}

fn closed(drafts: Vec<Draft>) -> Rejected {
    Rejected { failure: PublishFailure::Closed, drafts }
}
