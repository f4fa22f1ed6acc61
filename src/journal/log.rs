//! The durable part of the journal: who waits for a commit, and who makes it.
//!
//! One thread at a time leads: it takes everything that waits and commits it as one. A blocking
//! publisher that finds no leader leads itself, which saves two thread switches; those that come
//! meanwhile form the next commit. What was enqueued without waiting is led by a task of its own, on
//! its own thread, so that busy handlers cannot hold it up.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use super::{
    Draft, Journal, Mistake, Place, Places, PublishFailure, Rejected, Ticket, Transaction,
    caretaker::Caretaker, published::Published, spare::Spares,
};
use crate::{
    event::Durability,
    policy::Window,
    runtime::{Runtime, Seeded, Step, Task, Timestamp, sync::Mutex},
    storage::{Storage, StorageError},
};

/// How long to wait for room before trying again.
const NO_ROOM: Duration = Duration::from_millis(100);

/// The thread for commits that nobody blocks on.
const POOL: &str = "tidings commit"; // no user can name it so

pub(crate) struct Log {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) durability: Durability,
    capacity: usize,
    pub(super) queue: Mutex<Queue>,
    committer: OnceLock<Arc<Task>>,
    pub(super) caretaker: Caretaker,
    pub(super) spares: Spares,
    /// Only the leader looks at it.
    pub(super) published: Mutex<Published>,
    /// The storage has panicked, and is not asked again.
    pub(super) broken: AtomicBool,
    runtime: Runtime,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Request>,
    /// Events in `waiting`.
    pub(super) events: usize,
    /// Requests that are in `waiting` or being committed.
    pub(super) open: usize,
    /// Somebody leads, or has been told to.
    led: bool,
    /// Users' publishes are refused.
    intake_closed: bool,
    /// Everything is refused.
    pub(super) closed: bool,
}

pub(super) struct Request {
    pub(super) transaction: Transaction,
    pub(super) ticket: Arc<Ticket>,
    /// A thread waits for the ticket, and can lead.
    pub(super) blocks: bool,
    /// It makes room, and so may use what is left of it.
    pub(super) urgent: bool,
    /// About how much storage will have to write. Summed up by whoever sends it, who has just had it
    /// all in hand.
    pub(super) bytes: usize,
    /// Which of its messages are copies, and where the originals are.
    pub(super) copies: Vec<(usize, Place)>,
    /// Those copies, taken out of the transaction.
    pub(super) taken_out: Vec<Draft>,
    /// When the first event of it is due that is to be published later.
    pub(super) due: Option<Timestamp>,
}

impl Request {
    fn new(mut transaction: Transaction, ticket: &Arc<Ticket>, blocks: bool, urgent: bool) -> Self {
        let due = transaction.write_schedule();
        let (bytes, ticket) = (transaction.bytes(), Arc::clone(ticket));
        let (copies, taken_out) = (Vec::new(), Vec::new());
        Self { transaction, ticket, blocks, urgent, bytes, copies, taken_out, due }
    }

    /// Refuses it, and hands back all of its messages, in their order.
    pub(super) fn refuse(self, failure: PublishFailure) {
        let mut drafts = self.transaction.into_drafts();
        for ((at, _), copy) in self.copies.into_iter().zip(self.taken_out) {
            drafts.insert(at, copy);
        }
        self.ticket.complete(Err(Rejected { failure, drafts }));
    }

    /// Whether anything is to be written for it.
    pub(super) fn needs_room(&self) -> bool {
        let transaction = &self.transaction;
        transaction.fires.is_some()
            || !transaction.drafts.is_empty()
            || !transaction.writes.is_empty()
    }

    /// Whether it waits for room rather than be refused.
    pub(super) fn is_patient(&self) -> bool {
        self.urgent && !self.blocks
    }
}

impl Log {
    pub(super) fn new(
        runtime: &Runtime,
        storage: Arc<dyn Storage>,
        durability: Durability,
        capacity: usize,
        dedup: Window,
    ) -> Arc<Self> {
        Arc::new(Self {
            durability,
            capacity,
            queue: Mutex::default(),
            committer: OnceLock::new(),
            caretaker: Caretaker::new(runtime, &storage),
            storage,
            spares: Spares::default(),
            published: Mutex::new(Published::new(dedup, Seeded::new(runtime))),
            broken: AtomicBool::new(false),
            runtime: runtime.clone(),
        })
    }

