//! How others reach a lane, and cut it off.

use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::{
    delivery::{
        HandlerError, conductor::Gauge, context::Staged, gate::Timesheet, ledger::Account,
        parking::Held,
    },
    event::Key,
    journal::{Entry, Journal, Ticket, Transaction},
    message::Position,
    runtime::{Task, Tick},
};

/// What others tell a lane.
pub(in crate::delivery) enum Inbound {
    /// A started delivery has ended.
    Finished { entry: Arc<Entry>, serial: u64, result: Result<Staged, HandlerError> },
    /// A started delivery was given back without being looked at.
    GivenBack { entry: Arc<Entry>, serial: u64 },
    /// A started delivery was pulled at that time.
    Pulled { entry: Arc<Entry>, serial: u64, at: Tick },
    /// A dead letter is to be tried again.
    Revive(Held),
    /// A dead letter of this key is gone, and what was put behind it may follow.
    Follow(Key),
}

impl Inbound {
    /// The number of the lane among so many that it is for.
    pub(in crate::delivery) fn lane(&self, lanes: u32) -> u32 {
        let lane_of = |entry: &Entry| entry.envelope.lane(entry.position, lanes);
        match self {
            Self::Finished { entry, .. }
            | Self::GivenBack { entry, .. }
            | Self::Pulled { entry, .. } => lane_of(entry),
            Self::Revive(held) => lane_of(&held.entry),
            Self::Follow(key) => key.lane(lanes),
        }
    }
}

/// What became of a commit.
pub(in crate::delivery) enum Submitted {
    /// It is on its way.
    Ticket(Arc<Ticket>),
    /// It is done.
    Done,
    /// The lane has left, and commits nothing any more.
    Left,
}

/// How others reach a lane: its inbox, its task, and how much it holds.
#[derive(Default)]
pub(crate) struct LaneHandle {
    inbox: Mutex<Vec<Inbound>>,
    task: OnceLock<Weak<Task>>,
    /// The lane has left and commits nothing more, even if a handler of it still runs: its name may
    /// belong to somebody else. Held while a commit is submitted.
    left: Mutex<bool>,
    /// Events taken from the journal and not settled yet.
    held: AtomicU64,
    /// Those of them that a handler is at work on, elsewhere than on the lane's thread.
    running: AtomicU64,
    /// The first position that is held; 0 for none.
    low: AtomicU64,
    /// As of the end of the lane's last turn.
    account: Mutex<Account>,
    /// How busy the lane is, where anybody asks.
    pub(in crate::delivery) gauge: Gauge,
    /// What its thread is at, where that may take too long.
    pub(in crate::delivery) timesheet: Timesheet,
}

impl LaneHandle {
    pub(in crate::delivery) fn attach(&self, task: &Arc<Task>) {
        self.task.get_or_init(|| Arc::downgrade(task));
    }

    pub(super) fn task(&self) -> Option<Arc<Task>> {
        self.task.get().and_then(Weak::upgrade)
    }

    pub(crate) fn wake(&self) {
        if let Some(task) = self.task() {
            task.wake();
        }
    }

    /// Cuts the lane off. No commit of it is submitted after this.
    pub(crate) fn leave(&self) {
        *self.left.lock() = true;
    }

    pub(in crate::delivery) fn has_left(&self) -> bool {
        *self.left.lock()
    }

    /// Submits a commit, unless the lane has left. Wakes the task once it is done.
    pub(in crate::delivery) fn commit(
        &self,
        journal: &Journal,
        transaction: Transaction,
        waker: Option<&Arc<Task>>,
    ) -> Submitted {
        let Some(task) = waker else { return Submitted::Left };
        let left = self.left.lock();
        if *left {
            return Submitted::Left;
        }
        if !journal.is_durable() {
            // Nothing is kept that a successor could miss, and events may be dropped, which runs
            // their owner's code.
            drop(left);
        }
        journal.commit(transaction, task).map_or(Submitted::Done, Submitted::Ticket)
    }

    /// It is to be woken.
    pub(in crate::delivery) fn send(&self, inbound: Inbound) {
        self.inbox.lock().push(inbound);
    }

    pub(in crate::delivery) fn receive(&self) -> Vec<Inbound> {
        std::mem::take(&mut *self.inbox.lock())
    }

    /// The lane took so many events from the journal, the first at this position.
    pub(super) fn took(&self, events: usize, first: Option<Position>) {
        self.held.fetch_add(events as u64, Ordering::Relaxed);
        let first = first.map_or(0, Position::get);
        let keep = |low| (low == 0).then_some(first);
        // Later events never lower it.
        self.low.fetch_update(Ordering::Relaxed, Ordering::Relaxed, keep).ok();
    }

    /// The lane's commit settled so many of them.
    pub(super) fn settled(&self, events: u64) {
        self.held.fetch_sub(events, Ordering::Relaxed);
    }

    /// What the lane holds after its commits, and what runs.
    pub(super) fn report(&self, low: Option<Position>, running: usize) {
        self.low.store(low.map_or(0, Position::get), Ordering::Relaxed);
        self.running.store(running as u64, Ordering::Relaxed);
    }

    pub(super) fn keep_account(&self, account: Account) {
        *self.account.lock() = account;
    }

    /// Where the events are that the lane has taken, as of the end of its last turn.
    pub(crate) fn account(&self) -> Account {
        *self.account.lock()
    }

    /// The first position that is not settled, if any is held.
    pub(crate) fn low(&self) -> Option<Position> {
        Position::new(self.low.load(Ordering::Relaxed))
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }
}
