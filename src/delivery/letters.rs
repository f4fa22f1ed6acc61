//! What is decided about the dead letters of a subscription that runs.

use std::collections::BTreeSet;

use super::{Subscriber, keys, lane::Inbound};
use crate::{
    event::Key,
    journal::{Draft, Mistake, Places, Rejected},
    message::Position,
    policy::OnDeadLetter,
    storage::StorageError,
};

impl Subscriber {
    /// Has a lane handle a dead letter again, or first the first one of its key. False where there is
    /// none at that position.
    pub(crate) fn revive(&self, position: Position) -> Result<bool, StorageError> {
        let Some(first) = self.first_to_retry(position) else { return Ok(false) };
        self.send_letter(first)
    }

    /// The same for many, each key once. Returns how many of them there are.
    pub(crate) fn revive_all(&self, positions: &[Position]) -> Result<usize, StorageError> {
        let firsts = positions.iter().map(|position| self.first_to_retry(*position));
        let firsts: Vec<_> = firsts.flatten().collect();
        for first in firsts.iter().collect::<BTreeSet<_>>() {
            // One that is gone by now was handled or discarded meanwhile.
            self.send_letter(*first)?;
        }
        Ok(firsts.len())
    }

    /// Which letter a retry of this one begins with.
    pub(crate) fn first_to_retry(&self, position: Position) -> Option<Position> {
        match self.policy.on_dead_letter {
            _ if self.is_planted(Mistake::RetryOutOfTurn) => {
                self.dead.contains(position).then_some(position)
            }
            OnDeadLetter::Continue => self.dead.contains(position).then_some(position),
            OnDeadLetter::HoldKey => self.dead.first_beside(position),
        }
    }

    fn send_letter(&self, position: Position) -> Result<bool, StorageError> {
        let Some(held) = self.dead.held(position, &keys::Writes::new())? else { return Ok(false) };
        self.send(Inbound::Revive(held));
        Ok(true)
    }

    /// Has what was put behind a dead letter of this key follow, if that one is gone.
    pub(super) fn follow(&self, key: Key) {
        self.send(Inbound::Follow(key));
    }

    /// Gives a dead letter up for good, and publishes what comes in its place: both or nothing.
    /// `None` where there is none.
    pub(crate) fn replace(
        &self,
        position: Position,
        drafts: Vec<Draft>,
    ) -> Result<Option<Places>, Rejected> {
        let Some((places, key)) = self.dead.replace(position, drafts)? else { return Ok(None) };
        self.gave_up(position, key);
        // It may have rested for lack of room.
        self.wake();
        Ok(Some(places))
    }

    /// Gives dead letters up for good, in one commit and from inside a task. Returns how many of them
    /// were there.
    pub(super) fn discard_all(&self, positions: &[Position]) -> Result<usize, StorageError> {
        let discarded = self.dead.discard_all(positions)?;
        let count = discarded.len();
        for (position, key) in discarded {
            self.gave_up(position, key);
        }
        self.wake();
        Ok(count)
    }

    /// A dead letter is gone for good.
    fn gave_up(&self, position: Position, key: Option<Key>) {
        // In storage, what was done for it outside went with the letter.
        drop(self.effects.forget(position));
        self.alarm.look(|| self.dead.count());
        self.counters.discarded.add(1);
        let key = key.filter(|_| !self.is_planted(Mistake::ForgetToFollow));
        // Where keys are held, a lane may just now be putting an event behind the letter.
        let holds_key = self.policy.on_dead_letter == OnDeadLetter::HoldKey;
        if let Some(key) = key.filter(|key| holds_key || self.dead.ready(key).is_some()) {
            self.follow(key);
        }
    }
}
