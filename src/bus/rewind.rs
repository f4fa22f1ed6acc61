//! Going through events again.

use std::{sync::Arc, time::Duration};

use super::{Bus, Error, Reservation, SubscribeError, Subscription};
use crate::{delivery, message::Position, policy::Start, runtime::in_task, storage::StorageError};

/// Why a subscription could not be rewound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewindError {
    /// It was called from inside a handler, whose subscription it may be.
    #[error("a handler cannot rewind a subscription")]
    InsideHandler,
    /// It leaves nothing behind, and so has nowhere to go back to: the bus is volatile, or the
    /// subscription is ephemeral or unknown.
    #[error("nothing is stored of a subscription named `{name}`, so it cannot be rewound")]
    NotStored {
        /// The name.
        name: String,
    },
    /// It is pulled from, and who pulls has to begin anew: stop it, and rewind it by its name.
    #[error("`{name}` is pulled from: stop it, and rewind it with `Bus::rewind`")]
    Pulled {
        /// The subscription.
        name: String,
    },
    /// It runs, and so is to be rewound by its handle.
    #[error("`{name}` runs: rewind it with `Subscription::rewind`")]
    Running {
        /// The subscription.
        name: String,
    },
    /// The bus was shut down.
    #[error("the bus is shut down")]
    Closed,
    /// Storage failed. A subscription that ran is stopped.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<RewindError> for Error {
    fn from(error: RewindError) -> Self {
        Self::Other(error.into())
    }
}

impl Bus {
    /// Has a stored subscription that does not run go through everything from there on again when it
    /// starts next. See [`Subscription::rewind`], which is for one that runs.
    ///
    /// Returns the first position that will come.
    ///
    /// # Errors
    /// See [`RewindError`].
    pub fn rewind(&self, subscription: &str, to: Start) -> Result<Position, RewindError> {
        let name: Arc<str> = subscription.into();
        let _reserved = self.reserve(&name).map_err(|error| match error {
            SubscribeError::Closed => RewindError::Closed,
            _ => RewindError::Running { name: name.to_string() },
        })?;
        delivery::rewind(&self.inner.journal, &name, to)?.ok_or_else(|| not_stored(&name))
    }
}

impl Subscription {
    /// Goes back, and through everything from there on again: the handlers are let finish what they are
    /// at, for at most `timeout`, and then what comes first is the first event from `to` on, or an
    /// earlier one that is not settled yet. It never goes ahead. Publishers are not held up.
    ///
    /// Until the subscription is where it was, [`Context::is_replay`](crate::Context::is_replay) says
    /// so. What the subscription has [stored](crate::Context::state) stays as it is, and handlers that
    /// count have to take care of that. [Idempotency keys](crate::Context::idempotency_key) are the same
    /// as the first time, so that whoever is called with them does nothing twice;
    /// [`Context::once`](crate::Context::once) has forgotten. Events before the first that the log keeps do
    /// not come again. Dead letters of what comes again are no more, since it is tried anew; of handlers
    /// that are [`idempotent`](crate::idempotent()), what they have handled from there on is forgotten.
    /// The [ledger](Self::ledger) counts what comes twice as two.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidings::{RewindError, Start, Subscription, Timestamp};
    /// # fn since_yesterday(view: &Subscription, yesterday: Timestamp) -> Result<(), RewindError> {
    /// view.rewind(Start::Time(yesterday), Duration::from_secs(5))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Returns the first position that comes. For a repair that is to run beside live traffic, see
    /// [`Bus::replay`](crate::Bus::replay).
    ///
    /// # Errors
    /// See [`RewindError`].
    pub fn rewind(&self, to: Start, timeout: Duration) -> Result<Position, RewindError> {
        if in_task() {
            return Err(RewindError::InsideHandler);
        }
        let Some(bus) = self.bus().upgrade() else { return Err(RewindError::Closed) };
        let old = Arc::clone(self.subscriber());
        if !old.is_stored() {
            return Err(not_stored(&old.name));
        }
        if old.is_pulled() {
            return Err(RewindError::Pulled { name: old.name.to_string() });
        }
        let bus = Bus { inner: bus };
        let reserved = Reservation::instead_of(&bus.inner, &old).ok_or(RewindError::Closed)?;
        old.halt(timeout);
        let at = delivery::rewind(&bus.inner.journal, &old.name, to)?;
        let new = old.restart()?;
        let mut subscriptions = bus.inner.subscriptions.lock();
        if subscriptions.closed {
            drop(subscriptions);
            new.leave();
            return Err(RewindError::Closed);
        }
        subscriptions.running.insert(Arc::clone(&new.name), Arc::clone(&new));
        drop(subscriptions);
        drop(reserved);
        drop(old.successor.set(new));
        at.ok_or_else(|| not_stored(&old.name))
    }
}

fn not_stored(name: &str) -> RewindError {
    RewindError::NotStored { name: name.to_owned() }
}
