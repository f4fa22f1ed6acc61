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
}

/// Which letters there are.
#[derive(Debug, Default)]
pub(super) struct Index {
    letters: BTreeMap<Position, Label>,
    /// About to be given up. Whoever looks does not find them, but they hold their keys until that is
    /// committed.
    leaving: BTreeMap<Position, Label>,
    /// Of both.
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

    /// Removes a letter that was handled. False where there is none.
    pub(super) fn remove(&mut self, position: Position) -> bool {
        let Some(label) = self.letters.remove(&position) else { return false };
        self.free(position, &label);
        true
    }

    /// A letter is about to be given up. False where there is none.
    pub(super) fn begin_to_leave(&mut self, position: Position) -> bool {
        let Some(label) = self.letters.remove(&position) else { return false };
        self.leaving.insert(position, label);
        true
    }

    /// It was not given up.
    pub(super) fn stay(&mut self, position: Position) {
        if let Some(label) = self.leaving.remove(&position) {
            self.letters.insert(position, label);
        }
    }

    /// It was given up. Returns its key.
    pub(super) fn leave(&mut self, position: Position) -> Option<Key> {
        let label = self.leaving.remove(&position)?;
        self.free(position, &label);
        label.key
    }

    /// A letter does not hold its key any more.
    fn free(&mut self, position: Position, label: &Label) {
        if let Some(key) = &label.key
            && let Some(of_key) = self.keys.get_mut(key)
        {
            of_key.remove(&position);
            if of_key.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    /// Whether any letter has a key.
    pub(super) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The first letter of a key, be it about to be given up.
    pub(super) fn first(&self, key: &Key) -> Option<Position> {
        self.keys.get(key)?.first().copied()
    }

    /// Whether the first letter of a key is about to be given up.
    pub(super) fn is_leaving(&self, key: &Key) -> bool {
        self.first(key).is_some_and(|first| self.leaving.contains_key(&first))
    }

    /// The first letter of the key of a letter, those aside that are about to be given up. It is the
    /// letter itself where it has no key.
    pub(super) fn first_beside(&self, position: Position) -> Option<Position> {
        let Some(key) = &self.letters.get(&position)?.key else { return Some(position) };
        self.keys.get(key)?.iter().find(|other| self.contains(**other)).copied()
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

    fn index(letters: &[(u64, bool)], key: &Key) -> Index {
        let mut index = Index::default();
        for (position, is_behind) in letters {
            let label = Label { key: Some(key.clone()), is_behind: *is_behind, ..Label::default() };
            index.insert(at(*position), label);
        }
        index
    }

    #[test]
    fn a_letter_is_ready_once_nothing_is_before_it_that_it_was_put_behind() {
        let key = Key::new("k");
        let mut index = index(&[(4, false), (7, true), (9, true)], &key);
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
    #[test]
    fn a_letter_holds_its_key_until_it_has_left_though_nobody_finds_it() {
        let key = Key::new("k");
        let mut index = index(&[(4, false), (7, true), (9, false)], &key);
        assert!(index.begin_to_leave(at(4)) && !index.begin_to_leave(at(4)));
        assert_eq!((index.contains(at(4)), index.len()), (false, 2));
        assert_eq!((index.first(&key), index.ready(&key)), (Some(at(4)), None));
        assert_eq!(index.first_beside(at(9)), Some(at(7)));
        assert!(index.is_leaving(&key));
        index.stay(at(4));
        assert_eq!((index.first_beside(at(9)), index.is_leaving(&key)), (Some(at(4)), false));

        index.begin_to_leave(at(4));
        assert_eq!(index.leave(at(4)), Some(key.clone()));
        assert_eq!((index.ready(&key), index.is_leaving(&key)), (Some(at(7)), false));
        index.begin_to_leave(at(7));
        index.begin_to_leave(at(9));
        assert_eq!((index.len(), index.has_keys()), (0, true));
        index.leave(at(9));
        index.leave(at(7));
        assert!(!index.has_keys());
    }
}
