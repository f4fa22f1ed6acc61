//! Waiting until a subscription is done with an event.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::{Subscriber, formation::Formation};
use crate::{journal::GroupId, message::Position, runtime::Tick};

/// Somebody waits until all lanes are past a position, and hold nothing that is there.
pub(super) struct Watch {
    position: Position,
    /// The lanes that are.
    past: Mutex<BTreeSet<(GroupId, u32)>>,
}

impl Watch {
    fn is_past(&self, formation: &Formation) -> bool {
        let past = self.past.lock();
        formation.numbers().all(|lane| past.contains(&(formation.group, lane)))
    }
}

/// Who waits for a subscription.
#[derive(Default)]
pub(super) struct Watches {
    count: AtomicUsize,
    all: Mutex<Vec<Arc<Watch>>>,
}

impl Watches {
    /// Whether anybody waits.
    #[inline]
    pub(super) fn is_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Takes note of a lane that is past some of the positions. True if somebody is to be told.
    pub(super) fn note(&self, lane: (GroupId, u32), is_past: impl Fn(Position) -> bool) -> bool {
        let note = |watch: &Arc<Watch>| is_past(watch.position) && watch.past.lock().insert(lane);
        self.all.lock().iter().filter(|watch| note(watch)).count() > 0
    }

    fn add(&self, position: Position) -> Arc<Watch> {
        let watch = Arc::new(Watch { position, past: Mutex::default() });
        self.all.lock().push(Arc::clone(&watch));
        self.count.fetch_add(1, Ordering::AcqRel);
        watch
    }

    fn remove(&self, watch: &Arc<Watch>) {
        self.all.lock().retain(|other| !Arc::ptr_eq(other, watch));
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What became of an event that was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Settled,
    Dead,
    /// Not settled at the deadline, or when the subscription stopped.
    Open,
}

impl Subscriber {
    /// Waits until the event at a position is settled, and that is committed.
    pub(crate) fn wait_settled(&self, position: Position, deadline: Tick) -> Waited {
        let watch = self.watches.add(position);
        self.wake();
        let is_past = || watch.is_past(&self.formation());
        let ready = || is_past() || !self.is_alive();
        self.runtime().wait(self.journal.quiet(), Some(deadline), ready);
        let is_past = is_past();
        self.watches.remove(&watch);
        match is_past {
            false => Waited::Open,
            true if self.dead.contains(position) => Waited::Dead,
            true => Waited::Settled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_no_longer_waits_is_told_nothing() {
        let watches = Watches::default();
        let (first, second) = (watches.add(Position::FIRST), watches.add(Position::FIRST));
        assert!(watches.note((0, 0), |_| true));
        watches.remove(&first);
        assert!(watches.is_any() && watches.note((0, 1), |_| true));
        watches.remove(&second);
        assert!(!watches.is_any() && !watches.note((0, 2), |_| true));
    }
}
