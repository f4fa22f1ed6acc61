//! Who still needs which old events.

use super::{cursor::Cursor, keys};
use crate::{journal::Journal, message::Position, storage::StorageError};

/// A subscription, and the oldest event that it has not handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slowest {
    pub(crate) subscription: String,
    pub(crate) position: Position,
}

/// The stored subscription, running or not, that is the furthest behind.
pub(crate) fn slowest(journal: &Journal) -> Result<Option<Slowest>, StorageError> {
    let mut slowest: Option<Slowest> = None;
    for (key, value) in journal.scan(&keys::all_cursors())? {
        let (Some(name), Ok(cursor)) =
            (keys::subscription_of(&key), serde_json::from_slice::<Cursor>(&value))
        else {
            let reason = "a cursor does not decode";
            return Err(StorageError::Corrupt { file: "state".into(), offset: 0, reason });
        };
        let position = Position::new(cursor.low()).unwrap_or(Position::FIRST);
        if slowest.as_ref().is_none_or(|slowest| position < slowest.position) {
            slowest = Some(Slowest { subscription: name.to_owned(), position });
        }
    }
    Ok(slowest)
}
