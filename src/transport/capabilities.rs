//! What a transport promises.

use std::time::Duration;

/// In which order a group's first deliveries come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Order {
    /// In any order.
    #[default]
    None,
    /// Parcels of one key in the order in which they were accepted; those without a key in any.
    PerKey,
    /// All in the order in which they were accepted.
    Total,
}

/// What a transport promises beyond the least: declared, and proved by its conformance suite.
///
/// ```
/// use std::time::Duration;
/// use tidings::transport::{Capabilities, Order};
///
/// // A stream of NATS JetStream in a file, as it is made unless told otherwise.
/// let jetstream = Capabilities::new(1_000_000)
///     .order(Order::Total)
///     .persistent()
///     .dedup_window(Duration::from_secs(120))
///     .ack_timeout(Duration::from_secs(30));
/// assert!(!jetstream.delayed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The order of first deliveries.
    pub order: Order,
    /// What was accepted, and what was settled, survives a restart of either side. Whether it survives
    /// a power loss is the broker's business, and often a setting of it.
    pub persistent: bool,
    /// A parcel whose id was accepted within this time is not accepted a second time; restarts of this
    /// side included.
    pub dedup_window: Option<Duration>,
    /// [`Parcel::delay`](super::Parcel::delay) is kept. Otherwise a parcel with one is refused.
    pub delayed: bool,
    /// What was received and is not settled within this time comes again, to any member of the group.
    /// Without one it comes again after its receiver was closed, or is known to be gone.
    pub ack_timeout: Option<Duration>,
    /// The longest payload, in bytes. A longer one is refused.
    pub max_bytes: usize,
}

impl Capabilities {
    /// The least: payloads of up to so many bytes, and nothing else.
    #[must_use]
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            order: Order::None,
            persistent: false,
            dedup_window: None,
            delayed: false,
            ack_timeout: None,
            max_bytes,
        }
    }

    /// Keeps this order.
    #[must_use]
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Survives restarts.
    #[must_use]
    pub const fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Drops copies within this time.
    #[must_use]
    pub const fn dedup_window(mut self, window: Duration) -> Self {
        self.dedup_window = Some(window);
        self
    }

    /// Keeps delays.
    #[must_use]
    pub const fn delayed(mut self) -> Self {
        self.delayed = true;
        self
    }

    /// Delivers again what is not settled within this time.
    #[must_use]
    pub const fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = Some(timeout);
        self
    }
}
