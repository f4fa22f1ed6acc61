//! How an event comes to its handler, and the next one of its key after it.

use std::{ops::ControlFlow, sync::Arc};

use super::{Held, Lane, OTHERS_PAUSE, careful::Care};
use crate::{
    delivery::{
        attempt::{Attempted, attempt, prepare},
        dead_letter::Verdict,
        gate::{Ended, Pass},
    },
    event::Key,
    journal::Mistake,
};

impl Lane {
    /// Handles an event, and then those of its key that wait behind it, until one has to wait.
    pub(super) fn deliver(&mut self, held: Held) {
        let key = held.key().cloned();
        if self.try_now(held) {
            self.go_on_with(key.as_ref());
        }
    }

    /// Handles what waits behind a key whose head is done.
    pub(super) fn go_on_with(&mut self, key: Option<&Key>) {
        while let Some(next) = self.parked.release(key) {
            if self.turn_is_over() {
                return self.parked.park(next, self.now());
            }
            if !self.try_now(next) {
                return;
            }
        }
    }

    /// True if the event is settled, one way or the other, or joins a batch: its key goes on.
    fn try_now(&mut self, held: Held) -> bool {
        if !self.is_next_of_its_key(&held) {
            self.parked.put_back(held, self.now());
            return false;
        }
        if self.is_discarded(&held) || self.has_expired(&held) {
            return true;
        }
        if self.has_no_turn_yet(&held) {
            self.look_later(held);
            return false;
        }
        if self.is_out_of_turn(&held) {
            return true;
        }
        if self.is_behind(&held) {
            return self.bury(held, Verdict::behind());
        }
        if let Some(verdict) = held.verdict.as_deref().cloned() {
            self.batch.attempts += 1;
            return self.bury(held, verdict);
        }
        if self.joins_batch(&held) {
            return self.gather(held);
        }
        self.call(held)
    }

    /// Has the event's handler called, where nothing is in its way. Last of all the gate is asked: what it
    /// says holds for that moment, and has its price.
    fn call(&mut self, mut held: Held) -> bool {
        if held.was_busy && self.is_busy(&mut held) {
            self.look_later(held);
            return false;
        }
        match self.take_care(&mut held) {
            Care::Handle => {}
            Care::Bury(verdict) => {
                self.batch.attempts += 1;
                return self.bury(held, verdict);
            }
            Care::Wait => {
                self.look_later(held);
                return false;
            }
        }
        let subscriber = Arc::clone(&self.subscriber);
        let ready = match prepare(&subscriber, &mut held) {
            ControlFlow::Continue(ready) => ready,
            ControlFlow::Break(attempted) => {
                self.batch.attempts += 1;
                return self.conclude(held, Pass::default(), attempted);
            }
        };
        let Some((held, pass)) = self.admit(held) else { return false };
        self.batch.attempts += 1;
        let clocked_in = self.clock_in(Some(held.position()));
        let attempted = attempt(&subscriber, ready, &held, &mut self.batch.writes);
        self.clock_out(clocked_in);
        self.conclude(held, pass, attempted)
    }

    /// Whether a copy of the event is still being handled. Asked before care is taken, which is stored: an
    /// event may wait for its original for long.
    fn is_busy(&self, held: &mut Held) -> bool {
        let prepared = prepare(&self.subscriber, held);
        let is_busy = matches!(prepared, ControlFlow::Break(Attempted::Busy));
        self.leave_inbox(held);
        is_busy
    }

    /// True if the event is settled by its attempt.
    pub(super) fn conclude(&mut self, mut held: Held, pass: Pass, attempted: Attempted) -> bool {
        match attempted {
            Attempted::Succeeded(staged) => {
                self.end_care(&mut held);
                self.leave_gate(pass, Ended::of(&staged));
                self.succeed(&mut held, staged)
            }
            Attempted::Failed(error) => {
                self.end_care(&mut held);
                self.fail(held, pass, error)
            }
            Attempted::Hopeless(verdict) => {
                self.end_care(&mut held);
                self.bury(held, verdict)
            }
            Attempted::Busy => {
                self.leave_care(&mut held);
                held.was_busy = true;
                self.look_later(held);
                false
            }
            Attempted::Started(start) => {
                held.pass = Some(Box::new(pass));
                held.start = Some(Box::new(start));
                self.note_deadline(&held);
                if !self.subscriber.is_planted(Mistake::StartFreesKey) {
                    self.parked.occupy(held.key());
                }
                self.running.insert(held.position(), held);
                false
            }
        }
    }

    /// It must not be handled beside something that is being handled. That was no attempt.
    fn look_later(&mut self, held: Held) {
        self.parked.park(held, self.now().saturating_add(OTHERS_PAUSE));
    }
}
