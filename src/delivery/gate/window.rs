//! The outcomes of the last calls.

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

const FAILED: u8 = 1;
const SLOW: u8 = 2;

/// The outcomes of the last calls, and how many of them were bad.
#[derive(Debug)]
pub(super) struct Window {
    /// Bits for each call; from `next` on the oldest ones, once it is full.
    calls: Vec<u8>,
    most: usize,
    next: usize,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

impl Window {
    /// Of so many calls, from 1.
    pub(super) fn new(most: u32) -> Self {
        Self { calls: Vec::new(), most: most as usize, next: 0, failed: 0, slow: 0 }
    }

    /// How many calls it knows.
    #[allow(clippy::cast_possible_truncation)] // at most as many as fit
    pub(super) fn len(&self) -> u32 {
        self.calls.len() as u32
    }

    /// Whether more good outcomes would change nothing.
    pub(super) fn is_spotless(&self) -> bool {
        self.calls.len() == self.most && self.failed == 0 && self.slow == 0
    }

    pub(super) fn push(&mut self, outcome: Outcome) {
        let bits = (u8::from(outcome.failed) * FAILED) | (u8::from(outcome.slow) * SLOW);
        let old = match self.calls.get_mut(self.next) {
            Some(call) => std::mem::replace(call, bits),
            None => {
                self.calls.push(bits);
                0
            }
        };
        self.next = (self.next + 1) % self.most;
        self.failed = self.failed + u32::from(outcome.failed) - u32::from(old & FAILED != 0);
        self.slow = self.slow + u32::from(outcome.slow) - u32::from(old & SLOW != 0);
    }

    /// So many good outcomes.
    pub(super) fn push_good(&mut self, count: u64) {
        for _ in 0..count {
            if self.is_spotless() {
                return;
            }
            self.push(Outcome { failed: false, slow: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_counts_what_is_bad_among_the_last_calls(
            most in 1_u32..40,
            calls in prop::collection::vec((any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut window = Window::new(most);
            for (at, (failed, slow)) in calls.iter().copied().enumerate() {
                match (failed, slow) {
                    (false, false) => window.push_good(1),
                    _ => window.push(Outcome { failed, slow }),
                }
                let last = &calls[(at + 1).saturating_sub(most as usize)..=at];
                let count = |bad: fn(&&(bool, bool)) -> bool| last.iter().filter(bad).count();
                prop_assert_eq!(window.len() as usize, last.len());
                prop_assert_eq!(window.failed as usize, count(|call| call.0));
                prop_assert_eq!(window.slow as usize, count(|call| call.1));
            }
            window.push_good(u64::MAX);
            prop_assert!(window.is_spotless());
        }
    }
}
