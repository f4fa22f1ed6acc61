//! The handle of a running subscription.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Bus, Inner};
use crate::{
    delivery::{Ledger, Loss, Status, Subscriber},
    policy::Forecast,
    runtime::{Runtime, Tick},
    storage::StorageError,
};

/// The handle of a running subscription. Dropping it changes nothing; it keeps no bus alive.
#[derive(Clone)]
pub struct Subscription {
    bus: Weak<Inner>,
    subscriber: Arc<Subscriber>,
}

impl Subscription {
    pub(super) fn new(bus: Weak<Inner>, subscriber: Arc<Subscriber>) -> Self {
        Self { bus, subscriber }
    }

    /// The one that runs now: another takes over when the subscription is rewound.
    pub(crate) fn subscriber(&self) -> &Arc<Subscriber> {
        let mut subscriber = &self.subscriber;
        while let Some(next) = subscriber.successor.get() {
            subscriber = next;
        }
        subscriber
    }

    pub(super) fn bus(&self) -> &Weak<Inner> {
        &self.bus
    }

    /// The subscription's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.subscriber.name
    }

    /// Has the subscription rest once its handlers are done with what they are at. Nothing is lost:
    /// a durable bus keeps the events; a volatile bus holds them in its ring, so that publishers
    /// wait when it is full.
    pub fn pause(&self) {
        self.subscriber().pause();
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.subscriber().resume();
    }

    /// How far the subscription is behind: positions from its first unsettled event to the end of
    /// the journal, events of others included. 0 when it is up to date.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.subscriber().lag()
    }

    /// How far the subscription is behind, and what comes of it if all goes on as it did since the last
    /// look: this was called at least a second ago, or an objective was looked at. The first look
    /// knows of no pace yet. Where the log's retention is by age, this reads one event.
    #[must_use]
    pub fn forecast(&self) -> Forecast {
        self.subscriber().forecast()
    }

    /// How the subscription is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.subscriber().status()
    }

    /// Where the events are that it is to get: each in exactly one place, as of the last turn of each
    /// lane. Counting what is still to be taken reads on in the log, so that this takes longer the
    /// further the subscription is behind; where the log cannot be read, less is counted.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.subscriber().ledger(Tick::MAX)
    }

    /// What it never got, because the log no longer had it: dropped unread, or lost in a salvage.
    ///
    /// # Errors
    /// Failing reads.
    pub fn losses(&self) -> Result<Vec<Loss>, StorageError> {
        self.subscriber().losses()
    }

    /// Has the handlers finish what they are at, and stops. The name may be used again; a stored
    /// subscription resumes then. False where a handler still runs after `timeout`: it is
    /// abandoned, and its event comes again.
    #[allow(clippy::must_use_candidate)] // it is stopped either way
    pub fn stop(&self, timeout: Duration) -> bool {
        let Some(bus) = self.bus.upgrade() else {
            return true;
        };
        let subscriber = self.subscriber();
        let finished = subscriber.halt(timeout);
        Self::forget(&bus, subscriber);
        finished
    }

    /// It runs no more under its name.
    fn forget(bus: &Inner, subscriber: &Arc<Subscriber>) {
        let running = &mut bus.subscriptions.lock().running;
        let is_this = |other: &Arc<Subscriber>| Arc::ptr_eq(other, subscriber);
        if running.get(&subscriber.name).is_some_and(is_this) {
            running.remove(&subscriber.name);
        }
    }

    /// Has the handlers finish what they are at, without waiting for it.
    pub(crate) fn begin_stop(&self) {
        self.subscriber().begin_stop();
    }

    /// Ends it after [`begin_stop`](Self::begin_stop), if its handlers have finished, or if they are not waited
    /// for any longer. True once it has ended.
    pub(crate) fn end_stop(&self, waits: bool) -> bool {
        let Some(bus) = self.bus.upgrade() else { return true };
        let subscriber = self.subscriber();
        let finished = subscriber.wait_stopped(bus.journal.runtime().now());
        if finished {
            subscriber.end_cleanly();
        }
        if finished || !waits {
            subscriber.leave();
            Self::forget(&bus, subscriber);
        }
        finished || !waits
    }

    /// Has an adaptive subscription change to so many lanes, within its bounds, whatever its load:
    /// soon, and for a while. For tests of your own (feature `testing`), where the load of real life
    /// is missing. No effect on a subscription with a fixed number.
    #[cfg(any(test, feature = "testing"))]
    pub fn ask_for_lanes(&self, lanes: u32) {
        self.subscriber().ask_for_lanes(lanes);
    }

    /// What it has stored for a key under that name, as of the last commit.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn state(
        &self,
        key: Option<&crate::event::Key>,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        self.subscriber().state(key, name)
    }

    /// Stores that, as a handler would have.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn put_state(
        &self,
        key: Option<&crate::event::Key>,
        name: &str,
        value: Vec<u8>,
    ) -> Result<(), StorageError> {
        self.subscriber().put_state(key, name, value)
    }

    /// The bus that it is of, while there is one.
    pub(crate) fn live_bus(&self) -> Option<Bus> {
        self.bus.upgrade().map(|inner| Bus { inner })
    }

    pub(super) fn runtime(&self) -> &Runtime {
        self.subscriber().runtime()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("name", &self.name())
            .field("status", &self.status())
            .finish()
    }
}
