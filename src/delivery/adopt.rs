//! Having a subscription begin where something else has come to.

use std::collections::BTreeSet;

use super::{
    cursor::Cursor,
    keys,
    register::{Meta, json},
};
use crate::{
    journal::Journal,
    message::Position,
    storage::{StorageError, Write},
};

/// What has a subscription of one lane begin at a position when it starts next, as if all before was handled
/// by it. It must not be running. Nothing is left of its dead letters, which are among that.
pub(crate) fn adopt(
    journal: &Journal,
    name: &str,
    events: BTreeSet<String>,
    position: Position,
) -> Result<Vec<Write>, StorageError> {
    let areas = [keys::cursors(name), keys::dead_letters(name), keys::all_effects(name)];
    let mut writes = Vec::new();
    for area in areas {
        writes.extend(journal.scan(&area)?.into_iter().map(|(key, _)| Write::remove(key)));
    }
    let meta = Meta::new(1, events);
    writes.push(Write::put(keys::subscription(name), json(&meta)?));
    writes.push(checkpoint(name, position)?);
    Ok(writes)
}

/// Where a reader has come to, so that retention keeps what it has not read.
pub(crate) fn checkpoint(name: &str, position: Position) -> Result<Write, StorageError> {
    Ok(Write::put(keys::cursor(name, 0), json(&Cursor::at(position))?))
}

/// The reader of that name reads no more.
pub(crate) fn forget_checkpoint(name: &str) -> Write {
    Write::remove(keys::cursor(name, 0))
}
