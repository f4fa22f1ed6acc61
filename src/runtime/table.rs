//! Hash tables that a run under a seed repeats.

use std::hash::{BuildHasher, DefaultHasher, Hasher};

use super::Runtime;

/// A hash table for keys that may come from outside: nobody can choose them to collide. Its order is
/// that of the runtime's randomness; better not to depend on it at all.
#[allow(clippy::disallowed_types)] // not of the system's randomness
pub(crate) type Table<K, V> = std::collections::HashMap<K, V, Seeded>;

/// Hashes under a seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(runtime: &Runtime) -> Self {
        Self(runtime.random())
    }
}

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    #[inline]
    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::simulator::Simulator;

    #[test]
    fn a_seed_decides_the_hashes() {
        let hash = |seed| Seeded::new(&Simulator::new(seed).runtime()).hash_one("key");
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }
}
