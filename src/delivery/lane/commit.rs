//! How a lane commits what it has done, and where it stands.

use std::sync::Arc;

use super::{Cursor, Held, Hole, Lane, handle::Submitted};
use crate::{
    delivery::{keys, ledger::Account},
    journal::Mistake,
    message::Position,
};

/// A cursor that only skipped events of others is stored when it has moved this far.
const SKIPPED: u64 = 65_536;

impl Lane {
    /// Sends the batch on its way with the cursor. False if there is nothing to commit.
    pub(super) fn commit_batch(&mut self) -> bool {
        let frontier = self.frontier();
        let skipped = self.subscriber.is_stored && frontier.since(self.stored) >= SKIPPED;
        if self.batch.is_empty() && !skipped {
            self.batch.attempts = 0;
            return false;
        }
        self.send(frontier);
        true
    }

    /// The same at a stop, where the cursor is stored once more even if it only skipped.
    pub(super) fn commit_last(&mut self) -> bool {
        if self.backlog.is_empty()
            && let ring = self.subscriber.journal.ring()
            && let Some(frontier) = ring.frontier(self.formation.group, self.number)
            && let Some(frontier) = Position::new(frontier)
        {
            self.scanned = self.scanned.max(frontier);
        }
        let frontier = self.frontier();
        let skipped = self.subscriber.is_stored && !self.farewell && frontier > self.stored;
        self.farewell = true;
        if self.batch.is_empty() && !skipped {
            return false;
        }
        self.send(frontier);
        true
    }

    fn send(&mut self, frontier: Position) {
        self.tally_after += self.batch.tally;
        let is_ahead = self.subscriber.is_planted(Mistake::CursorAhead);
        let cursor = self.cursor(if is_ahead { self.scanned } else { frontier });
        let mut batch = std::mem::take(&mut self.batch);
        let settled = batch.settled();
        let subscriber = Arc::clone(&self.subscriber);
        let writes = std::mem::take(&mut batch.writes);
        let ticket = subscriber.dead.fence(writes, |writes| {
            batch.writes = writes;
            let transaction = batch.into_transaction(&subscriber, cursor);
            let task = self.handle.task();
            self.handle.commit(&subscriber.journal, transaction, task.as_ref())
        });
        match ticket {
            Submitted::Ticket(ticket) => self.commit = Some((ticket, settled)),
            Submitted::Done => {
                self.stored = frontier;
                self.note_settled(settled);
            }
            Submitted::Left => {
                self.over = true; // abandoned meanwhile; somebody else may have the name
                return;
            }
        }
        self.stored = frontier;
    }

    /// True once no commit is on its way.
    pub(super) fn settle_commit(&mut self) -> bool {
        let Some((ticket, settled)) = &self.commit else { return true };
        let settled = *settled;
        match ticket.take() {
            None => false,
            Some(Ok(_)) => {
                self.note_settled(settled);
                self.commit = None;
                true
            }
            // Going on would only do again what cannot be kept.
            Some(Err(rejected)) => {
                self.give_up(&rejected.failure.to_string());
                false
            }
        }
    }

    /// What was sent is committed.
    fn note_settled(&mut self, settled: u64) {
        self.tally = self.tally_after;
        self.committed = self.stored;
        self.uncommitted.clear();
        self.handle.settled(settled);
    }

    /// Where the events are that it has taken.
    pub(super) fn account(&self) -> Account {
        let is_revived = |held: &&Held| held.is_revived();
        let (mut parked, mut running) = (self.parked.len(), self.running.len());
        if !self.revived.is_empty() {
            let revived = self.running.values().filter(is_revived).count();
            running -= revived;
            parked -= self.revived.len() - revived;
        }
        let sent = self.commit.as_ref().map_or(0, |(_, settled)| *settled);
        Account {
            tally: self.tally,
            open: self.handle.held(),
            held: (parked + self.gatherings.len() + self.unloaded.len()) as u64,
            in_flight: running as u64 + self.batch.settled() + sent,
            unseen: self.backlog.len() as u64,
            scanned: self.scanned.get(),
        }
    }

    /// The cursor's key and value, for a subscription that keeps one.
    fn cursor(&self, frontier: Position) -> Option<(Vec<u8>, Vec<u8>)> {
        if !self.subscriber.is_stored {
            return None;
        }
        let open = self.parked.iter().chain(self.running.values()).chain(self.gatherings.iter());
        let mut holes = holes(open.filter(|held| !self.forgets(held)));
        if !self.unloaded.is_empty() {
            holes.extend(&self.unloaded);
            holes.sort_unstable_by_key(|hole| hole.position);
        }
        if self.subscriber.is_planted(Mistake::ForgetHoles) {
            holes.truncate(1);
        }
        if self.subscriber.is_planted(Mistake::ForgetAttemptsAtStop) {
            for hole in &mut holes {
                hole.attempts = 0;
            }
        }
        let cursor = Cursor { frontier: frontier.get(), holes, tally: self.tally_after };
        let value = serde_json::to_vec(&cursor).ok()?;
        Some((keys::cursor(&self.subscriber.name, self.number), value))
    }

    /// Whether a planted mistake leaves an event out of the cursor.
    fn forgets(&self, held: &Held) -> bool {
        let is_planted = |mistake| self.subscriber.is_planted(mistake);
        let is_running = || self.running.contains_key(&held.position());
        let is_gathered = || self.gatherings.iter().any(|it| it.position() == held.position());
        is_planted(Mistake::ForgetUnderWay) && is_running()
            || is_planted(Mistake::StopAcknowledges) && self.farewell && is_running()
            || is_planted(Mistake::ForgetGathered) && is_gathered()
    }

    /// The first position that is held, dead letters being tried again aside.
    pub(super) fn low(&self) -> Option<Position> {
        let held = self.parked.low().into_iter();
        let running = self.running.values().find(|held| !held.is_revived()).map(Held::position);
        let unloaded = self.unloaded.front().and_then(|hole| Position::new(hole.position));
        let backlog = self.backlog.front().map(|entry| entry.position);
        let gathered = self.gatherings.iter().map(Held::position);
        held.chain(running).chain(gathered).chain(unloaded).chain(backlog).min()
    }

    pub(in crate::delivery) fn frontier(&self) -> Position {
        self.backlog.front().map_or(self.scanned, |entry| entry.position)
    }
}

/// What a cursor says of events that are held, by position.
pub(super) fn holes<'a>(held: impl Iterator<Item = &'a Held>) -> Vec<Hole> {
    let mut holes: Vec<_> = held.filter(|held| !held.is_revived()).map(Hole::of).collect();
    holes.sort_unstable_by_key(|hole| hole.position);
    holes
}
