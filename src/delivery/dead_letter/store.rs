//! Where the dead letters of a subscription are kept.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    DeadLetter,
    index::{Index, Label},
};
use crate::{
    delivery::{
        keys,
        parking::{Held, Revival},
    },
    event::Key,
    journal::{Body, Draft, Entry, Journal, Mistake, Places, Rejected},
    message::Position,
    runtime::Timestamp,
    storage::{StorageError, Write},
};

type Remembered = (DeadLetter, Arc<Entry>);

/// The dead letters of one subscription: in storage, or in memory where the subscription leaves
/// nothing behind.
pub(crate) struct DeadLetterStore {
    subscription: Arc<str>,
    journal: Arc<Journal>,
    /// Which letters there are, those included whose commit is still on its way.
    index: Mutex<Index>,
    /// The letters and the events themselves; `None` where storage has them.
    memory: Option<Mutex<BTreeMap<Position, Remembered>>>,
}

impl DeadLetterStore {
    pub(crate) fn open(
        journal: &Arc<Journal>,
        subscription: &Arc<str>,
        stored: bool,
    ) -> Result<Self, StorageError> {
        let prefix = keys::dead_letters(subscription);
        let letters = if stored { journal.scan(&prefix)? } else { Vec::new() };
        let mut index = Index::default();
        for (key, bytes) in &letters {
            // One that does not decode is kept, and whoever reads it is told.
            let label = DeadLetter::decode(bytes).as_ref().map(Label::of).unwrap_or_default();
            if let Some(position) = keys::position(key) {
                index.insert(position, label);
            }
        }
        Ok(Self {
            subscription: Arc::clone(subscription),
            journal: Arc::clone(journal),
            index: Mutex::new(index),
            memory: (!stored).then(Mutex::default),
        })
    }

    pub(crate) fn count(&self) -> u64 {
        self.index.lock().len() as u64
    }

    pub(in crate::delivery) fn contains(&self, position: Position) -> bool {
        self.index.lock().contains(position)
    }

    pub(crate) fn positions(&self) -> Vec<Position> {
        self.index.lock().positions().collect()
    }

    /// Letters that had died by then.
    pub(in crate::delivery) fn died_by(&self, time: Timestamp) -> Vec<Position> {
        self.index.lock().died_by(time).collect()
    }

    /// When the oldest letter died.
    pub(in crate::delivery) fn oldest(&self) -> Option<Timestamp> {
        self.index.lock().oldest()
    }

    /// The first letter of a key.
    pub(in crate::delivery) fn first(&self, key: &Key) -> Option<Position> {
        self.index.lock().first(key)
    }

    /// The first letter of the key of a letter, which is the letter itself where it has no key.
    pub(in crate::delivery) fn first_beside(&self, position: Position) -> Option<Position> {
        self.index.lock().first_beside(position)
    }

    /// Whether any letter has a key, be it about to be given up.
    pub(in crate::delivery) fn has_keys(&self) -> bool {
        self.index.lock().has_keys()
    }

    /// Whether the first letter of a key is about to be given up.
    pub(in crate::delivery) fn is_leaving(&self, key: &Key) -> bool {
        self.index.lock().is_leaving(key)
    }

    /// The first letter of a key, if nothing is before it any more that it was put behind.
    pub(in crate::delivery) fn ready(&self, key: &Key) -> Option<Position> {
        self.index.lock().ready(key)
    }

    /// Every key that has such a letter.
    pub(in crate::delivery) fn ready_keys(&self) -> Vec<Key> {
        self.index.lock().ready_keys().cloned().collect()
    }

