//! What was seen last, to know it again.

use std::{
    collections::{BTreeMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher, Hash},
};

use crate::{
    message::Position,
    policy::Window,
    runtime::{ByHash, Seeded, Timestamp},
};

/// What was seen last, up to a number and an age. Age is counted from publish to publish, so that a
/// window is the same however fast it is handled, and however often.
///
/// All is in one row of slots, which are used in turn: what comes and what goes at a time lies together.
pub(crate) struct Recent<K, V, S = Seeded> {
    window: Window,
    hashes: S,
    slots: Vec<Option<Known<K, V>>>,
    free: Vec<u32>,
    /// The slots by the hash of what is in them. Small, since every look at it misses the caches.
    by_hash: ByHash<u32>,
    /// The slots of what has the hash of something else.
    collided: BTreeMap<u32, Vec<u32>>,
    /// The slots of what is in the window, by position.
    in_order: VecDeque<(Position, u32)>,
    /// When the newest one was published.
    newest: Timestamp,
    /// Something at this position was forgotten, and nothing at a later one.
    forgotten: Option<Position>,
}

/// Something that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remembered<V> {
    pub(crate) position: Position,
    pub(crate) published_at: Timestamp,
    pub(crate) value: V,
}

struct Known<K, V> {
    hash: u32,
    key: K,
    seen: Remembered<V>,
}

