//! Watches the calls of handlers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{CallOutcome, HandlerCall};
use crate::{
    delivery::{Context, DeadLetterReason, HandlerError, Probe},
    journal::Entry,
    message::Position,
    runtime::simulator::Simulator,
};

/// Sees and remembers every call of a handler.
#[derive(Debug)]
pub(in crate::testing) struct Observer {
    sim: Simulator,
    seen: Mutex<Seen>,
    /// Where one handler is tested alone.
    trial: Option<Trial>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<HandlerCall>,
    /// The last call of each event that is not known to be done with, and whether it is a handler's.
    last: BTreeMap<(Arc<str>, Position), Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    call: usize,
    is_pulled: bool,
}

/// One handler is to be called once for each event, at a certain attempt.
#[derive(Debug, Default)]
pub(in crate::testing) struct Trial {
    attempt: Mutex<u32>,
    error: Mutex<Option<HandlerError>>,
}

impl Observer {
    pub(super) fn new(sim: &Simulator) -> Self {
        Self { sim: sim.clone(), seen: Mutex::default(), trial: None }
    }

    /// For one handler, which is called once for each event.
    pub(in crate::testing) fn of_trial(sim: &Simulator) -> Self {
        Self { trial: Some(Trial::default()), ..Self::new(sim) }
    }

    /// At which attempt handlers are called from now on.
    pub(in crate::testing) fn set_attempt(&self, attempt: u32) {
        if let Some(trial) = &self.trial {
            *trial.attempt.lock() = attempt;
        }
    }

    /// The error with which the last handler has ended.
    pub(in crate::testing) fn take_error(&self) -> Option<HandlerError> {
        self.trial.as_ref().and_then(|trial| trial.error.lock().take())
    }

    pub(in crate::testing) fn calls_of(&self, subscription: &str) -> Vec<HandlerCall> {
        let seen = self.seen.lock();
        seen.calls.iter().filter(|call| *call.subscription == *subscription).cloned().collect()
    }

    /// The last few calls, whoever's they are.
    pub(super) fn last_calls(&self, most: usize) -> Vec<HandlerCall> {
        let seen = self.seen.lock();
        seen.calls[seen.calls.len().saturating_sub(most)..].to_vec()
    }

    /// The calls of handlers that have not ended. What is in the hands of whoever pulls is no call.
    pub(super) fn running(&self) -> Vec<HandlerCall> {
        let seen = self.seen.lock();
        let last = seen.last.values().filter(|last| !last.is_pulled);
        let calls = last.filter_map(|last| seen.calls.get(last.call));
        calls.filter(|call| call.outcome == CallOutcome::Running).cloned().collect()
    }

    #[cfg(feature = "tokio")]
    pub(super) fn is_busy(&self) -> bool {
        !self.running().is_empty()
    }

    /// Nobody will hear of the calls that are running.
    pub(super) fn end_process(&self) {
        let mut seen = self.seen.lock();
        let now = self.sim.elapsed();
        for last in std::mem::take(&mut seen.last).into_values() {
            seen.conclude(last.call, now, |before| match before {
                CallOutcome::Running => CallOutcome::Abandoned,
                other => other,
            });
        }
    }

    fn conclude(
        &self,
        subscription: &str,
        entry: &Entry,
        outcome: impl FnOnce(CallOutcome) -> CallOutcome,
    ) {
        let now = self.sim.elapsed();
        let mut seen = self.seen.lock();
        let last = seen.last.get(&(subscription.into(), entry.position)).copied();
        if let Some(last) = last {
            seen.conclude(last.call, now, outcome);
        }
    }
}

impl Seen {
    fn conclude(
        &mut self,
        call: usize,
        now: Duration,
        outcome: impl FnOnce(CallOutcome) -> CallOutcome,
    ) {
        let Some(call) = self.calls.get_mut(call) else { return };
        call.outcome = outcome(std::mem::replace(&mut call.outcome, CallOutcome::Running));
        if call.outcome != CallOutcome::Running {
            call.ended.get_or_insert(now);
        }
    }
}

impl Probe for Observer {
    fn begins(&self, context: &Context) -> Result<(), HandlerError> {
        let attempt = context.attempt();
        if let Some(trial) = &self.trial
            && attempt < *trial.attempt.lock()
        {
            return Err(HandlerError::retry_after(
                "an attempt before the one tested",
                Duration::ZERO,
            ));
        }
        let subscription: Arc<str> = context.subscription().into();
        let call = HandlerCall {
            subscription: Arc::clone(&subscription),
            event: context.event_name().into(),
            position: context.position(),
            key: context.key().cloned(),
            attempt,
            began: self.sim.elapsed(),
            ended: None,
            outcome: CallOutcome::Running,
        };
        let mut seen = self.seen.lock();
        let last = Last { call: seen.calls.len(), is_pulled: context.is_pulled() };
        seen.calls.push(call);
        seen.last.insert((subscription, context.position()), last);
        Ok(())
    }

    fn ends(
        &self,
        subscription: &str,
        entry: &Entry,
        result: Result<(), &HandlerError>,
    ) -> Option<HandlerError> {
        let mut was_running = false;
        self.conclude(subscription, entry, |before| {
            was_running = before == CallOutcome::Running;
            match (was_running, result) {
                (false, _) => before,
                (true, Ok(())) => CallOutcome::Succeeded,
                (true, Err(error)) => CallOutcome::Failed { error: error.describe() },
            }
        });
        let (trial, error) = (self.trial.as_ref()?, result.err()?);
        // An attempt that was not to be made has failed, and comes again.
        was_running.then(|| trial.conclude(error))
    }

    fn retries(&self, subscription: &str, entry: &Entry, delay: Duration) {
        self.conclude(subscription, entry, |before| match before {
            CallOutcome::Failed { error } => CallOutcome::Retried { error, after: delay },
            CallOutcome::Running => {
                CallOutcome::Retried { error: "it was taken back".into(), after: delay }
            }
            other => other,
        });
    }

    fn skips(&self, subscription: &str, entry: &Entry) {
        self.conclude(subscription, entry, |before| match before {
            CallOutcome::Succeeded => CallOutcome::Filtered,
            other => other,
        });
    }

    fn buried(&self, subscription: &str, entry: &Entry, reason: DeadLetterReason, error: &str) {
        self.conclude(subscription, entry, |before| match before {
            CallOutcome::Failed { error } => CallOutcome::Dead { error, reason },
            CallOutcome::Running => CallOutcome::Dead { error: error.to_owned(), reason },
            other => other,
        });
    }
}

impl Trial {
    /// Remembers the error, and has the event not come again.
    fn conclude(&self, error: &HandlerError) -> HandlerError {
        let text = error.describe();
        *self.error.lock() = Some(match error.delay() {
            _ if error.is_rejection() => HandlerError::reject(text.clone()),
            Some(delay) => HandlerError::retry_after(text.clone(), delay),
            None => HandlerError::retry(text.clone()),
        });
        HandlerError::reject(text)
    }
}
