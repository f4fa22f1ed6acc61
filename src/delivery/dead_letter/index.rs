//! Which dead letters there are, and in which order those of a key are.

use std::collections::{BTreeMap, BTreeSet};

use super::{DeadLetter, DeadLetterReason};
use crate::{event::Key, message::Position, runtime::Timestamp};

/// What is known of a letter without reading it.
#[derive(Debug, Clone, Default)]
pub(super) struct Label {
    key: Option<Key>,
    /// It was never attempted, because of an earlier letter of its key.
    is_behind: bool,
    attempts: u32,
    /// Not known of one that does not decode.
    died_at: Option<Timestamp>,
}

impl Label {
    pub(super) fn of(letter: &DeadLetter) -> Self {
        let is_behind = letter.reason == DeadLetterReason::Behind;
        let died_at = Some(letter.died_at);
        let (key, attempts) = (letter.envelope.key.clone(), letter.attempts);
        Self { key, is_behind, attempts, died_at }
    }

    pub(super) fn into_key(self) -> Option<Key> {
        self.key
    }
}

/// Which letters there are.
#[derive(Debug, Default)]
pub(super) struct Index {
    letters: BTreeMap<Position, Label>,
    keys: BTreeMap<Key, BTreeSet<Position>>,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.letters.contains_key(&position)
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.letters.keys().copied()
    }

    /// Letters that had died by then.
    pub(super) fn died_by(&self, time: Timestamp) -> impl Iterator<Item = Position> {
        let is_old = move |label: &Label| label.died_at.is_some_and(|died_at| died_at <= time);
        self.letters.iter().filter(move |(_, label)| is_old(label)).map(|(at, _)| *at)
    }

    /// When the oldest letter died.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.letters.values().filter_map(|label| label.died_at).min()
    }

    pub(super) fn insert(&mut self, position: Position, label: Label) {
        if let Some(key) = &label.key {
            self.keys.entry(key.clone()).or_default().insert(position);
        }
        self.letters.insert(position, label);
    }

    pub(super) fn remove(&mut self, position: Position) -> Option<Label> {
        let label = self.letters.remove(&position)?;
        if let Some(key) = &label.key
            && let Some(of_key) = self.keys.get_mut(key)
        {
            of_key.remove(&position);
            if of_key.is_empty() {
                self.keys.remove(key);
            }
        }
        Some(label)
    }

    /// The first letter of a key.
    pub(super) fn first(&self, key: &Key) -> Option<Position> {
        self.keys.get(key)?.first().copied()
    }

    /// The first letter of the key of a letter, which is the letter itself where it has no key.
    pub(super) fn first_beside(&self, position: Position) -> Option<Position> {
        let label = self.letters.get(&position)?;
        Some(label.key.as_ref().and_then(|key| self.first(key)).unwrap_or(position))
    }

    /// The first letter of a key, if nothing is before it any more that it was put behind.
    pub(super) fn ready(&self, key: &Key) -> Option<Position> {
        let first = self.first(key)?;
        self.letters.get(&first)?.is_behind.then_some(first)
    }

    /// How many attempts there were at a letter.
    pub(super) fn attempts(&self, position: Position) -> Option<u32> {
        self.letters.get(&position).map(|label| label.attempts)
    }

    /// The key of a letter.
    pub(super) fn key(&self, position: Position) -> Option<&Key> {
        self.letters.get(&position)?.key.as_ref()
    }

    /// Every key that has such a letter.
    pub(super) fn ready_keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.keys().filter(|key| self.ready(key).is_some())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests, though clippy does not see that
mod tests {
    use super::*;

    fn at(position: u64) -> Position {
        Position::new(position).unwrap()
    }

    #[test]
    fn a_letter_is_ready_once_nothing_is_before_it_that_it_was_put_behind() {
        let key = Key::new("k");
        let mut index = Index::default();
        for (position, is_behind) in [(4, false), (7, true), (9, true)] {
            let key = Some(key.clone());
            index.insert(at(position), Label { key, is_behind, ..Label::default() });
        }
        index.insert(at(5), Label::default());
        assert_eq!((index.first(&key), index.ready(&key)), (Some(at(4)), None));
        assert_eq!(index.first_beside(at(9)), Some(at(4)));
        assert_eq!(index.first_beside(at(5)), Some(at(5)), "alone without a key");
        index.remove(at(4));
        assert_eq!(index.ready_keys().collect::<Vec<_>>(), [&key]);
        index.remove(at(7));
        index.remove(at(9));
        assert_eq!((index.first(&key), index.len()), (None, 1));
    }
}
