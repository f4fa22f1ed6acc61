//! What was seen last, to know it again.

use std::collections::BTreeMap;

use crate::{message::Position, policy::Window, runtime::Timestamp};

/// What was seen last, within a [`Window`], by key.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    window: Window,
    by_key: BTreeMap<K, Remembered<V>>,
    by_position: BTreeMap<Position, K>,
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

impl<K: Ord + Clone, V> Recent<K, V> {
    pub(crate) fn new(window: Window, forgotten: Option<Position>) -> Self {
        let (by_key, by_position) = (BTreeMap::new(), BTreeMap::new());
        Self { window, by_key, by_position, newest: Timestamp::UNIX_EPOCH, forgotten }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&Remembered<V>> {
        self.by_key.get(key)
    }

    /// Remembers something, in place of what is remembered by that key.
    pub(crate) fn insert(&mut self, key: K, seen: Remembered<V>) {
        self.newest = self.newest.max(seen.published_at);
        self.by_position.insert(seen.position, key.clone());
        if let Some(old) = self.by_key.insert(key, seen) {
            self.by_position.remove(&old.position);
        }
    }

    /// The next one that is outside the window, and not remembered any more.
    pub(crate) fn forget(&mut self) -> Option<K> {
        let first = self.by_position.first_entry()?;
        let age = self.by_key.get(first.get()).map(|seen| self.newest.since(seen.published_at));
        let is_old = age.is_none_or(|age| age > self.window.age());
        if !is_old && self.by_key.len() <= self.window.count() {
            return None;
        }
        let (position, key) = first.remove_entry();
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

    fn seen(position: u64, second: u64) -> Remembered<()> {
        let published_at = Timestamp::UNIX_EPOCH.plus(Duration::from_secs(second));
        Remembered { position: Position::new(position).unwrap(), published_at, value: () }
    }

    #[test]
    fn the_oldest_are_forgotten_and_that_is_known() {
        let mut recent = Recent::new(Window::last(2), None);
        for position in 1..=4 {
            recent.insert(position, seen(position, position));
        }
        assert_eq!((recent.forget(), recent.forget(), recent.forget()), (Some(1), Some(2), None));
        assert_eq!(recent.forgotten(), Position::new(2));
        assert!(recent.get(&2).is_none() && recent.get(&3).is_some());
    }

    #[test]
    fn age_is_counted_from_publish_to_publish() {
        let mut recent = Recent::new(Window::last(9).max_age(Duration::from_secs(10)), None);
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
            let mut recent = Recent::new(window, None);
            let mut model: Vec<(u8, u64)> = Vec::new();
            for (at, key) in (1..).zip(keys) {
                recent.insert(key, seen(at, at));
                model.retain(|(other, _)| *other != key);
                model.push((key, at));
                let old = model.len().saturating_sub(count);
                let is_old = |(at_index, (_, seen)): (usize, &(u8, u64))| {
                    at_index < old || at - seen > age
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
