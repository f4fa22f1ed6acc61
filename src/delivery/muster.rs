//! Where the lanes of a subscription come together for a change of their number.

use std::sync::atomic::Ordering;

use super::lane::Lane;
use crate::runtime::sync::{AtomicBool, Mutex};

/// Where the lanes of a subscription come together. Each comes in once it is done with what it was
/// at; the last one makes it complete. Called off, each goes back to its work. It is also where a lane
/// is to be found before it begins.
pub(crate) struct Muster<L = Lane> {
    called: AtomicBool,
    state: Mutex<State<L>>,
}

/// What a muster has to know of a lane.
pub(super) trait Numbered {
    fn number(&self) -> u32;
    /// Whether it has come to a stop.
    fn is_in(&self) -> bool;
}

impl Numbered for Lane {
    fn number(&self) -> u32 {
        self.number()
    }

    fn is_in(&self) -> bool {
        self.is_in()
    }
}

struct State<L> {
    /// By number; those that are in.
    lanes: Vec<Option<L>>,
    /// Nobody needs the lanes any more.
    disbanded: bool,
}

/// What becomes of a lane that comes in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Others are missing.
    Waits,
    /// It was the last.
    Completes,
}

impl<L: Numbered> State<L> {
    fn is_complete(&self) -> bool {
        self.lanes.iter().all(|lane| lane.as_ref().is_some_and(L::is_in))
    }
}

impl<L: Numbered> Muster<L> {
    pub(super) fn new(lanes: usize) -> Self {
        let lanes = (0..lanes).map(|_| None).collect();
        Self {
            called: AtomicBool::new(false),
            state: Mutex::new(State { lanes, disbanded: false }),
        }
    }

    /// Has the lanes come in. They are to be woken.
    pub(super) fn call(&self) {
        self.called.store(true, Ordering::Release);
    }

    /// Sends the lanes back to their work. They are to be woken.
    pub(super) fn call_off(&self) {
        let _in_order = self.state.lock();
        self.called.store(false, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_called(&self) -> bool {
        self.called.load(Ordering::Acquire)
    }

    /// A lane comes in.
    pub(super) fn come_in(&self, lane: L) -> Arrival {
        let mut state = self.state.lock();
        if state.disbanded {
            drop(state);
            drop(lane);
            return Arrival::Waits;
        }
        if let Some(place) = state.lanes.get_mut(lane.number() as usize) {
            *place = Some(lane);
        }
        if state.is_complete() { Arrival::Completes } else { Arrival::Waits }
    }

    /// A lane goes to its work. `None` while it has to wait, unless it is `excused`, and where it
    /// is not here.
    pub(super) fn go(&self, lane: u32, excused: bool) -> Option<L> {
        let mut state = self.state.lock();
        let place = state.lanes.get_mut(lane as usize)?;
        // One that has not begun yet is still to come in.
        let has_to_wait = self.is_called() && place.as_ref().is_some_and(L::is_in);
        if has_to_wait && !excused { None } else { place.take() }
    }

    /// All lanes, if all are in.
    pub(super) fn take(&self) -> Option<Vec<L>> {
        let mut state = self.state.lock();
        if !state.is_complete() {
            return None;
        }
        Some(state.lanes.iter_mut().filter_map(Option::take).collect())
    }

    /// Nobody needs the lanes any more.
    pub(super) fn disband(&self) {
        let mut state = self.state.lock();
        state.disbanded = true;
        let lanes = std::mem::take(&mut state.lanes);
        drop(state);
        drop(lanes);
    }
}

#[cfg(all(test, tidings_loom))]
mod models;
