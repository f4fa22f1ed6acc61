//! One connection to the loopback.

use std::sync::Arc;

use super::{broker::Broker, channel::Channel, group::Member};
use crate::transport::bell::Bell;

/// Gives back what it has when it is dropped.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) broker: Arc<Broker>,
    pub(super) member: Member,
    pub(super) bell: Arc<Bell>,
}

impl Handle {
    pub(super) fn open(broker: Arc<Broker>) -> Arc<Self> {
        let of = Arc::downgrade(&broker);
        let bell = Bell::new(&broker.runtime, move |_| of.upgrade()?.look(Channel::due_after));
        let member = broker.join(&bell);
        Arc::new(Self { broker, member, bell })
    }

    pub(super) fn close(&self) {
        self.bell.stop();
        self.broker.leave(self.member);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}
