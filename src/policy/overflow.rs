//! What happens when a subscription on a volatile bus falls a whole ring behind.

/// What happens when a subscription on a volatile bus is so far behind that the ring is full.
///
/// On a durable bus nobody waits for a subscription: it reads on from storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Publishers wait for it. Inside a handler, where that could be for ever, publishing fails.
    #[default]
    Block,
    /// Publishing fails, with the event handed back.
    Fail,
    /// The subscription misses the oldest events, and counts them: see
    /// [`Status::skipped`](crate::Status::skipped). What its handlers are at is not taken from them.
    Skip,
}
