//! Events that a subscription never got, because the log no longer has them: named, never silent.

use super::{cursor::Cursor, keys};
use crate::{
    journal::Journal,
    message::Position,
    storage::{StorageError, Write},
};

/// A stretch of the journal that a subscription never got. Some of its events may have been of other
/// types than it handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// The first position that is lost.
    pub first: Position,
    /// The last one.
    pub last: Position,
}

impl Loss {
    /// From a position to before another one.
    pub(super) fn new(first: Position, end: Position) -> Option<Self> {
        let last = Position::new(end.get().checked_sub(1)?)?;
        (first <= last).then_some(Self { first, last })
    }

    /// How many positions it has.
    #[must_use]
    pub fn positions(&self) -> u64 {
        self.last.since(self.first) + 1
    }

    /// Keeps it on record.
    pub(super) fn write(&self, subscription: &str) -> Write {
        Write::put(keys::loss(subscription, self.first), self.last.get().to_be_bytes())
    }

    fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let last = Position::new(u64::from_be_bytes(value.try_into().ok()?))?;
        Some(Self { first: keys::position(key)?, last })
    }

    /// Says so where an operator looks.
    pub(super) fn report(&self, subscription: &str) {
        tracing::error!(subscription, first = %self.first, last = %self.last,
            "events are lost to the subscription: the log no longer has them");
    }
}

/// What a subscription has lost so far.
pub(crate) fn list(journal: &Journal, subscription: &str) -> Result<Vec<Loss>, StorageError> {
    let stored = journal.scan(&keys::losses(subscription))?;
    Ok(stored.iter().filter_map(|(key, value)| Loss::read(key, value)).collect())
}

/// What is lost of a subscription with these cursors: what the log no longer keeps, and what a
/// salvage could not save.
pub(super) fn missed(journal: &Journal, cursors: &[Cursor]) -> Result<Vec<Loss>, StorageError> {
    let low = cursors.iter().map(Cursor::low).min().and_then(Position::new);
    let low = low.unwrap_or(Position::FIRST);
    let mut missed: Vec<Loss> = Loss::new(low, journal.first()).into_iter().collect();
    missed.extend(unsalvaged(journal, low.max(journal.first()), Position::LAST)?);
    Ok(missed)
}

/// Takes note that a subscription never gets what lies from a position on and before another. The write
/// keeps it on record.
pub(crate) fn lose(subscription: &str, from: Position, to: Position) -> Option<Write> {
    let loss = Loss::new(from, to)?;
    loss.report(subscription);
    Some(loss.write(subscription))
}

/// What a salvage could not save from a position on and below another, in order.
pub(crate) fn unsalvaged(
    journal: &Journal,
    from: Position,
    to: Position,
) -> Result<Vec<Loss>, StorageError> {
    let stored = journal.scan(&keys::unsalvaged())?;
    let gaps = stored.iter().filter_map(|(key, value)| Loss::read(key, value));
    let within = |gap: Loss| Loss::new(gap.first.max(from), gap.last.next().min(to));
    Ok(gaps.filter_map(within).collect())
}

/// Moves cursors on to what is left. True if any has moved.
pub(super) fn clip(cursors: &mut [Cursor], first: Position) -> bool {
    let mut moved = false;
    for cursor in cursors {
        moved |= cursor.low() < first.get();
        cursor.holes.retain(|hole| hole.position >= first.get());
        cursor.frontier = cursor.frontier.max(first.get());
    }
    moved
}
