//! The order of a key of which an event is a dead letter, where the subscription is to keep it.
//!
//! An event is attempted only while no letter of its key is there, and becomes one otherwise; a letter
//! is attempted only while it is the first of its key. Both are looked at right before the attempt, so
//! that no order in which events and letters come into the lane matters. A letter that is given up is
//! there until that is committed: nothing of its key goes on before. The letters of a key are all
//! before its events in the lane, in storage too, so that a restart finds them in their order.

use super::{Held, Lane};
use crate::{
    delivery::dead_letter::Verdict, event::Key, journal::Mistake, message::Position,
    policy::OnDeadLetter,
};

impl Lane {
    /// Whether it may have to look for letters before it handles an event.
    pub(super) fn holds_keys(&self) -> bool {
        let subscriber = &self.subscriber;
        subscriber.policy.on_dead_letter == OnDeadLetter::HoldKey && subscriber.dead.has_keys()
    }

    /// Whether an event is to become a letter behind those of its key.
    pub(super) fn is_behind(&self, held: &Held) -> bool {
        if self.subscriber.is_planted(Mistake::LetBehindThrough) {
            return false;
        }
        let dead = &self.subscriber.dead;
        !held.is_revived()
            && held.key().is_some_and(|key| self.holds_keys() && dead.first(key).is_some())
    }

    /// Makes a letter of an event at once while one of its key is being tried again, so that it need
    /// not wait in the lane. Not where others wait, which are to be letters before it.
    pub(super) fn joins_letters(&mut self, held: &Held) -> bool {
        let first = held.key().and_then(|key| self.subscriber.dead.first(key));
        first.is_some_and(|first| self.revived.contains(&first))
            && self.is_behind(held)
            && !self.parked.has_queue(held.key())
            && self.becomes_letter(held, &Verdict::behind())
    }

    /// Whether a letter that is to be tried again comes after one that is about to be given up: it is
    /// not known yet whether it is its turn.
    pub(super) fn has_no_turn_yet(&self, held: &Held) -> bool {
        held.is_revived()
            && self.holds_keys()
            && held.key().is_some_and(|key| self.subscriber.dead.is_leaving(key))
    }

    /// A letter that is to be tried again before its turn. It is not, and the one whose turn it is
    /// comes in its place.
    pub(super) fn is_out_of_turn(&mut self, held: &Held) -> bool {
        let ignores = self.subscriber.is_planted(Mistake::RetryOutOfTurn);
        if !held.is_revived() || !self.holds_keys() || ignores {
            return false;
        }
        let Some(key) = held.key() else { return false };
        if self.subscriber.dead.first(key) == Some(held.position()) {
            return false;
        }
        self.revived.remove(&held.position());
        self.follow(Some(key));
        true
    }

    /// What was put behind a letter that is gone now comes next of its key.
    pub(super) fn follow(&mut self, key: Option<&Key>) {
        let dead = &self.subscriber.dead;
        let Some(next) = key.and_then(|key| dead.ready(key)) else { return };
        self.read_letter(next);
    }

    /// Has a dead letter tried again as it is now, unless that is so already.
    pub(super) fn read_letter(&mut self, position: Position) {
        if self.revived.contains(&position) {
            return;
        }
        match self.subscriber.dead.held(position, &self.batch.writes) {
            Ok(Some(held)) => self.revive(held),
            Ok(None) => {} // discarded meanwhile, and whoever did that goes on
            Err(error) => {
                tracing::error!(subscription = &*self.subscriber.name, %position, %error,
                    "a dead letter cannot be read; its key goes on when it is retried");
            }
        }
    }
}
