//! Hash tables that a run under a seed repeats.

use std::hash::{BuildHasher, DefaultHasher, Hasher};

use super::Runtime;

/// Hashes under a seed of the runtime: nobody outside can choose keys that collide.
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

/// A table by keys. It has no order that anything may depend on.
#[allow(clippy::disallowed_types)] // no randomness but that of the runtime
pub(crate) type Table<K, V> = std::collections::HashMap<K, V, Seeded>;

/// A table by hashes that are made already, of 32 bits.
#[allow(clippy::disallowed_types)] // no randomness in it
pub(crate) type ByHash<V> = std::collections::HashMap<u32, V, Hashed>;

/// Leaves a hash as it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hashed(u64);

impl BuildHasher for Hashed {
    type Hasher = Self;

    #[inline]
    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for Hashed {
    #[inline]
    fn write_u32(&mut self, hash: u32) {
        // A table uses the bits of both ends.
        self.0 = u64::from(hash) << 32 | u64::from(hash);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
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
