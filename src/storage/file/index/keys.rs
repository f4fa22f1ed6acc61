//! Which keys may be among some records: a Bloom filter.
//!
//! See <https://en.wikipedia.org/wiki/Bloom_filter>; the hashes are made of two, as by Kirsch and
//! Mitzenmacher. With ten bits a key, one block in a hundred is looked at in vain.

const BITS: usize = 10;
const HASHES: u64 = 7;

/// Which keys there may be. Empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyFilter(pub(super) Vec<u8>);

impl KeyFilter {
    pub(super) fn of(keys: &mut Vec<u64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        let mut filter = Self(vec![0; (keys.len() * BITS).div_ceil(8)]);
        for key in keys {
            for bit in filter.bits(*key) {
                if let Some(byte) = filter.0.get_mut(bit / 8) {
                    *byte |= 1 << (bit % 8);
                }
            }
        }
        filter
    }

    pub(super) fn may_have(&self, key: u64) -> bool {
        let is_set =
            |bit: usize| self.0.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0);
        !self.0.is_empty() && self.bits(key).into_iter().all(is_set)
    }

    #[allow(clippy::cast_possible_truncation)] // below the length of the filter
    fn bits(&self, key: u64) -> [usize; HASHES as usize] {
        let count = (self.0.len() as u64 * 8).max(1);
        let step = key.rotate_left(32) | 1;
        let mut at = 0;
        [(); HASHES as usize].map(|()| {
            let bit = key.wrapping_add(step.wrapping_mul(at)) % count;
            at += 1;
            bit as usize
        })
    }
}

/// The hash of a key: FNV-1a, mixed. The same for ever, since it is in files.
pub(super) fn hash(key: &str) -> u64 {
    let fnv = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn few_strangers_pass() {
        let mut keys: Vec<u64> = (0..1000).map(|n| hash(&format!("order-{n}"))).collect();
        let filter = KeyFilter::of(&mut keys);
        let strangers = (0..10_000).map(|n| hash(&format!("customer-{n}")));
        let passed = strangers.filter(|key| filter.may_have(*key)).count();
        assert!(passed < 200, "{passed} of 10,000 pass");
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        assert_eq!(hash(""), 0xf52a_15e9_a9b5_e89b);
        assert_ne!(hash("a"), hash("b"));
    }

    proptest! {
        #[test]
        fn every_key_passes(keys in vec(any::<u64>(), 0..300)) {
            let filter = KeyFilter::of(&mut keys.clone());
            prop_assert!(keys.iter().all(|key| filter.may_have(*key)));
        }
    }
}
