//! What all connections to one loopback share.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{channel::Channel, group::Member};
use crate::{
    runtime::{Runtime, Tick},
    transport::{Capabilities, TransportError, bell::Bell},
};

pub(super) struct Broker {
    pub(super) runtime: Runtime,
    pub(super) capabilities: Capabilities,
    channel: Mutex<Channel>,
    /// Who wants to be notified. Never locked together with the channel.
    bells: Mutex<Vec<(Member, Weak<Bell>)>>,
}

impl Broker {
    pub(super) fn new(runtime: Runtime, capabilities: Capabilities, capacity: usize) -> Arc<Self> {
        let channel = Channel::new(capabilities, capacity, runtime.random());
        let (channel, bells) = (Mutex::new(channel), Mutex::default());
        Arc::new(Self { runtime, capabilities, channel, bells })
    }

    pub(super) fn join(&self, bell: &Arc<Bell>) -> Member {
        let member = self.channel.lock().join();
        self.bells.lock().push((member, Arc::downgrade(bell)));
        member
    }

    pub(super) fn leave(&self, member: Member) {
        self.bells.lock().retain(|(other, _)| *other != member);
        self.change(|channel, now| channel.leave(member, now));
    }

    /// Looks at the channel, or does something to it of which nobody need know.
    pub(super) fn look<R>(&self, look: impl FnOnce(&mut Channel, Tick) -> R) -> R {
        let now = self.runtime.now();
        look(&mut self.channel.lock(), now)
    }

    /// Does something to the channel, and notifies all where it says so.
    pub(super) fn change(&self, change: impl FnOnce(&mut Channel, Tick) -> bool) {
        let (rings, due) = self.look(|channel, now| {
            let rings = change(channel, now);
            (rings, channel.due_after(now))
        });
        self.notify(rings, due);
    }

    /// The same, of something that fails where nothing changes.
    pub(super) fn try_change<R>(
        &self,
        change: impl FnOnce(&mut Channel, Tick) -> Result<(R, bool), TransportError>,
    ) -> Result<R, TransportError> {
        let ((value, rings), due) = self.look(|channel, now| {
            let changed = change(channel, now)?;
            Ok((changed, channel.due_after(now)))
        })?;
        self.notify(rings, due);
        Ok(value)
    }

    fn notify(&self, rings: bool, due: Option<Tick>) {
        let bells: Vec<_> =
            self.bells.lock().iter().filter_map(|(_, bell)| bell.upgrade()).collect();
        for bell in bells {
            if rings {
                bell.ring();
            }
            if let Some(due) = due {
                bell.ring_at(due);
            }
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("capabilities", &self.capabilities).finish_non_exhaustive()
    }
}
