//! Looking at dead letters, and deciding about them.

mod dry_run;
mod edit;
mod groups;
mod kept;
mod letters;
mod rerun;

use std::{collections::BTreeSet, fmt, sync::Arc};

pub use dry_run::DryRun;
use groups::Groups;
pub use groups::LetterGroup;
use kept::Kept;
pub use letters::Letters;
pub use rerun::{Rerun, RerunProgress};

use super::Inner;
use crate::{
    delivery::{self, DeadLetter, DeadLetterStore, Subscriber},
    journal::PublishFailure,
    message::Position,
    runtime::Runtime,
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
    /// The handler of a dead letter cannot be called for a dry run: it is async, pulled, or called where
    /// events are published.
    #[error(
        "`{subscription}` has a handler for `{event}` that was not given with `on`: no dry run"
    )]
    NoDryRun {
        /// The subscription.
        subscription: String,
        /// The event.
        event: String,
    },
    /// The dead letter is of another event than the one that it is to be edited as.
    #[error("the dead letter at position {position} is an event `{event}`, not `{expected}`")]
    OtherEvent {
        /// The position.
        position: Position,
        /// The event that it is of.
        event: String,
        /// The event that was asked for.
        expected: String,
    },
    /// The payload of the dead letter does not decode, so that there is nothing to edit.
    #[error("the dead letter at position {position} cannot be edited: {reason}")]
    Undecodable {
        /// The position.
        position: Position,
        /// Why it does not decode.
        reason: String,
    },
    /// The corrected event could not be published. The dead letter is still there.
    #[error("the corrected event could not be published: {0}")]
    Publish(#[from] PublishFailure),
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
        Ok(self.kept()?.letters().list()?)
    }

    /// The dead letter of the event at this position.
    ///
    /// # Errors
    /// There is none, or storage failed.
    pub fn get(&self, position: Position) -> Result<DeadLetter, DeadLetterError> {
        self.kept()?.letters().get(position)?.ok_or_else(|| self.not_found(position))
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

    /// Those that a filter selects, oldest event first.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub fn list_where(&self, letters: &Letters) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let mut found = Vec::new();
        self.each(letters, |letter| found.push(letter))?;
        Ok(found)
    }

    /// Retries those that a filter selects now, oldest event first, as [`retry`](Self::retry) does.
    /// Returns how many.
    ///
    /// # Errors
    /// As for [`retry_all`](Self::retry_all).
    pub fn retry_where(&self, letters: &Letters) -> Result<usize, DeadLetterError> {
        let subscriber = self.running()?;
        Ok(subscriber.revive_all(&self.positions_where(letters)?)?)
    }

    /// Retries those that a filter selects now, so many in a second, in a run of its own. Where keys
    /// are held, only the first of each key: the others follow it.
    ///
    /// # Errors
    /// As for [`retry_all`](Self::retry_all).
    pub fn retry_at(&self, letters: &Letters, per_second: u32) -> Result<Rerun, DeadLetterError> {
        let subscriber = self.running()?;
        let positions = self.positions_where(letters)?;
        let firsts = positions.iter().filter_map(|position| subscriber.first_to_retry(*position));
        let firsts: BTreeSet<_> = firsts.collect();
        let pool = subscriber.runtime().find_pool(Runtime::DEFAULT_POOL);
        let Some(pool) = pool else { return Err(self.not_running()) };
        Ok(Rerun::start(subscriber, pool, firsts.into_iter().collect(), per_second))
    }

    /// Gives up those that a filter selects. Returns how many.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub fn discard_where(&self, letters: &Letters) -> Result<usize, DeadLetterError> {
        let kept = self.kept()?;
        let mut discarded = 0;
        for position in self.positions_where(letters)? {
            discarded += usize::from(kept.discard(position)?);
        }
        Ok(discarded)
    }

    /// What they died of: letters of one event and reason whose errors differ in numbers and ids
    /// alone are one group. The largest comes first.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub fn groups(&self) -> Result<Vec<LetterGroup>, DeadLetterError> {
        let mut groups = Groups::default();
        self.each(&Letters::all(), |letter| groups.add(&letter))?;
        Ok(groups.finish())
    }

    /// Gives a dead letter up for good.
    ///
    /// # Errors
    /// There is none, or storage failed.
    pub fn discard(&self, position: Position) -> Result<(), DeadLetterError> {
        self.discard_because(position, "none given")
    }

    /// The same, with a reason for whoever reads the traces later. [`Status::discarded`] counts both.
    ///
    /// [`Status::discarded`]: crate::Status::discarded
    ///
    /// # Errors
    /// There is none, or storage failed.
    pub fn discard_because(&self, position: Position, reason: &str) -> Result<(), DeadLetterError> {
        if !self.kept()?.discard(position)? {
            return Err(self.not_found(position));
        }
        tracing::info!(subscription = &*self.subscription, %position, reason,
            "a dead letter was discarded");
        Ok(())
    }

    fn positions_where(&self, letters: &Letters) -> Result<Vec<Position>, DeadLetterError> {
        let mut positions = Vec::new();
        self.each(letters, |letter| positions.push(letter.position()))?;
        Ok(positions)
    }

    /// Reads one at a time.
    fn each(
        &self,
        letters: &Letters,
        mut found: impl FnMut(DeadLetter),
    ) -> Result<(), DeadLetterError> {
        each_in(self.kept()?.letters(), letters, &mut found)
    }

    fn kept(&self) -> Result<Kept, DeadLetterError> {
        Ok(match self.subscriber() {
            Some(subscriber) => Kept::Running(subscriber),
            None => Kept::Stored(self.stored()?),
        })
    }

    fn subscriber(&self) -> Option<Arc<Subscriber>> {
        self.bus.subscriptions.lock().running.get(&self.subscription).cloned()
    }

    fn running(&self) -> Result<Arc<Subscriber>, DeadLetterError> {
        let alive = self.subscriber().filter(|subscriber| subscriber.is_alive());
        alive.ok_or_else(|| self.not_running())
    }

    fn not_running(&self) -> DeadLetterError {
        DeadLetterError::NotRunning { subscription: self.subscription.to_string() }
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

fn each_in(
    store: &DeadLetterStore,
    letters: &Letters,
    found: &mut dyn FnMut(DeadLetter),
) -> Result<(), DeadLetterError> {
    let mut left = letters.most();
    for position in store.positions() {
        if left == 0 {
            break;
        }
        // One whose commit is on its way is none yet.
        let Some(letter) = store.get(position)? else { continue };
        if letters.select(&letter) {
            left -= 1;
            found(letter);
        }
    }
    Ok(())
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeadLetters").field(&self.subscription).finish()
    }
}
