//! Ids of messages: UUIDs of version 7.

use crate::{
    message::MessageId,
    runtime::{Runtime, Timestamp},
};

/// Makes ids. An event of a volatile bus without an id of its own has one that follows from its time
/// and its position, so that nobody has to make or keep it: the random part is a random start that
/// counts up ([RFC 9562, section 6.2](https://www.rfc-editor.org/rfc/rfc9562#section-6.2), method 2).
#[derive(Debug)]
pub(super) struct Ids {
    runtime: Runtime,
    start: [u64; 2],
}

impl Ids {
    pub(super) fn new(runtime: &Runtime) -> Self {
        Self { start: [runtime.random(), runtime.random()], runtime: runtime.clone() }
    }

    /// The id of the event at this position.
    #[inline]
    pub(super) fn at(&self, position: u64, published_at: Timestamp) -> MessageId {
        let [first, second] = self.start;
        MessageId::v7(published_at, [first, second.wrapping_add(position << 2)])
    }

    /// An id that has nothing to do with any position.
    pub(super) fn fresh(&self, now: Timestamp) -> MessageId {
        MessageId::v7(now, [self.runtime.random(), self.runtime.random()])
    }
}