/// Where something is remembered, until it is given back or forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl<K: Hash + Eq, V, S: BuildHasher> Recent<K, V, S> {
    pub(crate) fn new(window: Window, forgotten: Option<Position>, hashes: S) -> Self {
        Self {
            window,
            hashes,
            slots: Vec::new(),
            free: Vec::new(),
            by_hash: ByHash::default(),
            collided: BTreeMap::new(),
            in_order: VecDeque::new(),
            newest: Timestamp::UNIX_EPOCH,
            forgotten,
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&Remembered<V>> {
        self.at(self.find(self.hash(key), key)?).map(|(_, seen)| seen)
    }

    /// What a slot has.
    pub(crate) fn at(&self, Slot(slot): Slot) -> Option<(&K, &Remembered<V>)> {
        self.known(slot).map(|known| (&known.key, &known.seen))
    }

    /// Remembers something that is not remembered yet.
    pub(crate) fn insert(&mut self, key: K, seen: Remembered<V>) {
        let slot = self.add(self.hash(&key), key, seen);
        self.place(slot);
    }

    /// Takes a key, until it is confirmed or given back. An error is where it is already.
    pub(crate) fn claim(&mut self, key: K, seen: Remembered<V>) -> Result<Slot, Slot> {
        let hash = self.hash(&key);
        match self.find(hash, &key) {
            Some(slot) => Err(slot),
            None => Ok(self.add(hash, key, seen)),
        }
    }

    /// Remembers what has claimed a key, as this value.
    pub(crate) fn confirm(&mut self, slot: Slot, value: V) {
        if let Some(Some(known)) = self.slots.get_mut(slot.0 as usize) {
            known.seen.value = value;
            self.place(slot);
        }
    }

    /// Gives a claimed key back.
    pub(crate) fn give_back(&mut self, slot: Slot) {
        self.remove(slot.0);
    }

    /// The next one that is outside the window, and not remembered any more.
    pub(crate) fn forget(&mut self) -> Option<K> {
        let (position, slot) = *self.in_order.front()?;
        let published_at = self.known(slot)?.seen.published_at;
        let is_old = self.newest.since(published_at) > self.window.age();
        if !is_old && self.in_order.len() <= self.window.count() {
            return None;
        }
        self.in_order.pop_front();
        self.forgotten = self.forgotten.max(Some(position));
        self.remove(slot)
    }

    /// The last position of which something was forgotten.
    pub(crate) fn forgotten(&self) -> Option<Position> {
        self.forgotten
    }

    fn known(&self, slot: u32) -> Option<&Known<K, V>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    #[allow(clippy::cast_possible_truncation)] // that is what is wanted
    fn hash(&self, key: &K) -> u32 {
        self.hashes.hash_one(key) as u32
    }

    fn find(&self, hash: u32, key: &K) -> Option<Slot> {
        let first = *self.by_hash.get(&hash)?;
        let is_it = |slot: &u32| self.known(*slot).is_some_and(|known| known.key == *key);
        let others = || self.collided.get(&hash)?.iter().copied().find(is_it);
        Some(first).filter(is_it).or_else(others).map(Slot)
    }

    fn add(&mut self, hash: u32, key: K, seen: Remembered<V>) -> Slot {
        let known = Some(Known { hash, key, seen });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = known;
                slot
            }
            None => {
                self.slots.push(known);
                // Memory ends long before.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if *self.by_hash.entry(hash).or_insert(slot) != slot {
            self.collided.entry(hash).or_default().push(slot);
        }
        Slot(slot)
    }

    fn remove(&mut self, slot: u32) -> Option<K> {
        let Known { hash, key, .. } = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        if let Entry::Occupied(mut first) = self.by_hash.entry(hash) {
            let mut others = self.collided.remove(&hash).unwrap_or_default();
            if *first.get() != slot {
                others.retain(|other| *other != slot);
            } else if let Some(heir) = others.pop() {
                first.insert(heir);
            } else {
                first.remove();
            }
            if !others.is_empty() {
                self.collided.insert(hash, others);
            }
        }
        Some(key)
    }

    fn place(&mut self, Slot(slot): Slot) {
        let Some(Known { seen, .. }) = self.known(slot) else { return };
        let position = seen.position;
        self.newest = self.newest.max(seen.published_at);
        let is_before = |other: &(Position, u32)| other.0 < position;
        // Lanes are not far apart, so that it mostly goes to the end.
        let at = match self.in_order.back() {
            Some(last) if !is_before(last) => self.in_order.partition_point(is_before),
            _ => self.in_order.len(),
        };
        self.in_order.insert(at, (position, slot));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests, though clippy does not see that
mod tests {
    use std::{hash::Hasher, time::Duration};

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::runtime::simulator::Simulator;

    fn recent<K: Hash + Eq>(window: Window) -> Recent<K, ()> {
        Recent::new(window, None, Seeded::new(&Simulator::new(1).runtime()))
    }

    /// Has three hashes in all.
    #[derive(Default)]
    struct Colliding(u64);

    impl BuildHasher for Colliding {
        type Hasher = Self;

        fn build_hasher(&self) -> Self {
            Self::default()
        }
    }

    impl Hasher for Colliding {
        fn write(&mut self, bytes: &[u8]) {
            self.0 += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }

        fn finish(&self) -> u64 {
            self.0 % 3
        }
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

    #[test]
    fn what_comes_late_is_forgotten_by_its_position() {
        let mut recent = recent(Window::last(1));
        for position in [3, 1, 5, 2, 4] {
            recent.insert(position, seen(position, 1));
        }
        let forgotten: Vec<_> = std::iter::from_fn(|| recent.forget()).collect();
        assert_eq!(forgotten, [1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn it_is_a_map_of_the_last_ones(
            keys in vec(0_u8..20, 1..60),
            count in 1_usize..10,
            age in 0_u64..30,
        ) {
            let window = Window::last(count).max_age(Duration::from_secs(age));
            let mut recent = Recent::new(window, None, Colliding::default());
            let mut model: Vec<(u8, u64)> = Vec::new();
            for (at, key) in (1..).zip(keys) {
                let known = model.iter().find(|(other, _)| *other == key);
                match recent.claim(key, seen(at, at)) {
                    Err(slot) => {
                        let position = recent.at(slot).map(|(_, seen)| seen.position.get());
                        prop_assert_eq!(position, known.map(|(_, at)| *at));
                    }
                    Ok(slot) => {
                        prop_assert_eq!(known, None);
                        if at % 3 == 0 {
                            recent.give_back(slot);
                        } else {
                            recent.confirm(slot, ());
                            model.push((key, at));
                        }
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
