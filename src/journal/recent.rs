//! What was seen last, to know it again.

use std::{
    collections::{VecDeque, hash_map::Entry},
    hash::Hash,
};

use crate::{
    message::Position,
    policy::Window,
    runtime::{Seeded, Table, Timestamp},
};

/// What was seen last, within a [`Window`], by key.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    window: Window,
    by_key: Table<K, Remembered<V>>,
    /// What is in the window, by position.
    in_order: VecDeque<Placed<K>>,
    /// When the newest one was published.
    newest: Timestamp,
    /// Something at this position was forgotten, and nothing at a later one.
    forgotten: Option<Position>,
}

/// Something that was seen: where, when it was published, and what is to be known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remembered<V> {
    pub(crate) position: Position,
    pub(crate) published_at: Timestamp,
    pub(crate) value: V,
}

#[derive(Debug)]
struct Placed<K> {
    position: Position,
    published_at: Timestamp,
    key: K,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    pub(crate) fn new(window: Window, forgotten: Option<Position>, seed: Seeded) -> Self {
        let (by_key, in_order) = (Table::with_hasher(seed), VecDeque::new());
        Self { window, by_key, in_order, newest: Timestamp::UNIX_EPOCH, forgotten }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&Remembered<V>> {
        self.by_key.get(key)
    }

    /// Remembers something that is not remembered yet.
    pub(crate) fn insert(&mut self, key: K, seen: Remembered<V>) {
        let (position, published_at) = (seen.position, seen.published_at);
        self.by_key.insert(key.clone(), seen);
        self.place(Placed { position, published_at, key });
    }

    /// Takes a key, until it is confirmed or given back. What has it already, if anything does.
    pub(crate) fn claim(&mut self, key: K, seen: Remembered<V>) -> Option<&Remembered<V>> {
        match self.by_key.entry(key) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(vacant) => {
                vacant.insert(seen);
                None
            }
        }
    }

    /// Remembers what has claimed a key, as this value.
    pub(crate) fn confirm(&mut self, key: K, value: V) {
        let Some(seen) = self.by_key.get_mut(&key) else { return };
        seen.value = value;
        let (position, published_at) = (seen.position, seen.published_at);
        self.place(Placed { position, published_at, key });
    }

    /// Gives a claimed key back.
    pub(crate) fn give_back(&mut self, key: &K) {
        self.by_key.remove(key);
    }

    fn place(&mut self, placed: Placed<K>) {
        self.newest = self.newest.max(placed.published_at);
        let is_before = |other: &Placed<K>| other.position < placed.position;
        // Lanes are not far apart, so that it mostly goes to the end.
        let at = match self.in_order.back() {
            Some(last) if !is_before(last) => self.in_order.partition_point(is_before),
            _ => self.in_order.len(),
        };
        self.in_order.insert(at, placed);
    }

    /// The next one that is outside the window, and not remembered any more.
    pub(crate) fn forget(&mut self) -> Option<K> {
        let first = self.in_order.front()?;
        let is_old = self.newest.since(first.published_at) > self.window.age();
        if !is_old && self.in_order.len() <= self.window.count() {
            return None;
        }
        let Placed { position, key, .. } = self.in_order.pop_front()?;
        self.by_key.remove(&key);
        self.forgotten = self.forgotten.max(Some(position));
        Some(key)
    }

    /// The last position of which something was forgotten.
    pub(crate) fn forgotten(&self) -> Option<Position> {
        self.forgotten
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests, though clippy does not see that
mod tests {
    use std::time::Duration;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::runtime::simulator::Simulator;

    fn recent<K: Hash + Eq + Clone>(window: Window) -> Recent<K, ()> {
        Recent::new(window, None, Seeded::new(&Simulator::new(1).runtime()))
    }

    fn seen(position: u64, second: u64) -> Remembered<()> {
        let published_at = Timestamp::UNIX_EPOCH.plus(Duration::from_secs(second));
        Remembered { position: Position::new(position).unwrap(), published_at, value: () }
    }

    #[test]
    fn the_oldest_are_forgotten_and_that_is_known() {
        let mut recent = recent(Window::last(2));
        for position in 1..=4 {
            recent.insert(position, seen(position, position));
        }
        assert_eq!((recent.forget(), recent.forget(), recent.forget()), (Some(1), Some(2), None));
        assert_eq!(recent.forgotten(), Position::new(2));
        assert!(recent.get(&2).is_none() && recent.get(&3).is_some());
    }

    #[test]
    fn age_is_counted_from_publish_to_publish() {
        let mut recent = recent(Window::last(9).max_age(Duration::from_secs(10)));
        recent.insert("a", seen(1, 100));
        recent.insert("b", seen(2, 110));
        assert_eq!(recent.forget(), None);
        recent.insert("c", seen(3, 111));
        assert_eq!((recent.forget(), recent.forget()), (Some("a"), None));
    }

    proptest! {
        #[test]
        fn it_is_a_map_of_the_last_ones(
            keys in vec(0_u8..20, 1..60),
            count in 1_usize..10,
            age in 0_u64..30,
        ) {
            let window = Window::last(count).max_age(Duration::from_secs(age));
            let mut recent = recent(window);
            let mut model: Vec<(u8, u64)> = Vec::new();
            for (at, key) in (1..).zip(keys) {
                let is_new = recent.claim(key, seen(at, at)).is_none();
                prop_assert_eq!(is_new, model.iter().all(|(other, _)| *other != key));
                match at % 3 {
                    _ if !is_new => {}
                    0 => recent.give_back(&key),
                    _ => {
                        recent.confirm(key, ());
                        model.push((key, at));
                    }
                }
                let newest = model.last().map_or(0, |(_, at)| *at);
                let old = model.len().saturating_sub(count);
                let is_old = |(at_index, (_, seen)): (usize, &(u8, u64))| {
                    at_index < old || newest - seen > age
                };
                let gone: Vec<_> =
                    model.iter().enumerate().filter(|one| is_old(*one)).map(|(_, one)| one.0).collect();
                let forgotten: Vec<_> = std::iter::from_fn(|| recent.forget()).collect();
                prop_assert_eq!(&forgotten, &gone);
                model.retain(|(key, _)| !gone.contains(key));
                for key in 0..20 {
                    let found = model.iter().find(|(other, _)| *other == key).map(|(_, at)| *at);
                    prop_assert_eq!(recent.get(&key).map(|seen| seen.position.get()), found);
                }
            }
        }
    }
}
