//! How a lane deals with the gate of its subscription.

use super::{Held, Lane};
use crate::delivery::gate::{Refusal, Rest};

impl Lane {
    pub(super) fn is_shut_out(&self) -> bool {
        self.subscriber.gate.as_ref().is_some_and(|gate| gate.rest(self.now()).is_some())
    }

    /// Whether the lane is to rest before the gate. It will be woken when it may go on.
    pub(super) fn waits_at_gate(&mut self) -> bool {
        let gate = self.subscriber.gate.as_ref();
        let Some(rest) = gate.and_then(|gate| gate.rest(self.now())) else { return false };
        match rest {
            Rest::Until(at) => self.wake_at(at),
        }
        true
    }

    /// The event, if it may go on to its handler. Otherwise it is parked.
    pub(super) fn admit(&mut self, held: Held) -> Option<Held> {
        let Some(gate) = &self.subscriber.gate else { return Some(held) };
        let now = self.now();
        match gate.admit(&held, now) {
            Ok(()) => return Some(held),
            Err(Refusal::Shut) => self.parked.park(held, now),
            Err(Refusal::Until(at)) => self.parked.park(held, at),
        }
        None
    }
}
