//! Seeing every call of a handler: each is a moment at which something may go wrong.

use std::time::Duration;

use super::{
    fault::{Kind, Place},
    faults::fraction,
    world::{Called, World},
};
use crate::{
    delivery::{Context, DeadLetterReason, HandlerError, Probe},
    journal::Entry,
    message::Position,
    runtime::ProcessEnded,
};

/// The longest time that passes while a handler works.
const SLOWEST: Duration = Duration::from_mins(1);

impl Probe for World {
    fn begins(&self, context: &Context) -> Result<(), HandlerError> {
        let (subscription, position) = (context.subscription(), context.position());
        self.check()?;
        self.fate.lock().begins(subscription, position);
        self.crash_point(|| format!("before `{subscription}` handles #{position}"));
        self.check()?;
        self.disturb(subscription, position, context.attempt())?;
        self.story.tell(self.now(), || {
            let (event, attempt) = (context.event_name(), context.attempt());
            format!("`{subscription}` handles #{position} {event}, attempt {attempt}")
        });
        if !context.is_pulled() {
            self.under_way.lock().insert((subscription.into(), position));
        }
        Ok(())
    }

    fn ends(
        &self,
        subscription: &str,
        entry: &Entry,
        result: Result<(), &HandlerError>,
    ) -> Option<HandlerError> {
        self.check().ok()?;
        let position = entry.position;
        self.under_way.lock().remove(&(subscription.into(), position));
        if let Err(error) = result {
            self.story.tell(self.now(), || {
                format!("`{subscription}` fails with #{position}: {}", error.describe())
            });
            return None;
        }
        self.fate.lock().progress();
        self.note_call(subscription, entry);
        self.crash_point(|| format!("after `{subscription}` has handled #{position}"));
        self.check().ok()?;
        self.lose_ack(subscription, position)
    }

    fn retries(&self, subscription: &str, entry: &Entry, delay: Duration) {
        if self.is_over() {
            return;
        }
        let position = entry.position;
        self.story.tell(self.now(), || {
            format!("`{subscription}` will try #{position} again in {delay:.1?}")
        });
    }

    fn buried(&self, subscription: &str, entry: &Entry, reason: DeadLetterReason, error: &str) {
        if self.is_over() {
            return;
        }
        let position = entry.position;
        self.story.warn(self.now(), || {
            format!("#{position} becomes a dead letter of `{subscription}`: {reason}: {error}")
        });
    }
}

impl World {
    /// Where the process has ended, nothing more of it is to be seen.
    fn check(&self) -> Result<(), HandlerError> {
        if !self.is_over() {
            return Ok(());
        }
        ProcessEnded::unwind_handler();
        Err(HandlerError::retry("the process has ended"))
    }

    fn disturb(
        &self,
        subscription: &str,
        position: Position,
        attempt: u32,
    ) -> Result<(), HandlerError> {
        let mut fate = self.fate.lock();
        let may_fail = fate.may_fail(subscription, position);
        let fault = fate.strikes_if(Place::Call, |kind| kind != Kind::Failure || may_fail);
        if let Some(slow) = fault.filter(|fault| fault.kind == Kind::Slow) {
            let time = SLOWEST.mul_f64(fraction(fate.drawn(slow)));
            self.story
                .warn(self.now(), || format!("`{subscription}` takes {time:.1?} for #{position}"));
            self.simulator.pass(time);
        }
        let fails = fault.is_some_and(|fault| fault.kind == Kind::Failure);
        if fails {
            fate.note_failure(subscription, position);
        }
        if !fails && !fate.is_scripted(subscription, attempt) {
            return Ok(());
        }
        drop(fate);
        self.story.warn(self.now(), || {
            format!("`{subscription}` is made to fail with #{position}, attempt {attempt}")
        });
        Err(HandlerError::retry("made to fail by the simulation"))
    }

    fn lose_ack(&self, subscription: &str, position: Position) -> Option<HandlerError> {
        let mut fate = self.fate.lock();
        let may_fail = fate.may_fail(subscription, position);
        fate.strikes_if(Place::Success, |_| may_fail)?;
        fate.note_failure(subscription, position);
        drop(fate);
        self.story.warn(self.now(), || {
            format!("`{subscription}` has handled #{position}, but that is not heard of")
        });
        Some(HandlerError::retry("its acknowledgement was lost by the simulation"))
    }

    fn note_call(&self, subscription: &str, entry: &Entry) {
        let Some(calls) = &self.calls else { return };
        let fate = self.fate.lock();
        calls.lock().push(Called {
            subscription: subscription.into(),
            event: entry.envelope.name.to_string(),
            success: fate.count(Place::Success),
            crash_point: fate.count(Place::CrashPoint),
        });
    }
}
