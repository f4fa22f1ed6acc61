//! What storage knows of subscriptions, whether they run or not.

use super::{cursor::Cursor, keys, register::Meta};
use crate::{journal::Journal, message::Position, storage::StorageError};

/// A subscription as storage knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredSubscription {
    /// Its name.
    pub name: String,
    /// The events that it gets, or once got and has not given up.
    pub events: Vec<String>,
    /// How far each lane has come.
    pub lanes: Vec<StoredLane>,
    /// How many dead letters it has.
    pub dead_letters: u64,
    /// Positions from the first one that is not acknowledged to the end of the journal: at most so
    /// many events are still to come.
    pub lag: u64,
}

/// How far a lane has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredLane {
    /// Everything before it is acknowledged, but for the holes. A lane at rest stores it now and
    /// then, so that it may have come further.
    pub position: Position,
    /// Events before it that are not acknowledged yet, with their failed attempts.
    pub holes: Vec<(Position, u32)>,
    /// Positions from the first one that is not acknowledged to the end of the journal.
    pub lag: u64,
}

pub(crate) fn stored_subscriptions(
    journal: &Journal,
) -> Result<Vec<StoredSubscription>, StorageError> {
    let stored = journal.scan(keys::SUBSCRIPTIONS)?;
    let end = journal.end();
    stored.iter().map(|(key, meta)| load(journal, key, meta, end)).collect()
}

fn load(
    journal: &Journal,
    key: &[u8],
    meta: &[u8],
    end: Position,
) -> Result<StoredSubscription, StorageError> {
    let name = keys::name(key).ok_or_else(damaged)?;
    let meta: Meta = serde_json::from_slice(meta).map_err(|_| damaged())?;
    let cursors = journal.scan(&keys::cursors(name))?;
    let cursors: Option<Vec<Cursor>> =
        cursors.iter().map(|(_, cursor)| serde_json::from_slice(cursor).ok()).collect();
    let cursors = cursors.ok_or_else(damaged)?;
    let lanes: Vec<_> = cursors.iter().map(|cursor| StoredLane::of(cursor, end)).collect();
    Ok(StoredSubscription {
        name: name.to_owned(),
        events: meta.events.into_iter().collect(),
        lag: lanes.iter().map(|lane| lane.lag).max().unwrap_or(0),
        lanes,
        dead_letters: journal.scan(&keys::dead_letters(name))?.len() as u64,
    })
}

impl StoredLane {
    fn of(cursor: &Cursor, end: Position) -> Self {
        let holes = cursor.holes.iter();
        let holes = holes.filter_map(|hole| Some((Position::new(hole.position)?, hole.attempts)));
        let position = Position::new(cursor.frontier).unwrap_or(Position::FIRST);
        let low = Position::new(cursor.low()).unwrap_or(Position::FIRST);
        Self { position, holes: holes.collect(), lag: end.since(low) }
    }
}

fn damaged() -> StorageError {
    let reason = "what is stored of a subscription does not decode";
    StorageError::Corrupt { file: "state".into(), offset: 0, reason }
}
