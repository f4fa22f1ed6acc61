//! What becomes of an event after an attempt: done, parked, or dead.

use std::{sync::Arc, time::Duration};

use super::{Held, Lane, PAUSE};
use crate::{
    delivery::{
        DeadLetter, DeadLetterReason, HandlerError,
        context::Staged,
        dead_letter::Verdict,
        gate::Ended,
        ledger::{Settled, Skip},
    },
    journal::Mistake,
    message::Position,
    policy::Attempt,
    storage::Write,
};

/// Ten years: longer waits are as good as this one, and clocks have an end.
pub(super) const LONGEST_DELAY: Duration = Duration::from_hours(24 * 3650);

impl Lane {
    /// A started delivery has ended.
    pub(super) fn finished(
        &mut self,
        position: Position,
        serial: u64,
        result: Result<Staged, HandlerError>,
    ) {
        let Some(mut held) = self.end_started(position, serial) else { return };
        let pass = held.take_pass();
        self.batch.attempts += 1;
        let key = held.key().cloned();
        let settled = match result {
            Ok(staged) => {
                self.leave_gate(pass, Ended::of(&staged));
                self.succeed(&mut held, staged)
            }
            Err(error) => self.fail(held, pass, error),
        };
        if settled {
            self.go_on_with(key.as_ref());
        }
    }

    /// A started delivery was never looked at. It comes again, and this was no attempt.
    pub(super) fn given_back(&mut self, position: Position, serial: u64) {
        if let Some(mut held) = self.end_started(position, serial) {
            let pass = held.take_pass();
            self.leave_gate(pass, Ended::WithoutCall);
            self.leave_inbox(&mut held);
            self.parked.park(held, self.now().saturating_add(PAUSE));
        }
    }

    pub(super) fn succeed(&mut self, held: &mut Held, staged: Staged) -> bool {
        let skipped = staged.skipped;
        self.batch.merge(staged);
        if skipped.is_some() {
            self.subscriber.probed.skips(&self.subscriber, &held.entry);
            self.leave_inbox(held);
        } else if let Some(entered) = held.entered.take()
            && let Some(inbox) = self.subscriber.inbox(&held.entry)
        {
            inbox.finish(entered, &mut self.batch.writes);
        }
        let counts = self.subscriber.is_planted(Mistake::FilteredAsHandled);
        let passed_over = skipped.filter(|skip| !(counts && *skip == Skip::Filtered));
        self.settle(held, passed_over.map_or(Settled::Acknowledged, Settled::Skipped));
        if skipped.is_none() {
            self.subscriber.counters.handled.add(1);
        }
        true
    }

    /// It was let in to be handled, and was not.
    pub(super) fn leave_inbox(&self, held: &mut Held) {
        if let Some(entered) = held.entered.take()
            && let Some(inbox) = self.subscriber.inbox(&held.entry)
        {
            inbox.give_up(entered);
        }
    }

    /// The same after a failed attempt.
    fn leave_inbox_failed(&mut self, held: &mut Held) {
        let subscriber = Arc::clone(&self.subscriber);
        if subscriber.is_planted(Mistake::MarkFailed)
            && let Some(entered) = held.entered.take()
            && let Some(inbox) = subscriber.inbox(&held.entry)
        {
            inbox.finish(entered, &mut self.batch.writes);
        }
        self.leave_inbox(held);
    }

    /// An event of an earlier turn is settled, and that is not committed yet.
    fn note_uncommitted(&mut self, position: Position) {
        if position < self.committed {
            self.uncommitted.push(position);
        }
    }

    /// The event is done with, and is no dead letter.
    fn settle(&mut self, held: &Held, settled: Settled) {
        self.note_uncommitted(held.position());
        if let Some(Write { key, value }) = self.subscriber.effects.forget(held.position()) {
            self.batch.writes.insert(key, value);
        }
        if !self.revived.remove(&held.position()) {
            return self.batch.settle(settled);
        }
        self.batch.changed = true;
        if self.subscriber.dead.remove(held.position(), &mut self.batch.writes) {
            self.batch.settle_revived(settled);
            self.subscriber.alarm.look(|| self.subscriber.dead.count());
            // Lanes may rest for lack of room among the dead letters.
            self.subscriber.wake();
        }
        self.follow(held.key());
    }

    /// An event whose time is over is passed over. A dead letter has no time.
    pub(super) fn has_expired(&mut self, held: &Held) -> bool {
        let expired = |at| at <= self.subscriber.clock().wall();
        if held.is_revived() || !held.entry.envelope.expires_at().is_some_and(expired) {
            return false;
        }
        if self.subscriber.is_planted(Mistake::IgnoreExpiry) {
            return false;
        }
        let counts = self.subscriber.is_planted(Mistake::ExpiredAsHandled);
        let expired = Settled::Skipped(Skip::Expired);
        self.settle(held, if counts { Settled::Acknowledged } else { expired });
        true
    }

