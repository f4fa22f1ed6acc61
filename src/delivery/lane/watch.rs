//! What a lane tells those who wait for events.

use super::Lane;
use crate::{journal::Mistake, message::Position};

impl Lane {
    /// Tells whoever waits for events that this lane is done with.
    pub(super) fn tell_watches(&self) {
        if !self.subscriber.watches.is_any() {
            return;
        }
        let lane = (self.formation.group, self.number);
        if self.subscriber.watches.note(lane, |position| self.is_past(position)) {
            self.subscriber.journal.quiet().notify();
        }
    }

    /// Whether the lane has nothing to do with a position any more, and that is committed.
    fn is_past(&self, position: Position) -> bool {
        let is_committed = self.batch.is_empty() && self.commit.is_none();
        let is_committed = is_committed || self.subscriber.is_planted(Mistake::SettledUncommitted);
        let limit = if is_committed { self.passed() } else { self.committed };
        position < limit && !self.holds(position) && !self.uncommitted.contains(&position)
    }

    fn holds(&self, position: Position) -> bool {
        let is_it = |other: Position| other == position;
        self.parked.iter().any(|held| is_it(held.position()))
            || self.running.contains_key(&position)
            || self.unloaded.iter().any(|hole| hole.position == position.get())
            || self.backlog.iter().any(|entry| is_it(entry.position))
    }

    /// Where it is to read on. While it sleeps, others move that for it.
    fn passed(&self) -> Position {
        let ring = self.subscriber.journal.ring();
        let frontier = ring.frontier(self.formation.group, self.number).and_then(Position::new);
        match frontier {
            Some(frontier) if self.backlog.is_empty() => frontier.max(self.scanned),
            _ => self.frontier(),
        }
    }
}
