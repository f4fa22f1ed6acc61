//! Having a subscription go through events again.

use std::{sync::Arc, time::Duration};

use super::{
    Context, Subscriber,
    cursor::Cursor,
    idempotency, keys,
    register::{json, load_cursors, load_meta, register, start_position},
};
use crate::{
    journal::Journal,
    message::Position,
    policy::Start,
    storage::{StorageError, Write},
};

/// Has a stored subscription that does not run go on from there when it starts next, as if it had not
/// got any of it. It goes back, and never ahead. `None` where there is none of that name.
///
/// Dead letters of what comes again are gone, and so is what is known of copies: it is the same
/// events, not others like them. What it has stored stays.
pub(crate) fn rewind(
    journal: &Journal,
    name: &str,
    to: Start,
) -> Result<Option<Position>, StorageError> {
    journal.write(Vec::new())?; // what is on its way is to be seen here
    let Some(mut meta) = load_meta(journal, name)? else { return Ok(None) };
    let mut cursors = load_cursors(journal, name, meta.lanes)?;
    let to = start_position(journal, to)?;
    let high = cursors.iter().map(Cursor::high).max().and_then(Position::new);
    for cursor in meta.layers.iter_mut().flat_map(|layer| &mut layer.cursors).chain(&mut cursors) {
        cursor.rewind(to.get());
    }
    meta.repeats_before = meta.repeats_before.max(high);
    let letters = journal.scan(&keys::dead_letters(name))?;
    let is_later = |key: &Vec<u8>| keys::position(key).is_some_and(|position| position >= to);
    let letters: Vec<_> = letters.into_iter().map(|(key, _)| key).filter(is_later).collect();
    if let Some(cursor) = cursors.first_mut() {
        cursor.tally.forget_dead(letters.len() as u64);
    }
    let mut writes = vec![Write::put(keys::subscription(name), json(&meta)?)];
    for (lane, cursor) in (0..).zip(&cursors) {
        writes.push(Write::put(keys::cursor(name, lane), json(cursor)?));
    }
    writes.extend(letters.into_iter().map(Write::remove));
    writes.extend(idempotency::forget_from(journal, name, to)?);
    journal.write(writes)?;
    tracing::info!(subscription = name, %to, "the subscription was rewound");
    Ok(Some(cursors.iter().map(Cursor::low).min().and_then(Position::new).unwrap_or(to)))
}

impl Subscriber {
    /// Stops, waiting so long for handlers that are at work. True if none is any more.
    pub(crate) fn halt(&self, timeout: Duration) -> bool {
        let deadline = self.runtime().now().saturating_add(timeout);
        self.begin_stop();
        let finished = self.wait_stopped(deadline);
        if finished {
            self.end_cleanly();
        }
        self.leave();
        finished
    }

    /// Another one like it, which goes on where it stopped.
    pub(crate) fn restart(&self) -> Result<Arc<Self>, StorageError> {
        register(&self.journal, self.plan.clone(), None)
    }

    /// What is to be kept of it having been rewound.
    pub(super) fn repeats_before(&self) -> Option<Position> {
        let is_rewound = self.until.is_none() && self.repeats_before > Position::FIRST;
        is_rewound.then_some(self.repeats_before)
    }
}

impl Context {
    /// Whether the event may have been handled before, and comes again because somebody wants it to:
    /// the subscription was [rewound](crate::Subscription::rewind), or this is a
    /// [replay](crate::Bus::replay). A retry is none, nor what comes again after a crash.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.position() < self.subscriber.repeats_before
    }
}
