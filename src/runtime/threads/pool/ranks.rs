//! The queue of a pool whose tasks are not all of one priority.

use std::collections::VecDeque;

use crate::runtime::Priority;

/// One rank of tasks for each priority.
const RANKS: usize = 3;

/// So often in a row a rank that has something is passed over for higher ones, and no more.
const PASSES: u32 = 16;

/// What waits, by priority, and among equals in the order in which it came.
pub(super) struct Ranks<T> {
    ranks: [Rank<T>; RANKS],
}

struct Rank<T> {
    waiting: VecDeque<T>,
    /// How often it was passed over since something was taken from it.
    passed: u32,
}

impl<T> Ranks<T> {
    pub(super) fn push(&mut self, priority: Priority, task: T) {
        let at = match priority {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
        };
        self.ranks[at].waiting.push_back(task);
    }

    /// Takes one of the highest rank that has any, unless a lower one was passed over too often.
    pub(super) fn pop(&mut self) -> Option<T> {
        let ranks = || self.ranks.iter().enumerate().filter(|(_, rank)| rank.is_waiting());
        let starving = ranks().filter(|(_, rank)| rank.passed >= PASSES);
        // Of those that were passed over as often, the higher one.
        let starving = starving.rev().max_by_key(|(_, rank)| rank.passed);
        let (at, _) = starving.or_else(|| ranks().next())?;
        for other in self.ranks.iter_mut().skip(at + 1).filter(|rank| rank.is_waiting()) {
            other.passed += 1;
        }
        let rank = &mut self.ranks[at];
        rank.passed = 0;
        rank.waiting.pop_front()
    }
}

impl<T> Rank<T> {
    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl<T> Default for Ranks<T> {
    fn default() -> Self {
        Self { ranks: std::array::from_fn(|_| Rank { waiting: VecDeque::new(), passed: 0 }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Priority; RANKS] = [Priority::High, Priority::Normal, Priority::Low];

    #[test]
    fn higher_ones_come_first_and_equals_in_order() {
        let mut ranks = Ranks::default();
        for (priority, name) in [(2, "d"), (1, "b"), (0, "a"), (1, "c")] {
            ranks.push(ALL[priority], name);
        }
        let order: Vec<_> = std::iter::from_fn(|| ranks.pop()).collect();
        assert_eq!(order, ["a", "b", "c", "d"]);
    }

    proptest! {
        #[test]
        fn nothing_waits_for_ever_and_nothing_is_lost(
            pushes in prop::collection::vec(prop::collection::vec(0_usize..RANKS, 0..3), 1..400),
        ) {
            let mut ranks = Ranks::default();
            let (mut waiting, mut passed) = ([0_u32; RANKS], [0_u32; RANKS]);
            let rest = std::iter::repeat_n(Vec::new(), 800);
            for push in pushes.into_iter().chain(rest) {
                for rank in push {
                    ranks.push(ALL[rank], rank);
                    waiting[rank] += 1;
                }
                let Some(taken) = ranks.pop() else { continue };
                waiting[taken] -= 1;
                for rank in 0..RANKS {
                    let waits = rank != taken && waiting[rank] > 0;
                    passed[rank] = if waits { passed[rank] + 1 } else { 0 };
                    prop_assert!(passed[rank] <= PASSES + 2, "rank {rank} starves");
                }
            }
            prop_assert_eq!(waiting, [0; RANKS]);
        }
    }
}
