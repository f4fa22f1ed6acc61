//! Names that are taken before a subscription runs under them.

use std::sync::{Arc, Weak};

use super::{Bus, Inner, SubscribeError, Subscription};
use crate::{delivery::Subscriber, runtime::Task};

/// A bus that is not kept alive.
#[derive(Clone)]
pub(crate) struct WeakBus(Weak<Inner>);

/// A name that is taken for a subscription about to run, until this is dropped.
pub(crate) struct Reservation {
    bus: Weak<Inner>,
    name: Arc<str>,
}

impl Reservation {
    /// Takes a name that nobody has.
    pub(super) fn of(bus: &Arc<Inner>, name: &Arc<str>) -> Result<Self, SubscribeError> {
        let mut subscriptions = bus.subscriptions.lock();
        if subscriptions.closed {
            return Err(SubscribeError::Closed);
        }
        if subscriptions.running.contains_key(name) || subscriptions.starting.contains_key(name) {
            return Err(SubscribeError::DuplicateName { name: name.to_string() });
        }
        subscriptions.starting.insert(Arc::clone(name), None);
        Ok(Self { bus: Arc::downgrade(bus), name: Arc::clone(name) })
    }

    /// Takes the name of a subscription that runs, which then runs no more under it. `None` where it does
    /// not.
    pub(super) fn instead_of(bus: &Arc<Inner>, old: &Arc<Subscriber>) -> Option<Self> {
        let is_this = |other: &Arc<Subscriber>| Arc::ptr_eq(other, old);
        let mut subscriptions = bus.subscriptions.lock();
        if subscriptions.closed || !subscriptions.running.get(&old.name).is_some_and(is_this) {
            return None;
        }
        subscriptions.running.remove(&old.name);
        subscriptions.starting.insert(Arc::clone(&old.name), None);
        Some(Self { bus: Arc::downgrade(bus), name: Arc::clone(&old.name) })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(bus) = self.bus.upgrade() else { return };
        let kept = bus.subscriptions.lock().starting.remove(&self.name);
        bus.journal.quiet().notify();
        drop(kept); // with no lock held
    }
}

impl Bus {
    pub(crate) fn downgrade(&self) -> WeakBus {
        WeakBus(Arc::downgrade(&self.inner))
    }

    /// Takes a name that nobody has.
    pub(crate) fn reserve(&self, name: &Arc<str>) -> Result<Reservation, SubscribeError> {
        Reservation::of(&self.inner, name)
    }

    /// Takes the name of a subscription that runs, for the one that is to come after it.
    pub(crate) fn reserve_next(&self, name: &Arc<str>) -> Reservation {
        self.inner.subscriptions.lock().starting.entry(Arc::clone(name)).or_default();
        Reservation { bus: Arc::downgrade(&self.inner), name: Arc::clone(name) }
    }

    /// Keeps what is done under a name, as long as that is reserved.
    pub(crate) fn keep_starting(&self, name: &str, task: Arc<Task>) {
        if let Some(kept) = self.inner.subscriptions.lock().starting.get_mut(name) {
            *kept = Some(task);
        }
    }

    /// The subscription that runs under a name.
    pub(crate) fn running_one(&self, name: &str) -> Option<Subscription> {
        let subscriber = self.inner.subscriptions.lock().running.get(name).cloned()?;
        Some(Subscription::new(Arc::downgrade(&self.inner), subscriber))
    }

    pub(super) fn is_starting(&self, name: &str) -> bool {
        self.inner.subscriptions.lock().starting.contains_key(name)
    }

    /// The subscription that runs under a name and can handle something.
    pub(super) fn alive(&self, name: &str) -> Option<Arc<Subscriber>> {
        let running = self.inner.subscriptions.lock().running.get(name).cloned();
        running.filter(|subscriber| subscriber.is_alive())
    }
}

impl WeakBus {
    pub(crate) fn upgrade(&self) -> Option<Bus> {
        self.0.upgrade().map(|inner| Bus { inner })
    }
}