    pub(super) fn fail_attempt(&mut self, mut held: Held, error: &HandlerError) -> bool {
        self.leave_inbox_failed(&mut held);
        if self.is_discarded(&held) {
            return true;
        }
        self.batch.changed = true;
        if !self.subscriber.is_planted(Mistake::ForgetAttempt) {
            held.attempts += 1;
        }
        if self.subscriber.is_planted(Mistake::ForgetEffects) {
            drop(self.subscriber.effects.forget(held.position()));
        }
        let now = self.subscriber.runtime().wall();
        held.failures.note(now, held.all_attempts(), error);
        let first_failed = *held.first_failed.get_or_insert(now);
        if let Some(verdict) = Verdict::of_rejection(error) {
            return self.bury(held, verdict);
        }
        let (failed, previous) = (held.attempts, held.previous);
        let attempt = Attempt { failed, elapsed: now.since(first_failed), previous };
        let Some(delay) = self.subscriber.policy.retry.next_delay(attempt, self.random()) else {
            return self.bury(held, Verdict::new(DeadLetterReason::Exhausted, error));
        };
        let delay = error.delay().unwrap_or(delay).min(LONGEST_DELAY);
        tracing::debug!(subscription = &*self.subscriber.name, position = %held.position(),
            event = &*held.entry.envelope.name, attempt = held.attempts, ?delay,
            error = error.describe(), "a handler failed; it will be tried again");
        self.subscriber.counters.retried.add(1);
        self.subscriber.probed.retries(&self.subscriber, &held.entry, delay);
        held.previous = delay;
        self.parked.park(held, self.now().saturating_add(delay));
        self.subscriber.is_planted(Mistake::FailureFreesKey)
    }

    /// Makes the event a dead letter. Where there is no room for one, or its payload cannot be
    /// read, the event stays parked and so does its key: never dropped, never acknowledged.
    pub(super) fn bury(&mut self, mut held: Held, verdict: Verdict) -> bool {
        if self.becomes_letter(&held, &verdict) {
            return true;
        }
        // It is behind others only as long as they are there.
        held.verdict = (verdict.reason != DeadLetterReason::Behind).then(|| Box::new(verdict));
        self.parked.make_way(held, self.now().saturating_add(PAUSE))
    }

    /// False where it cannot be one now.
    pub(super) fn becomes_letter(&mut self, held: &Held, verdict: &Verdict) -> bool {
        if !self.add_dead_letter(held, verdict) {
            return false;
        }
        self.tell_of_letter(held, verdict);
        self.batch.changed = true;
        self.note_uncommitted(held.position());
        if !self.revived.remove(&held.position()) {
            self.batch.settle(Settled::Dead);
        }
        self.subscriber.counters.dead_lettered.add(1);
        self.subscriber.arm_sweep();
        self.subscriber.alarm.look(|| self.subscriber.dead.count());
        true
    }

    fn tell_of_letter(&self, held: &Held, verdict: &Verdict) {
        self.subscriber.probed.buried(&self.subscriber, &held.entry, verdict);
        let (subscription, position) = (&*self.subscriber.name, held.position());
        let event = &*held.entry.envelope.name;
        if verdict.reason == DeadLetterReason::Behind {
            tracing::debug!(subscription, %position, event, "an event waits behind a dead letter");
            return;
        }
        tracing::warn!(subscription, %position, event, reason = %verdict.reason,
            error = verdict.error, attempts = held.all_attempts(),
            "an event became a dead letter");
    }

    fn add_dead_letter(&mut self, held: &Held, verdict: &Verdict) -> bool {
        let subscriber = Arc::clone(&self.subscriber);
        if !held.is_revived() && subscriber.is_full_of_dead_letters() {
            return false;
        }
        let payload = match subscriber.journal.payload(&held.entry) {
            // The log waits for stored subscriptions alone. The others keep the event itself.
            Err(_) if !subscriber.is_stored => Ok(Vec::new()),
            payload => payload,
        };
        let added = match payload {
            Ok(payload) => {
                self.batch.grow(payload.len() + verdict.error.len());
                let letter = DeadLetter::new(held, verdict, payload, subscriber.runtime().wall());
                let added = subscriber.dead.add(letter, held, &mut self.batch.writes);
                added.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = &added {
            tracing::error!(subscription = &*subscriber.name, position = %held.position(), error,
                "an event could not become a dead letter; it stays parked");
        }
        added.is_ok()
    }

    /// A dead letter to be tried again that is none any more: it was given up meanwhile.
    pub(super) fn is_discarded(&mut self, held: &Held) -> bool {
        if !held.is_revived() || self.subscriber.dead.contains(held.position()) {
            return false;
        }
        self.revived.remove(&held.position());
        true
    }
}
