//! Who may be handled beside whom, where one of them may end the process.

use std::sync::Arc;

use parking_lot::Mutex;

/// Keeps events with which a process has ended apart from all others that a bus is careful with. If
/// the process ends again, it is known with which.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Being handled side by side.
    together: usize,
    /// One is being handled, and no other.
    alone: bool,
}

/// The time for which an event is being handled.
#[derive(Debug)]
pub(super) struct Stay {
    quarantine: Arc<Quarantine>,
    alone: bool,
}

impl Quarantine {
    /// Lets an event in, unless it has to wait for others.
    pub(super) fn enter(self: &Arc<Self>, alone: bool) -> Option<Stay> {
        let mut state = self.state.lock();
        if state.alone || alone && state.together > 0 {
            return None;
        }
        if alone {
            state.alone = true;
        } else {
            state.together += 1;
        }
        drop(state);
        Some(Stay { quarantine: Arc::clone(self), alone })
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut state = self.quarantine.state.lock();
        if self.alone {
            state.alone = false;
        } else {
            state.together -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_alone() {
        let quarantine = Arc::new(Quarantine::default());
        let (one, two) = (quarantine.enter(false), quarantine.enter(false));
        assert!(one.is_some() && two.is_some());
        drop(one);
        assert!(quarantine.enter(true).is_none());
        drop(two);
        let suspect = quarantine.enter(true);
        assert!(suspect.is_some());
        assert!(quarantine.enter(true).is_none() && quarantine.enter(false).is_none());
        drop(suspect);
        assert!(quarantine.enter(false).is_some());
    }
}
