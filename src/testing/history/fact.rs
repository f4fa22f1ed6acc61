//! What can happen to a bus, seen from the outside.

use std::sync::Arc;

use crate::{event::Key, message::Position};

/// One thing that happened. Facts are recorded in the order in which they became known.
///
/// An event is named by a number of your own choice, the same at the publish and in handlers: it has to
/// travel in the payload. One number is one event of the journal; a publish that is tried again under
/// its idempotency key is the same event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// A process begins: whatever was under way in the last one is not any more.
    Began,
    /// The process has ended.
    Ended {
        /// How.
        how: End,
    },
    /// A subscription runs from now on, and is to get events of these names, from the first one on.
    Started {
        /// Its name.
        subscription: Arc<str>,
        /// The names of events.
        events: Vec<Arc<str>>,
    },
    /// A subscription was stopped, and may be started again in the same process.
    Stopped {
        /// Its name.
        subscription: Arc<str>,
    },
    /// Somebody is about to publish. Record it before the call.
    Publishing {
        /// Who: a thread, or a subscription whose handler does it.
        publisher: Arc<str>,
        /// The event.
        event: u64,
        /// The name of its type.
        name: Arc<str>,
        /// Its key.
        key: Option<Key>,
        /// The event that it stands for as well, where an idempotent handler is to handle one of both.
        copy_of: Option<u64>,
    },
    /// The publish was acknowledged.
    Acknowledged {
        /// The event.
        event: u64,
        /// Where it is, as the receipt says.
        position: Position,
    },
    /// The publish failed for sure.
    Refused {
        /// The event.
        event: u64,
    },
    /// Nobody knows how the publish ended: the event may appear or not.
    Unknown {
        /// The event.
        event: u64,
    },
    /// The event is in the log, as was seen by reading it.
    Found {
        /// The event.
        event: u64,
        /// Where.
        position: Position,
    },
    /// The whole log was read: what was not found is not there.
    ReadAll,
    /// What is durable of the log ends before this position now.
    LogEnds {
        /// The position that the next event will get.
        position: Position,
    },
    /// A handler is called.
    Called {
        /// Of which subscription.
        subscription: Arc<str>,
        /// With which event.
        event: u64,
        /// The event's key, as the handler sees it.
        key: Option<Key>,
        /// Where the event is.
        position: Position,
        /// Which attempt it is, from 1.
        attempt: u32,
    },
    /// The handler is done.
    Returned {
        /// Of which subscription.
        subscription: Arc<str>,
        /// The event.
        event: u64,
        /// How it ended.
        ending: Ending,
    },
    /// The acknowledgement is known to be committed.
    Settled {
        /// The subscription.
        subscription: Arc<str>,
        /// The event.
        event: u64,
    },
    /// A subscription has passed over an event.
    Skipped {
        /// The subscription.
        subscription: Arc<str>,
        /// The event.
        event: u64,
        /// Why; `None` if there is no telling.
        reason: Option<Skip>,
    },
    /// An event is among the dead letters of a subscription.
    Dead {
        /// The subscription.
        subscription: Arc<str>,
        /// The event.
        event: u64,
    },
    /// A dead letter is to be tried again.
    Revived {
        /// The subscription.
        subscription: Arc<str>,
        /// The event.
        event: u64,
    },
    /// A dead letter was given up.
    Discarded {
        /// The subscription.
        subscription: Arc<str>,
        /// The event.
        event: u64,
        /// Whether that is known to be committed.
        certain: bool,
    },
    /// A subscription says that it never got these positions.
    Lost {
        /// The subscription.
        subscription: Arc<str>,
        /// The first of them.
        first: Position,
        /// The last of them.
        last: Position,
    },
    /// Everything before this position is settled for a subscription, as its cursor says.
    Cursor {
        /// The subscription.
        subscription: Arc<str>,
        /// Where the cursor is.
        position: Position,
    },
    /// A subscription has nothing left to do.
    Rested {
        /// The subscription.
        subscription: Arc<str>,
    },
    /// Something was done outside that is to be done once for an event, as by
    /// [`Context::once`](crate::Context::once).
    Effect {
        /// The subscription.
        subscription: Arc<str>,
        /// The event.
        event: u64,
        /// Tells several effects apart.
        step: Arc<str>,
    },
    /// It is known to be on record that the effect was done, or known not to be.
    EffectKept {
        /// The subscription.
        subscription: Arc<str>,
        /// The event.
        event: u64,
        /// Which effect.
        step: Arc<str>,
        /// Whether it is on record.
        kept: bool,
    },
    /// What the handler published or stored for an event, together with its acknowledgement, was seen.
    Committed {
        /// The subscription.
        subscription: Arc<str>,
        /// The event that was handled.
        event: u64,
    },
    /// Everything that the handlers of a subscription have published and stored was looked at.
    Audited {
        /// The subscription.
        subscription: Arc<str>,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It shut down.
    Clean,
    /// It died; what it had written is there.
    Killed,
    /// The power failed; what was not synced may be gone.
    PowerLost,
}

/// How a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It succeeded.
    Handled,
    /// It failed, and is to be tried again.
    Failed,
    /// It panicked.
    Panicked,
    /// It failed, and is not to be tried again.
    Rejected,
}

/// Why an event was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// A copy of it was handled.
    Duplicate,
    /// Its time was over.
    Expired,
    /// A filter said so.
    Filtered,
    /// The subscription has given up on such events.
    Ignored,
    /// The subscription was too slow, and is to skip then.
    Missed,
}

impl Fact {
    /// The subscription that it is about.
    pub(super) fn subscription(&self) -> Option<&Arc<str>> {
        match self {
            Self::Started { subscription, .. }
            | Self::Stopped { subscription }
            | Self::Called { subscription, .. }
            | Self::Returned { subscription, .. }
            | Self::Settled { subscription, .. }
            | Self::Skipped { subscription, .. }
            | Self::Dead { subscription, .. }
            | Self::Revived { subscription, .. }
            | Self::Discarded { subscription, .. }
            | Self::Lost { subscription, .. }
            | Self::Cursor { subscription, .. }
            | Self::Rested { subscription }
            | Self::Effect { subscription, .. }
            | Self::EffectKept { subscription, .. }
            | Self::Committed { subscription, .. }
            | Self::Audited { subscription } => Some(subscription),
            _ => None,
        }
    }

    /// Whether what was under way in a subscription is not any more.
    pub(super) fn interrupts(&self) -> bool {
        matches!(self, Self::Began | Self::Ended { .. } | Self::Stopped { .. })
    }
}
