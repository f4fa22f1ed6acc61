//! A group of receivers: how far it has come in each stream, and what is open.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::log::Log;
use crate::runtime::Tick;

/// Which stream, and which parcel of it.
pub(super) type Spot = (usize, u64);

/// One connection of a receiver.
pub(super) type Member = u64;

/// A parcel that was taken from its stream and is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    /// Who has it; nobody while it waits for its next delivery.
    pub(super) member: Option<Member>,
    /// When it is to be delivered again.
    due: Tick,
    /// How often it was delivered.
    pub(super) deliveries: u32,
}

/// A parcel is settled where the cursor of its stream is beyond it and it is not open.
#[derive(Debug)]
pub(super) struct Group {
    cursors: Vec<u64>,
    open: BTreeMap<Spot, Open>,
    /// What is open, by when it is due.
    due: BTreeSet<(Tick, Spot)>,
    /// The stream to look at first, so that each has its turn.
    turn: usize,
}

impl Group {
    /// One that begins at these sequences.
    pub(super) fn new(cursors: Vec<u64>) -> Self {
        Self { cursors, open: BTreeMap::new(), due: BTreeSet::new(), turn: 0 }
    }

    pub(super) fn has_settled(&self, spot: Spot) -> bool {
        self.cursors[spot.0] > spot.1 && !self.open.contains_key(&spot)
    }

    pub(super) fn open(&self, spot: Spot) -> Option<Open> {
        self.open.get(&spot).copied()
    }

    /// Something that is due, if anything is.
    pub(super) fn next_due(&self, now: Tick) -> Option<Spot> {
        self.due.first().filter(|(due, _)| *due <= now).map(|(_, spot)| *spot)
    }

    /// When something that is not due yet will be.
    pub(super) fn due_after(&self, now: Tick) -> Option<Tick> {
        let later = (Bound::Excluded((now, (usize::MAX, u64::MAX))), Bound::Unbounded);
        self.due.range(later).next().map(|(due, _)| *due).filter(|due| *due < Tick::MAX)
    }

    /// Comes to the next parcel of the streams.
    pub(super) fn advance(&mut self, logs: &[Log]) -> Option<Spot> {
        let streams = self.cursors.len();
        let from = self.turn;
        let mut in_turn = (0..streams).map(|at| (from + at) % streams);
        let stream = in_turn.find(|stream| self.cursors[*stream] < logs[*stream].end())?;
        let sequence = self.cursors[stream];
        self.cursors[stream] += 1;
        self.turn = (stream + 1) % streams;
        Some((stream, sequence))
    }

    /// Notes that a parcel is with a member until then. Returns how often it was delivered before.
    pub(super) fn deliver(&mut self, spot: Spot, member: Member, until: Tick) -> u32 {
        let before = self.open(spot).map_or(0, |open| open.deliveries);
        let deliveries = before.saturating_add(1);
        self.put(spot, Open { member: Some(member), due: until, deliveries });
        before
    }

    /// Has a parcel wait, with nobody, until then.
    pub(super) fn defer(&mut self, spot: Spot, until: Tick) {
        let deliveries = self.open(spot).map_or(0, |open| open.deliveries);
        self.put(spot, Open { member: None, due: until, deliveries });
    }

    pub(super) fn settle(&mut self, spot: Spot) {
        if let Some(open) = self.open.remove(&spot) {
            self.due.remove(&(open.due, spot));
        }
    }

    /// Takes back what a member has. Returns whether that was anything.
    pub(super) fn release(&mut self, member: Member, now: Tick) -> bool {
        let has = |open: &Open| open.member == Some(member);
        let theirs = self.open.iter().filter(|(_, open)| has(open));
        let theirs: Vec<Spot> = theirs.map(|(spot, _)| *spot).collect();
        for spot in &theirs {
            self.defer(*spot, now);
        }
        !theirs.is_empty()
    }

    fn put(&mut self, spot: Spot, open: Open) {
        self.settle(spot);
        self.due.insert((open.due, spot));
        self.open.insert(spot, open);
    }
}
