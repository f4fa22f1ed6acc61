//! Keeping the log as short as it is to be.

use std::{sync::Weak, time::Duration};

use parking_lot::Mutex;

use super::Bus;
use crate::{
    delivery::{Slowest, slowest},
    journal::Journal,
    message::Position,
    policy::{Retention, Unread},
    runtime::{Tick, Timestamp},
    storage::{Compaction, StorageError, Trim},
};

/// How often old events are looked for, at most.
const EVERY: Duration = Duration::from_secs(1);

/// Why old events were not dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrimError {
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A subscription has not handled them yet. Nothing changed; let it catch up, or say
    /// [`Unread::Drop`].
    #[error("`{subscription}` has not handled events from {position} on")]
    Unread {
        /// The subscription that is the furthest behind.
        subscription: String,
        /// The first event that it has not handled.
        position: Position,
    },
}

impl Bus {
    /// Drops the events before a position, whole files of them: perhaps fewer. Returns the first
    /// position that is kept. A volatile bus keeps none, and drops nothing.
    ///
    /// # Errors
    /// [`TrimError::Unread`] where a subscription, running or not, still needs them and they are to
    /// be kept then.
    pub fn trim(&self, before: Position, unread: Unread) -> Result<Position, TrimError> {
        let journal = &self.inner.journal;
        let before = before.min(journal.end());
        if unread == Unread::Keep {
            journal.write(Vec::new())?; // cursors on their way are to be seen
            if let Some(Slowest { subscription, position }) = slowest(journal)?
                && position < before
            {
                return Err(TrimError::Unread { subscription, position });
            }
        }
        Ok(journal.trim(&Trim::before(before))?)
    }

    /// Drops events whose type is [compacted](crate::Event::COMPACTED) and of whose key there is a
    /// newer one, as far as all subscriptions have handled them. It happens by itself as the log
    /// grows; returns how many were dropped now.
    ///
    /// # Errors
    /// Damage, failing reads and writes. What was not dropped is still there.
    pub fn compact(&self) -> Result<u64, StorageError> {
        self.inner.journal.write(Vec::new())?; // cursors on their way are to be seen
        compact(&self.inner.journal, false)
    }
}

/// Drops old events as a [`Retention`] says.
pub(super) struct Retainer {
    journal: Weak<Journal>,
    retention: Retention,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    run: Option<Tick>,
    /// The subscription that was named last as holding old events.
    named: Option<String>,
}

impl Retainer {
    pub(super) fn new(journal: Weak<Journal>, retention: Retention) -> Self {
        Self { journal, retention, last: Mutex::default() }
    }

    /// Drops what is old by now. Where that was done a moment ago, says when to come again.
    pub(super) fn run(&self) -> Option<Duration> {
        let journal = self.journal.upgrade()?;
        if self.retention.is_forever() && journal.contract().compacted().is_empty() {
            return None;
        }
        let mut last = self.last.lock();
        let now = journal.runtime().now();
        let due = last.run.map_or(now, |run| run.saturating_add(EVERY));
        if now < due {
            return Some(due.saturating_sub(now));
        }
        last.run = Some(now);
        if !self.retention.is_forever()
            && let Err(error) = self.drop_old(&journal, &mut last)
        {
            tracing::warn!(%error, "old events could not be dropped");
        }
        if let Err(error) = compact(&journal, true) {
            tracing::warn!(%error, "the log could not be compacted");
        }
        None
    }

    fn drop_old(&self, journal: &Journal, last: &mut Last) -> Result<(), StorageError> {
        let slowest = match self.retention.unread() {
            Unread::Drop => None,
            Unread::Keep => slowest(journal)?,
        };
        let end = journal.end();
        let mut trim = Trim::before(slowest.as_ref().map_or(end, |slow| slow.position.min(end)));
        let since = self.retention.age().map(|age| before(journal.runtime().wall(), age));
        if let Some(since) = since {
            trim = trim.published_before(since);
        }
        if let Some(bytes) = self.retention.bytes() {
            trim = trim.max_bytes(bytes);
        }
        let first = journal.trim(&trim)?;
        let Some(slowest) = slowest.filter(|slow| slow.position < end) else { return Ok(()) };
        let newest = || journal.published_at(first).unwrap_or(Timestamp::from_nanos(u64::MAX));
        if last.named.as_ref() != Some(&slowest.subscription)
            && trim.is_due(newest, journal.log_bytes())
        {
            tracing::warn!(subscription = slowest.subscription, position = %slowest.position,
                "old events are kept, because this subscription has not handled them");
            last.named = Some(slowest.subscription);
        }
        Ok(())
    }
}

/// Drops what newer events of the same key make superfluous and every subscription has handled.
fn compact(journal: &Journal, only_if_due: bool) -> Result<u64, StorageError> {
    let names = journal.contract().compacted();
    if names.is_empty() {
        return Ok(0);
    }
    let end = journal.end();
    let before = slowest(journal)?.map_or(end, |slowest| slowest.position.min(end));
    let compaction = Compaction::new(names, before);
    journal.compact(&if only_if_due { compaction.if_due() } else { compaction })
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
    Timestamp::from_nanos(now.as_nanos().saturating_sub(age))
}
