//! How a lane deals with the gate of its subscription.

use std::{collections::BTreeSet, time::Duration};

use super::{Held, Lane, Phase};
use crate::{
    delivery::{
        HandlerError,
        gate::{Ended, Pass, Refusal, Rest},
    },
    journal::Mistake,
    message::Position,
    policy::jitter,
    runtime::Tick,
};

/// How long a retry is put off that nothing pays for: from once to twice that, so that not all of
/// them ask again at one moment.
const PUT_OFF: Duration = Duration::from_secs(1);

/// What a lane remembers of the gate.
#[derive(Default)]
pub(super) struct AtGate {
    /// It is woken when there is room for another handler.
    waits_for_room: bool,
    /// When what is being handled elsewhere is too late.
    deadlines: BTreeSet<(Tick, Position)>,
}

impl Lane {
    pub(super) fn is_shut_out(&self) -> bool {
        self.subscriber
            .gate
            .as_ref()
            .is_some_and(|gate| gate.rest(self.number, self.now()).is_some())
    }

    /// Whether the lane is to rest before the gate. It will be woken when it may go on.
    pub(super) fn waits_at_gate(&mut self) -> bool {
        let gate = self.subscriber.gate.as_ref();
        let Some(rest) = gate.and_then(|gate| gate.rest(self.number, self.now())) else {
            return false;
        };
        match rest {
            Rest::Until(at) => self.wake_at(at),
            Rest::Full => {
                let (gate, task) = (&self.subscriber.gate, self.handle.task());
                let waits = gate.as_ref().zip(task);
                self.at_gate.waits_for_room =
                    waits.is_some_and(|(gate, task)| gate.wait_for_room(self.number, &task));
                return self.at_gate.waits_for_room;
            }
        }
        true
    }

    /// The turn has ended. A place that others wait for is not kept.
    pub(super) fn step_aside(&mut self) {
        if let Some(gate) = &self.subscriber.gate
            && !std::mem::take(&mut self.at_gate.waits_for_room)
        {
            gate.forget(self.number);
        }
    }

    /// The phase of a lane that rests because what its handlers call is broken: if it has anything
    /// left to do, nobody knows when it will.
    pub(super) fn broken_phase(&self) -> Option<Phase> {
        let gate = self.subscriber.gate.as_ref()?;
        let ring = self.subscriber.journal.ring();
        let more = || self.seat.as_ref().is_some_and(|seat| seat.has_next(ring));
        let left = !self.parked.is_empty() || !self.backlog.is_empty() || more();
        (gate.is_broken() && left).then_some(Phase::Blocked)
    }

    /// The event, if it may go on to its handler. Otherwise it is parked.
    pub(super) fn admit(&mut self, held: Held) -> Option<(Held, Pass)> {
        let Some(gate) = &self.subscriber.gate else { return Some((held, Pass::default())) };
        let now = self.now();
        match gate.admit(&held, self.number, now) {
            Ok(pass) => return Some((held, pass)),
            Err(refusal) => self.turn_away(held, refusal, now),
        }
        None
    }

    /// The event, if it may join a batch. Otherwise it is parked.
    pub(super) fn admit_to_batch(&mut self, held: Held) -> Option<Held> {
        let Some(gate) = &self.subscriber.gate else { return Some(held) };
        let now = self.now();
        match gate.admit_to_batch(&held, now) {
            Ok(()) => return Some(held),
            Err(refusal) => self.turn_away(held, refusal, now),
        }
        None
    }

    fn turn_away(&mut self, mut held: Held, refusal: Refusal, now: Tick) {
        self.leave_inbox(&mut held);
        self.leave_care(&mut held);
        let due = match refusal {
            Refusal::Shut => now,
            Refusal::Until(at) => at,
            Refusal::Unpaid => now.saturating_add(PUT_OFF + jitter(PUT_OFF, self.random())),
        };
        self.parked.park(held, due);
    }

    /// A handler is called now. True where that is timed.
    pub(super) fn clock_in(&self, position: Option<Position>) -> bool {
        let Some(gate) = &self.subscriber.gate else { return false };
        gate.clock_in(&self.handle.timesheet, position, self.subscriber.runtime(), self.now())
    }

    /// It has returned.
    pub(super) fn clock_out(&self, clocked_in: bool) {
        if clocked_in {
            self.handle.timesheet.end();
        }
    }

    /// An attempt was started that goes on elsewhere.
    pub(super) fn note_deadline(&mut self, held: &Held) {
        if let Some(at) = held.deadline().and_then(|deadline| deadline.at) {
            self.at_gate.deadlines.insert((at, held.position()));
        }
    }

