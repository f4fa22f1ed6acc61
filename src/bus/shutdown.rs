//! Shutting down: no more in, finish what can be finished, say what is left.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::Inner;
use crate::{
    delivery::{Ledger, Subscriber},
    event::is_valid_name,
    runtime::{Tick, in_task},
    storage::StorageError,
};

/// For handlers that finish just at the deadline: long enough to commit what they did.
const GRACE: Duration = Duration::from_millis(100);

/// The most time that counting what is left may take.
const COUNTING: Duration = Duration::from_secs(1);

/// What a shutdown did and left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Events handled while shutting down, after the call and before its return.
    pub delivered: u64,
    /// Events that some subscription is still owed. A durable bus delivers them when it is opened
    /// next; a volatile bus has lost them. Counting reads on in the log for at most a second; if that
    /// does not reach the end, it is at least so many.
    pub left: u64,
    /// Handlers that still ran at the deadline. Their events are among those left.
    pub abandoned: u64,
    /// The same for each subscription, by name.
    pub subscriptions: Vec<SubscriptionReport>,
}

/// What a shutdown did and left of one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionReport {
    /// The subscription.
    pub name: String,
    /// Events handled while shutting down.
    pub delivered: u64,
    /// Events that it is still owed.
    pub left: u64,
    /// Handlers that still ran at the deadline.
    pub abandoned: u64,
    /// Where all its events are.
    pub ledger: Ledger,
}

/// Why a shutdown failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// It was called from inside a handler, which it would have to wait for. Call it elsewhere.
    #[error("a handler cannot shut down the bus that it runs on; do it on another thread")]
    InsideHandler,
    /// Storage failed while it was closed. Everything acknowledged before is kept.
    #[error("the log did not close cleanly: {0}")]
    Storage(#[from] StorageError),
}

pub(super) fn shutdown(bus: &Arc<Inner>, timeout: Duration) -> Result<Report, ShutdownError> {
    if in_task() {
        return Err(ShutdownError::InsideHandler);
    }
    // Held to the end, so that a second caller waits for the first one's report.
    let mut done = bus.report.lock();
    if let Some(report) = &*done {
        return Ok(report.clone());
    }
    let journal = &bus.journal;
    let deadline = journal.runtime().now().saturating_add(timeout);
    journal.close_intake();
    let (subscribers, starting) = {
        let mut subscriptions = bus.subscriptions.lock();
        subscriptions.closed = true;
        let starting = std::mem::take(&mut subscriptions.starting);
        (std::mem::take(&mut subscriptions.running), starting)
    };
    for task in starting.into_values().flatten() {
        task.stop(); // it goes on where it was, next time
    }
    // Nobody is left to pull, so there is nothing to wait for but what was pulled before.
    for subscriber in subscribers.values().filter(|subscriber| subscriber.is_pulled()) {
        subscriber.begin_stop();
    }
    let handled_before: Vec<_> = subscribers.values().map(|one| one.handled()).collect();
    if !journal.wait_quiet(Some(deadline), true) {
        tracing::warn!("the deadline of the shutdown has passed with events left");
    }
    stop(&subscribers, deadline.max(journal.runtime().now().saturating_add(GRACE)));
    let until = journal.runtime().now().saturating_add(COUNTING);
    let reports = subscribers.values().zip(handled_before);
    let reports = reports.filter(|(subscriber, _)| is_valid_name(&subscriber.name));
    let report = total(reports.map(|(one, before)| report(one, before, until)).collect());
    for subscriber in subscribers.values() {
        subscriber.leave();
    }
    let closed = journal.close();
    *done = Some(report.clone());
    tracing::info!(report.delivered, report.left, report.abandoned, "the bus is shut down");
    closed?;
    Ok(report)
}

fn stop(subscribers: &BTreeMap<Arc<str>, Arc<Subscriber>>, deadline: Tick) {
    for subscriber in subscribers.values() {
        subscriber.begin_stop();
    }
    for subscriber in subscribers.values() {
        if subscriber.wait_stopped(deadline) {
            subscriber.end_cleanly();
        } else {
            tracing::warn!(subscription = &*subscriber.name, "a handler still runs; abandoned");
        }
    }
}

fn report(subscriber: &Subscriber, handled_before: u64, until: Tick) -> SubscriptionReport {
    let ledger = subscriber.ledger(until);
    if !ledger.is_balanced() {
        tracing::error!(subscription = &*subscriber.name, %ledger,
            "events are unaccounted for; please report this as a bug");
    }
    SubscriptionReport {
        name: subscriber.name.to_string(),
        delivered: subscriber.handled() - handled_before,
        left: ledger.held + ledger.in_flight + ledger.waiting,
        abandoned: subscriber.running(),
        ledger,
    }
}

fn total(subscriptions: Vec<SubscriptionReport>) -> Report {
    Report {
        delivered: subscriptions.iter().map(|one| one.delivered).sum(),
        left: subscriptions.iter().map(|one| one.left).sum(),
        abandoned: subscriptions.iter().map(|one| one.abandoned).sum(),
        subscriptions,
    }
}