    /// Sets the committer up. Separate from `new`, since it refers back to the journal.
    pub(super) fn start(&self, journal: &Arc<Journal>) {
        let pool = self.runtime.pool(POOL, 1);
        self.caretaker.start();
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

    pub(super) fn after_upkeep(&self, work: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        self.caretaker.afterwards(work);
    }

    /// Publishes from a user's thread, which may become the leader.
    pub(super) fn publish(
        &self,
        journal: &Journal,
        transaction: Transaction,
    ) -> Result<Places, Rejected> {
        self.commit(journal, transaction, Bound::Intake(usize::MAX))
    }

    /// Commits what a handler waits for, which goes on while a bus shuts down.
    pub(super) fn commit_for_handler(
        &self,
        journal: &Journal,
        transaction: Transaction,
    ) -> Result<Places, Rejected> {
        self.commit(journal, transaction, Bound::None)
    }

    fn commit(
        &self,
        journal: &Journal,
        transaction: Transaction,
        bound: Bound,
    ) -> Result<Places, Rejected> {
        let ticket = Ticket::new(None);
        let urgent = transaction.drafts.is_empty();
        let request = Request::new(transaction, &ticket, true, urgent);
        let mut leads = self.push(request, bound)?;
        if !leads {
            self.runtime.wait(ticket.changed(), None, || ticket.is_done() || ticket.leads());
            leads = ticket.leads();
        }
        if leads {
            while !ticket.is_done() {
                if self.commit_group(journal).answered == 0 {
                    // Nothing waits: whoever closes the log has taken it out, and is about to answer.
                    self.runtime.wait(ticket.changed(), None, || ticket.is_done());
                    break;
                }
            }
            if !journal.is_planted(Mistake::ForgetToHandOver) {
                self.hand_over();
            }
            drop(self.spares.take_surplus());
        }
        ticket.take().unwrap_or_else(|| Err(self.withdraw(&ticket)))
    }

    /// Takes back a request that nobody is left to serve.
    pub(super) fn withdraw(&self, ticket: &Arc<Ticket>) -> Rejected {
        let mut queue = self.queue.lock();
        let found = queue.waiting.iter().position(|request| Arc::ptr_eq(&request.ticket, ticket));
        let request = found.and_then(|at| queue.waiting.remove(at));
        closed(request.map(|request| request.transaction.into_drafts()).unwrap_or_default())
    }

    /// Queues a user's publish for the committer.
    pub(super) fn enqueue(&self, transaction: Transaction) -> Result<Arc<Ticket>, Rejected> {
        let ticket = Ticket::new(None);
        let request = Request::new(transaction, &ticket, false, false);
        if self.push(request, Bound::Intake(self.capacity))? {
            self.wake_committer();
        }
        Ok(ticket)
    }

    /// Queues what a lane has done, however full the queue is.
    pub(super) fn submit(
        &self,
        transaction: Transaction,
        waker: Option<&Arc<Task>>,
    ) -> Arc<Ticket> {
        let ticket = Ticket::new(waker);
        let request = Request::new(transaction, &ticket, false, true);
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
            request.ticket.complete(Err(closed(request.transaction.into_drafts())));
        }
        if let Some(committer) = self.committer.get() {
            committer.stop();
        }
        self.caretaker.stop();
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
            return Err(Rejected { failure, drafts: request.transaction.into_drafts() });
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
        let has_room = self.commit_group(journal).has_room;
        let mut queue = self.queue.lock();
        queue.led = !queue.waiting.is_empty();
        if !has_room && queue.led {
            // It leads on, and so nobody tries in vain meanwhile.
            if let Some(committer) = self.committer.get() {
                self.runtime.wake_at(self.runtime.now().saturating_add(NO_ROOM), committer);
            }
            return Step::Wait;
        }
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
}

/// Who may be refused for what.
#[derive(Clone, Copy)]
enum Bound {
    /// A user: while the intake is open and the queue has room.
    Intake(usize),
    /// A lane: never, until everything is closed.
    None,
}

pub(super) fn closed(drafts: Vec<Draft>) -> Rejected {
    Rejected { failure: PublishFailure::Closed, drafts }
}