    /// By position.
    pub(crate) fn list(&self) -> Result<Vec<DeadLetter>, StorageError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.lock().values().map(|(letter, _)| letter.clone()).collect());
        }
        let stored = self.journal.scan(&keys::dead_letters(&self.subscription))?;
        stored.iter().map(|(_, bytes)| DeadLetter::decode(bytes).ok_or_else(damaged)).collect()
    }

    pub(crate) fn get(&self, position: Position) -> Result<Option<DeadLetter>, StorageError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.lock().get(&position).map(|(letter, _)| letter.clone()));
        }
        let stored = self.journal.get(&keys::dead_letter(&self.subscription, position))?;
        stored.map(|bytes| DeadLetter::decode(&bytes).ok_or_else(damaged)).transpose()
    }

    /// Has a letter tried again when the subscription starts next. The mark goes with the letter:
    /// when it is handled, or dies again. False where there is none.
    pub(crate) fn mark(&self, position: Position) -> Result<bool, StorageError> {
        let Some(mut letter) = self.get(position)? else { return Ok(false) };
        letter.is_marked = true;
        let bytes = letter.encode().map_err(|_| damaged())?;
        let key = keys::dead_letter(&self.subscription, position);
        self.journal.write(vec![Write::put(key, bytes)])?;
        Ok(true)
    }

    /// The letters that are to be tried again at the start.
    pub(in crate::delivery) fn marked(&self) -> Result<Vec<Position>, StorageError> {
        if self.memory.is_some() {
            return Ok(Vec::new());
        }
        let stored = self.journal.scan(&keys::dead_letters(&self.subscription))?;
        let letters = stored.iter().filter_map(|(_, bytes)| DeadLetter::decode(bytes));
        Ok(letters.filter(|letter| letter.is_marked).map(|letter| letter.position).collect())
    }

    /// Whether there were no more attempts at a letter since it was read to be handled again.
    pub(in crate::delivery) fn is_current(&self, held: &Held) -> bool {
        let attempts = self.index.lock().attempts(held.position());
        attempts.is_none_or(|attempts| attempts == held.all_attempts())
    }

    /// The event of a letter, to be handled again. `earlier` is what a lane has not committed yet.
    pub(in crate::delivery) fn held(
        &self,
        position: Position,
        earlier: &keys::Writes,
    ) -> Result<Option<Held>, StorageError> {
        if !self.contains(position) {
            return Ok(None);
        }
        let letter = match earlier.get(&keys::dead_letter(&self.subscription, position)) {
            Some(Some(bytes)) => Some(DeadLetter::decode(bytes).ok_or_else(damaged)?),
            Some(None) => None,
            None => self.get(position)?,
        };
        let Some(letter) = letter else { return Ok(None) };
        let (attempts, first_failed_at) = (letter.attempts, letter.first_failed_at);
        let remembered = self
            .memory
            .as_ref()
            .and_then(|memory| memory.lock().get(&position).map(|(_, entry)| Arc::clone(entry)));
        let entry = remembered.unwrap_or_else(|| {
            let kind = self.journal.contract().name_id(&letter.envelope.name);
            let (envelope, body) = (letter.envelope, Body::Encoded(letter.payload));
            Arc::new(Entry { position, kind, envelope, body })
        });
        let mut held = Held::revived(entry, Revival { attempts, first_failed_at });
        held.failures = letter.failures;
        Ok(Some(held))
    }

    /// The event of a letter, as it was published.
    pub(crate) fn entry(&self, position: Position) -> Result<Option<Arc<Entry>>, StorageError> {
        Ok(self.held(position, &keys::Writes::new())?.map(|held| held.entry))
    }

    /// Adds a letter, or replaces it. What is to be stored goes into `writes`. One that was tried
    /// again and discarded meanwhile stays discarded.
    pub(in crate::delivery) fn add(
        &self,
        letter: DeadLetter,
        held: &Held,
        writes: &mut keys::Writes,
    ) -> Result<(), serde_json::Error> {
        let (position, entry) = (letter.position, &held.entry);
        let mut index = self.index.lock();
        if held.is_revived() && !index.contains(position) {
            return Ok(());
        }
        index.insert(position, Label::of(&letter));
        drop(index);
        match &self.memory {
            Some(memory) => {
                let old = memory.lock().insert(position, (letter, Arc::clone(entry)));
                drop(old);
            }
            None if self.journal.is_planted(Mistake::LetterNotStored) => {}
            None => {
                let key = keys::dead_letter(&self.subscription, position);
                writes.insert(key, Some(letter.encode()?));
            }
        }
        Ok(())
    }

    /// Submits writes while no letter can be given up: letters that are gone by now are left out, so
    /// that whoever gives one up is either seen here or comes later.
    pub(in crate::delivery) fn fence<R>(
        &self,
        mut writes: keys::Writes,
        submit: impl FnOnce(keys::Writes) -> R,
    ) -> R {
        if self.memory.is_some() || writes.is_empty() {
            return submit(writes);
        }
        let prefix = keys::dead_letters(&self.subscription);
        if !keys::any_under(&writes, &prefix) {
            return submit(writes);
        }
        let index = self.index.lock();
        // The removal is left to whoever gives it up: if that fails, the letter is still there.
        let is_gone = |key: &[u8]| keys::position(key).is_some_and(|at| !index.contains(at));
        writes.retain(|key, value| value.is_none() || !key.starts_with(&prefix) || !is_gone(key));
        submit(writes)
    }

    /// Removes a letter that was handled after all. False if it was given up meanwhile.
    pub(in crate::delivery) fn remove(
        &self,
        position: Position,
        writes: &mut keys::Writes,
    ) -> bool {
        if !self.index.lock().remove(position) {
            return false;
        }
        match &self.memory {
            Some(memory) => drop(take(memory, position)),
            None => drop(writes.insert(keys::dead_letter(&self.subscription, position), None)),
        }
        true
    }

    /// Removes a letter for good, with what handlers have done outside for it, and publishes what
    /// comes in its place: all of that or nothing. Returns that with the letter's key; `None` where
    /// there is no such letter.
    pub(crate) fn replace(
        &self,
        position: Position,
        drafts: Vec<Draft>,
    ) -> Result<Option<(Places, Option<Key>)>, Rejected> {
        if !self.index.lock().begin_to_leave(position) {
            return Ok(None);
        }
        match self.journal.publish_with(drafts, self.removal(position).collect()) {
            Ok(places) => {
                drop(self.memory.as_ref().and_then(|memory| take(memory, position)));
                Ok(Some((places, self.index.lock().leave(position))))
            }
            Err(rejected) => {
                self.index.lock().stay(position);
                Err(rejected)
            }
        }
    }

    /// Removes letters for good, as [`replace`](Self::replace) does with nothing in their place, from
    /// inside a task. Returns those that were there, with their keys.
    pub(in crate::delivery) fn discard_all(
        &self,
        positions: &[Position],
    ) -> Result<Vec<(Position, Option<Key>)>, StorageError> {
        let mut index = self.index.lock();
        let is_there = |position: &Position| index.begin_to_leave(*position);
        let leaving: Vec<_> = positions.iter().copied().filter(is_there).collect();
        drop(index);
        let writes = leaving.iter().flat_map(|position| self.removal(*position)).collect();
        let written = self.journal.write_from_handler(writes);
        if let (Ok(()), Some(memory)) = (&written, &self.memory) {
            for position in &leaving {
                drop(take(memory, *position));
            }
        }
        let mut index = self.index.lock();
        if let Err(error) = written {
            for position in leaving {
                index.stay(position);
            }
            return Err(error);
        }
        Ok(leaving.into_iter().map(|position| (position, index.leave(position))).collect())
    }

    /// What removes a letter from storage, where it is, and what handlers have done outside for it.
    fn removal(&self, position: Position) -> impl Iterator<Item = Write> {
        let forgets = self.journal.is_planted(Mistake::DiscardNotStored);
        let is_stored = self.memory.is_none() && !forgets;
        let keys = is_stored.then(|| {
            let letter = keys::dead_letter(&self.subscription, position);
            [letter, keys::effects(&self.subscription, position)]
        });
        keys.into_iter().flatten().map(Write::remove)
    }
}

/// Takes a letter out, to be dropped once the lock is free: dropping an event runs its owner's code.
fn take(memory: &Mutex<BTreeMap<Position, Remembered>>, position: Position) -> Option<Remembered> {
    memory.lock().remove(&position)
}

fn damaged() -> StorageError {
    let reason = "a dead letter does not decode";
    StorageError::Corrupt { file: "state".into(), offset: 0, reason }
}
