//! What becomes of an event in the end.

use std::{collections::BTreeSet, sync::Arc};

use crate::testing::Ending;

/// What a handler makes of an event at an attempt.
pub(super) type Judge<E> = Arc<dyn Fn(&E, u32) -> Ending + Send + Sync>;

/// What becomes of an event in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Handled,
    /// A dead letter after so many attempts.
    Dead {
        attempts: u32,
    },
}

/// The attempts that there may be at an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempts {
    /// Made before.
    pub(super) done: u32,
    /// How many more there are at most.
    pub(super) most: u32,
    /// How many processes were killed meanwhile: each may count as a failed attempt.
    pub(super) kills: u32,
}

impl Attempts {
    /// What may become of an event. One fate, where no process was killed.
    pub(super) fn fates<E>(self, event: &E, judge: &Judge<E>) -> BTreeSet<Fate> {
        let mut fates = BTreeSet::new();
        let mut next = BTreeSet::from([(self.done.saturating_add(1), self.kills)]);
        while let Some((attempt, kills)) = next.pop_first() {
            if kills > 0 {
                next.insert((attempt.saturating_add(1), kills - 1));
            }
            match judge(event, attempt) {
                Ending::Handled => _ = fates.insert(Fate::Handled),
                Ending::Failed | Ending::Panicked if attempt - self.done < self.most => {
                    next.insert((attempt + 1, kills));
                }
                _ => _ = fates.insert(Fate::Dead { attempts: attempt }),
            }
        }
        fates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(endings: &'static [Ending], done: u32, most: u32, kills: u32) -> Vec<Fate> {
        let judge: Judge<()> = Arc::new(|(), attempt| {
            endings.get(attempt as usize - 1).copied().unwrap_or(Ending::Failed)
        });
        Attempts { done, most, kills }.fates(&(), &judge).into_iter().collect()
    }

    #[test]
    fn an_event_is_tried_until_it_is_handled_rejected_or_there_is_no_attempt_left() {
        use Ending::{Failed, Handled, Panicked, Rejected};
        assert_eq!(fates(&[Failed, Panicked, Handled], 0, 3, 0), [Fate::Handled]);
        assert_eq!(fates(&[Failed, Rejected, Handled], 0, 3, 0), [Fate::Dead { attempts: 2 }]);
        assert_eq!(fates(&[Failed, Failed, Handled], 0, 2, 0), [Fate::Dead { attempts: 2 }]);
        assert_eq!(fates(&[Failed, Failed, Handled], 2, 2, 0), [Fate::Handled]);
    }

    #[test]
    fn a_killed_process_may_count_as_an_attempt() {
        use Ending::{Failed, Handled};
        assert_eq!(fates(&[Failed, Handled, Failed], 0, 3, 0), [Fate::Handled]);
        let dead = |attempts| Fate::Dead { attempts };
        assert_eq!(fates(&[Failed, Handled, Failed], 0, 3, 1), [Fate::Handled, dead(3)]);
        assert_eq!(fates(&[], 0, 1, 2), [dead(1), dead(2), dead(3)]);
    }
}
