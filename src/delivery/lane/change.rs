//! A lane in a change of the number of lanes: how it comes to a stop, and what it hands on.

use std::collections::{BTreeMap, BTreeSet};

use super::{Held, Hole, Lane, PAUSE, Parked, commit::holes};
use crate::{
    delivery::ledger::Tally,
    journal::{Opened, Seat},
    message::Position,
    runtime::Step,
};

/// What a lane leaves behind that has come in.
pub(in crate::delivery) struct Legacy {
    pub(in crate::delivery) seat: Seat,
    /// Everything before it is settled, or among the following.
    pub(in crate::delivery) taken: Position,
    pub(in crate::delivery) open: Share,
    /// How it settled what it settled.
    pub(in crate::delivery) tally: Tally,
}

/// Events that a lane has in its hands, and that another one goes on with.
#[derive(Default)]
pub(in crate::delivery) struct Share {
    parked: Parked,
    running: BTreeMap<Position, Held>,
    revived: BTreeSet<Position>,
}

impl Lane {
    pub(in crate::delivery) fn number(&self) -> u32 {
        self.number
    }

    /// Whether it has come to a stop, to hand on what it has.
    pub(in crate::delivery) fn is_in(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Comes to a stop: nothing is left to commit or to look at, and nothing of the ring is open.
    pub(super) fn come_in(&mut self) -> Step {
        if self.commit_batch() {
            return self.next_step();
        }
        if !self.inbox.is_empty() {
            return Step::Again;
        }
        if !self.unloaded.is_empty() {
            // Only with its key does an event find its lane.
            if !self.load() {
                self.wake_at(self.now().saturating_add(PAUSE));
                return Step::Wait;
            }
            return Step::Again;
        }
        self.stop_reading();
        self.stopped_at = (!self.over).then(|| self.frontier());
        Step::Wait
    }

    /// Takes note of how far it has come. It is awake after this, and so the ring keeps what it has
    /// not taken for whoever goes on.
    fn stop_reading(&mut self) {
        let Some(mut seat) = self.seat.take() else { return };
        match seat.open(self.subscriber.journal.ring()) {
            Opened::Batch(batch) => batch.close(0),
            Opened::Gone => self.over = true,
            Opened::Nothing | Opened::Behind { .. } => {}
        }
        self.count_missed(&mut seat);
        self.note_scanned(&seat);
        self.seat = Some(seat);
    }

    /// How many events of each share it would add to.
    pub(in crate::delivery) fn count_shares(&self, lanes: u32, shares: &mut [usize]) {
        for held in self.parked.iter() {
            if let Some(share) = shares.get_mut(held.lane(lanes)) {
                *share += 1;
            }
        }
    }

    /// Ends. `None` if it has not come in.
    pub(in crate::delivery) fn bequeath(self) -> Option<Legacy> {
        let taken = self.stopped_at?;
        let (parked, running, revived) = (self.parked, self.running, self.revived);
        let (open, tally) = (Share { parked, running, revived }, self.tally);
        Some(Legacy { seat: self.seat?, taken, open, tally })
    }

    /// Goes on with what others had.
    pub(in crate::delivery) fn inherit(&mut self, share: Share) {
        let Share { parked, running, revived } = share;
        (self.parked, self.running, self.revived) = (parked, running, revived);
        self.note_deadlines();
        let held = self.parked.iter().chain(self.running.values());
        self.handle.took(held.filter(|held| !held.is_revived()).count(), self.low());
        self.handle.keep_account(self.account());
    }
}

impl Share {
    /// Deals it out by keys among so many lanes as there are shares.
    pub(in crate::delivery) fn deal(self, shares: &mut [Self]) {
        let lanes = u32::try_from(shares.len()).unwrap_or(u32::MAX);
        for held in self.parked.iter().chain(self.running.values()) {
            if self.revived.contains(&held.position())
                && let Some(share) = shares.get_mut(held.lane(lanes))
            {
                share.revived.insert(held.position());
            }
        }
        for (position, held) in self.running {
            if let Some(share) = shares.get_mut(held.lane(lanes)) {
                share.running.insert(position, held);
            }
        }
        let mut places: Vec<_> = shares.iter_mut().map(|share| &mut share.parked).collect();
        self.parked.deal(&mut places);
    }

    /// What of it a cursor names.
    pub(in crate::delivery) fn holes(&self) -> Vec<Hole> {
        holes(self.parked.iter().chain(self.running.values()))
    }
}
