//! Looking at dead letters, and deciding about them.

use std::{fmt, sync::Arc};

use super::Inner;
use crate::{
    delivery::{self, DeadLetter, DeadLetterStore, Subscriber},
    message::Position,
    storage::StorageError,
};

/// The dead letters of one subscription. Keeps the bus alive, as a clone of it does.
pub struct DeadLetters {
    bus: Arc<Inner>,
    subscription: Arc<str>,
}

/// What went wrong with dead letters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// There is no dead letter at that position.
    #[error("`{subscription}` has no dead letter at position {position}")]
    NotFound {
        /// The subscription.
        subscription: String,
        /// The position.
        position: Position,
    },
    /// No subscription of that name runs, or has ever run.
    #[error("there is no subscription named `{subscription}`")]
    UnknownSubscription {
        /// The name.
        subscription: String,
    },
    /// The subscription does not run, so there is nobody to try again.
    #[error("the subscription `{subscription}` does not run; start it to retry its dead letters")]
    NotRunning {
        /// The subscription.
        subscription: String,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl DeadLetters {
    pub(super) fn new(bus: Arc<Inner>, subscription: &str) -> Self {
        Self { bus, subscription: subscription.into() }
    }

    /// All dead letters, oldest event first.
    ///
    /// # Errors
    /// There is no such subscription, or storage failed.
    pub fn list(&self) -> Result<Vec<DeadLetter>, DeadLetterError> {
        match self.subscriber() {
            Some(subscriber) => Ok(subscriber.dead.list()?),
            None => Ok(self.stored()?.list()?),
        }
    }

    /// The dead letter of the event at this position.
    ///
    /// # Errors
    /// There is none, or storage failed.
    pub fn get(&self, position: Position) -> Result<DeadLetter, DeadLetterError> {
        let letter = match self.subscriber() {
            Some(subscriber) => subscriber.dead.get(position)?,
            None => self.stored()?.get(position)?,
        };
        letter.ok_or_else(|| self.not_found(position))
    }

    /// Has the subscription handle an event again, with as many more attempts as its policy
    /// allows. Until it succeeds the dead letter is kept. With [`OnDeadLetter::HoldKey`] this begins
    /// with the first letter of its key.
    ///
    /// [`OnDeadLetter::HoldKey`]: crate::OnDeadLetter::HoldKey
    ///
    /// # Errors
    /// There is none, the subscription does not run, or storage failed.
    pub fn retry(&self, position: Position) -> Result<(), DeadLetterError> {
        let found = self.running()?.revive(position)?;
        if found { Ok(()) } else { Err(self.not_found(position)) }
    }

    /// Does so with all that there are now, oldest event first. Returns how many.
    ///
    /// # Errors
    /// The subscription does not run, or storage failed.
    pub fn retry_all(&self) -> Result<usize, DeadLetterError> {
        let subscriber = self.running()?;
        Ok(subscriber.revive_all(&subscriber.dead.positions())?)
    }

    /// Has the subscription handle an event again when it starts next, or now if it runs. Until it
    /// succeeds the dead letter is kept.
    ///
    /// # Errors
    /// There is none, there is no such subscription, or storage failed.
    pub fn retry_at_start(&self, position: Position) -> Result<(), DeadLetterError> {
        if self.running().is_ok() {
            return self.retry(position);
        }
        let found = self.stored()?.mark(position)?;
        if found { Ok(()) } else { Err(self.not_found(position)) }
    }

    /// Gives a dead letter up for good.
    ///
    /// # Errors
    /// There is none, or storage failed.
    pub fn discard(&self, position: Position) -> Result<(), DeadLetterError> {
        let found = match self.subscriber() {
            Some(subscriber) => subscriber.discard(position)?,
            None => self.stored()?.discard(position, || None)?,
        };
        if found { Ok(()) } else { Err(self.not_found(position)) }
    }

    fn subscriber(&self) -> Option<Arc<Subscriber>> {
        self.bus.subscriptions.lock().running.get(&self.subscription).cloned()
    }

    fn running(&self) -> Result<Arc<Subscriber>, DeadLetterError> {
        let subscription = self.subscription.to_string();
        let alive = self.subscriber().filter(|subscriber| subscriber.is_alive());
        alive.ok_or(DeadLetterError::NotRunning { subscription })
    }

    fn stored(&self) -> Result<DeadLetterStore, DeadLetterError> {
        if !delivery::is_known(&self.bus.journal, &self.subscription)? {
            let subscription = self.subscription.to_string();
            return Err(DeadLetterError::UnknownSubscription { subscription });
        }
        Ok(DeadLetterStore::open(&self.bus.journal, &self.subscription, true)?)
    }

    fn not_found(&self, position: Position) -> DeadLetterError {
        DeadLetterError::NotFound { subscription: self.subscription.to_string(), position }
    }
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeadLetters").field(&self.subscription).finish()
    }
}
