//! How events come into a lane: from the tail, from storage, and from before the restart.

use std::{sync::Arc, time::Duration};

use super::{Hole, Lane, PAUSE};
use crate::{
    delivery::loss::Loss,
    journal::{Entry, Taken},
    message::Position,
    policy::Attempt,
    storage::{StorageError, Write},
};

/// How many events a lane takes from the tail at once.
const TAKE: usize = 64;

impl Lane {
    /// Gets more events from the journal. False if there are none.
    pub(super) fn fetch(&mut self) -> bool {
        match self.tail().take(self.reader, TAKE) {
            Taken::Entries { entries, frontier } => {
                let moved = frontier > self.scanned;
                self.scanned = frontier;
                self.keep(entries);
                moved
            }
            Taken::Behind { from, to } => self.fetch_stored(from, to),
            Taken::Gone => {
                self.over = true;
                false
            }
        }
    }

    fn fetch_stored(&mut self, from: Position, to: Position) -> bool {
        let (subscriber, lane) = (Arc::clone(&self.subscriber), self.reader.lane);
        let read = subscriber.journal.read(from, to, &subscriber.filter);
        if let Err(StorageError::Truncated { first, .. }) = &read
            && let Some(loss) = Loss::new(from, *first)
        {
            self.lose(loss);
            self.scanned = *first;
            self.tail().advance(self.reader, self.scanned);
            return true;
        }
        let read = read.map_err(|error| error.to_string());
        let nothing = || "storage has nothing there".to_owned();
        let moved = read.and_then(|page| if page.1 > from { Ok(page) } else { Err(nothing()) });
        let (entries, next) = match moved {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(subscription = &*subscriber.name, %from, error,
                    "the log cannot be read; trying again");
                self.wake_at(self.now().saturating_add(PAUSE));
                return false;
            }
        };
        self.scanned = next;
        let entries = entries.into_iter().map(Arc::new);
        self.keep(entries.filter(|entry| subscriber.wants(entry, lane)));
        self.tail().advance(self.reader, self.scanned);
        true
    }

    fn lose(&mut self, loss: Loss) {
        if let Some(Write { key, value }) = self.subscriber.lose(loss) {
            self.batch.writes.insert(key, value);
        }
    }

    fn keep(&mut self, entries: impl IntoIterator<Item = Arc<Entry>>) {
        let subscriber = &self.subscriber;
        let new = entries.into_iter().filter(|entry| !subscriber.is_inherited(entry));
        let before = self.backlog.len();
        self.backlog.extend(new);
        let first = self.backlog.get(before).map(|entry| entry.position);
        self.handle.took(self.backlog.len() - before, first);
    }

    /// Loads what an earlier run left unacknowledged. False where storage cannot be read now.
    pub(super) fn load(&mut self) -> bool {
        while let Some(hole) = self.unloaded.front().copied() {
            let Some(position) = Position::new(hole.position) else { return true };
            let subscriber = &self.subscriber;
            let entry = match subscriber.journal.read_one(position) {
                Ok(entry) => entry,
                Err(StorageError::Truncated { .. }) => {
                    self.unloaded.pop_front();
                    self.batch.settle();
                    if let Some(loss) = Loss::new(position, position.next()) {
                        self.lose(loss);
                    }
                    continue;
                }
                Err(error) => {
                    tracing::error!(subscription = &*subscriber.name, %position, %error,
                        "an unacknowledged event cannot be read; trying again");
                    return false;
                }
            };
            self.unloaded.pop_front();
            if self.subscriber.kinds.contains(&entry.kind) {
                self.reload(hole, Arc::new(entry));
            } else {
                self.batch.settle(); // the subscription has given up on such events
            }
        }
        true
    }

    fn reload(&mut self, hole: Hole, entry: Arc<Entry>) {
        let held = hole.restore(entry);
        if self.parked.is_busy(&held) {
            return self.parked.queue(held, self.now());
        }
        // Spread, so that a restart does not try everything at one moment.
        let failed = held.attempts.max(1);
        let attempt = Attempt { failed, elapsed: Duration::ZERO, previous: Duration::ZERO };
        let delay = match held.attempts {
            0 => None,
            _ => self.subscriber.policy.retry.next_delay(attempt, self.random()),
        };
        self.parked.park(held, self.now().saturating_add(delay.unwrap_or_default()));
    }
}
