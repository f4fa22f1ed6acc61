//! Memory of events that are through the log, for the next ones.
//!
//! A publisher allocates what an event needs, and the leader of the log would free it: on another
//! thread, where that is dear. So the leader keeps it here, and publishers take it from here. What a
//! cell holds is dropped by the publisher that writes the next event into it.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::{Draft, ring::CellRef};

/// How much is kept of each, and so how many old events besides those in the ring.
const MOST: usize = 1024;

/// The largest payload buffer that is kept, in bytes.
const PAYLOAD: usize = 4096;

#[derive(Default)]
pub(super) struct Spares {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// In order, so that every old event is dropped in its time.
    cells: VecDeque<CellRef>,
    payloads: Vec<Vec<u8>>,
    lists: Vec<Vec<Draft>>,
}

/// What one event needs. Empty buffers, and maybe a cell with an old event.
#[derive(Default)]
pub(super) struct Spare {
    pub(super) cell: Option<CellRef>,
    pub(super) payload: Vec<u8>,
}

impl Spares {
    /// Called by publishers. Where too much is kept, one of them drops an old event as well: not the
    /// committer, since a `Drop` may publish, and wait for it.
    pub(super) fn take(&self) -> Spare {
        let mut kept = self.kept.lock();
        let surplus = if kept.cells.len() > MOST { kept.cells.pop_front() } else { None };
        let (cell, payload) = (kept.cells.pop_front(), kept.payloads.pop().unwrap_or_default());
        drop(kept);
        drop(surplus); // runs the event's own code
        Spare { cell, payload }
    }

    /// A list of this one.
    pub(super) fn list(&self, draft: Draft) -> Vec<Draft> {
        let list = self.kept.lock().lists.pop();
        let mut list = list.unwrap_or_default();
        list.push(draft);
        list
    }

    /// Takes over what the ring is done with.
    pub(super) fn keep_cells(&self, cells: Vec<CellRef>) {
        self.kept.lock().cells.extend(cells);
    }

    /// What there is too much of, to be dropped by a publisher that does not lead any more.
    pub(super) fn take_surplus(&self) -> Vec<CellRef> {
        let mut kept = self.kept.lock();
        let surplus = kept.cells.len().saturating_sub(MOST);
        kept.cells.drain(..surplus).collect()
    }

    pub(super) fn keep_payloads(&self, payloads: impl Iterator<Item = Vec<u8>>) {
        let mut kept = self.kept.lock();
        let room = MOST - kept.payloads.len();
        let fitting = payloads.filter(|payload| payload.capacity() <= PAYLOAD);
        kept.payloads.extend(fitting.take(room).map(|mut payload| {
            payload.clear();
            payload
        }));
    }

    /// Keeps lists of one draft each, which are empty now.
    pub(super) fn keep_lists(&self, lists: Vec<Vec<Draft>>) {
        let mut kept = self.kept.lock();
        let room = MOST - kept.lists.len();
        kept.lists.extend(lists.into_iter().take(room));
    }
}
