//! Which states a power loss leaves.

use tidings::testing::MemoryDisk;

/// Up to so many atoms, all subsets are tried.
const EXHAUSTIVE: usize = 12;

/// A small generator for the tests' own choices (xorshift).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 11) % bound.max(1)
    }
}

/// What each loss keeps, as bits: all subsets where there are few atoms, else the first ones, all but
/// one, only one, and some at random.
pub(crate) fn losses(disk: &MemoryDisk, dice: &mut Dice) -> Vec<u64> {
    let atoms = disk.atoms();
    assert!(atoms < 64, "{atoms} atoms");
    if atoms <= EXHAUSTIVE {
        return (0..1 << atoms).collect();
    }
    let all = (1 << atoms) - 1;
    let prefixes = (0..=atoms).map(|kept| (1 << kept) - 1);
    let single = (0..atoms).flat_map(|atom| [1 << atom, all & !(1 << atom)]);
    let random: Vec<u64> = (0..64).map(|_| dice.bits() & all).collect();
    prefixes.chain(single).chain(random).collect()
}

pub(crate) fn after(disk: &MemoryDisk, kept: u64) -> MemoryDisk {
    disk.after_power_loss(|atom| kept >> (atom % 64) & 1 == 1)
}

/// A power loss that keeps everything, nothing, or some of it.
pub(crate) fn any_loss(disk: &MemoryDisk, dice: &mut Dice) -> MemoryDisk {
    match dice.below(4) {
        0 => after(disk, 0),
        1 => after(disk, u64::MAX),
        _ => after(disk, dice.bits()),
    }
}