    /// An event was pulled: its time runs from then on.
    pub(super) fn pulled(&mut self, position: Position, serial: u64, at: Tick) {
        if let Some(held) = self.running.get_mut(&position)
            && let Some(start) = held.start.as_mut().filter(|start| start.serial == serial)
            && let Some(deadline) = &mut start.deadline
        {
            deadline.begin(at);
            self.at_gate.deadlines.extend(deadline.at.map(|at| (at, position)));
        }
    }

    /// The same for all that others had started.
    pub(super) fn note_deadlines(&mut self) {
        let running = self.running.values();
        let deadlines = running.filter_map(|held| Some((held.deadline()?.at?, held.position())));
        self.at_gate.deadlines = deadlines.collect();
    }

    pub(super) fn wake_at_deadline(&mut self) {
        if let Some((at, _)) = self.at_gate.deadlines.first() {
            self.wake_at(*at);
        }
    }

    /// An attempt has ended elsewhere. `None` if that was given up, and the event taken back.
    pub(super) fn end_started(&mut self, position: Position, serial: u64) -> Option<Held> {
        let is_this = |held: &Held| held.start.as_ref().is_some_and(|start| start.serial == serial);
        let accepts_any = self.subscriber.is_planted(Mistake::LateAcknowledgement);
        let is_this = |held: &Held| accepts_any || is_this(held);
        if !self.running.get(&position).is_some_and(is_this) {
            return None;
        }
        let mut held = self.running.remove(&position)?;
        self.end_care(&mut held);
        if let Some(deadline) = held.start.take().and_then(|start| start.deadline) {
            if let Some(at) = deadline.at {
                self.at_gate.deadlines.remove(&(at, position));
            }
            self.handle.timesheet.note_ended(position);
        }
        Some(held)
    }

    /// Ends what was started and is too late: an async handler is asked to stop, and will say when it
    /// has; what was pulled is taken back.
    pub(super) fn take_back_late(&mut self) {
        while let Some((at, position)) = self.at_gate.deadlines.first().copied()
            && at <= self.now()
        {
            self.at_gate.deadlines.pop_first();
            let Some(start) = self.running.get(&position).and_then(|held| held.start.as_ref())
            else {
                continue;
            };
            let (serial, Some(deadline)) = (start.serial, &start.deadline) else { continue };
            if deadline.cancel.cancel() {
                self.handle.timesheet.note_cancelled(position, deadline.began);
            } else {
                let error = deadline.cancel.error();
                self.finished(position, serial, Err(error));
            }
        }
    }

    /// Tells the gate how an attempt ended.
    pub(super) fn leave_gate(&self, pass: Pass, ended: Ended) {
        if let Some(gate) = &self.subscriber.gate
            && gate.ended(pass, ended, self.now())
        {
            self.subscriber.wake();
        }
    }

    /// The same for a batch.
    pub(super) fn leave_gate_with_batch(&self, pass: Pass, failed: bool) {
        if let Some(gate) = &self.subscriber.gate
            && gate.ended_batch(pass, failed, self.now())
        {
            self.subscriber.wake();
        }
    }

    /// The same for events that were handled in place; one more may have failed.
    pub(super) fn leave_gate_in_place(
        &self,
        handled: u64,
        error: Option<&HandlerError>,
        began: Tick,
    ) {
        let Some(gate) = &self.subscriber.gate else { return };
        let failed = error.is_some_and(|error| !error.is_rejection());
        if gate.handled_in_place(handled, failed, began, self.now()) {
            self.subscriber.wake();
        }
    }

    /// A handler's error, with what is to happen with the event.
    pub(super) fn judge(&self, error: HandlerError) -> HandlerError {
        match &self.subscriber.gate {
            Some(gate) => gate.judge(error),
            None => error,
        }
    }

    /// An attempt has failed. True if the event is settled by that.
    pub(super) fn fail(&mut self, held: Held, pass: Pass, error: HandlerError) -> bool {
        let error = &self.judge(error);
        if error.is_rejection() {
            self.leave_gate(pass, Ended::WithoutCall);
            return self.fail_attempt(held, error);
        }
        let is_probe = pass.is_probe() && !self.subscriber.is_planted(Mistake::ProbeCounts);
        self.leave_gate(pass, Ended::Badly);
        if is_probe { self.fail_probe(held, error) } else { self.fail_attempt(held, error) }
    }

    /// The event stays as it was, but for being the last one to be probed again.
    fn fail_probe(&mut self, mut held: Held, error: &HandlerError) -> bool {
        self.leave_inbox(&mut held);
        if self.is_discarded(&held) {
            return true;
        }
        tracing::debug!(subscription = &*self.subscriber.name, position = %held.position(),
            event = &*held.entry.envelope.name, error = error.describe(),
            "a probe of the circuit breaker failed");
        self.subscriber.probed.retries(&self.subscriber, &held.entry, Duration::ZERO);
        self.subscriber.counters.retried.add(1);
        held.failed_probe = true;
        self.parked.park(held, self.now());
        false
    }
}
