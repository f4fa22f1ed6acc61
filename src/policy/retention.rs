//! How long a durable bus keeps events.

use std::time::Duration;

/// How long a durable bus keeps events. For ever by default.
///
/// Old events go in whole files, so some stay longer than they have to, and they are looked for when
/// there are new ones. What is kept of an event beyond the log stays: state, and dead letters with
/// their payloads.
///
/// ```
/// use std::time::Duration;
/// use tidings::Retention;
///
/// let month = Retention::forever().max_age(Duration::from_secs(30 * 24 * 3600)).max_bytes(50 << 30);
/// # assert_eq!(month.unread(), tidings::Unread::Keep);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "it does nothing until a bus is built with it"]
pub struct Retention {
    max_age: Option<Duration>,
    max_bytes: Option<u64>,
    unread: Unread,
}

/// What happens to old events that a subscription has not handled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unread {
    /// They are kept, however old they are and however large the log becomes, for subscriptions that
    /// are stored, running or not. The one that holds them is named in a warning. Ephemeral ones are
    /// not waited for.
    #[default]
    Keep,
    /// They are dropped. The subscription goes on with what is left, and what it lost is counted and
    /// named: [`Status::lost`](crate::Status), `Subscription::losses`.
    Drop,
}

impl Retention {
    /// Keeps everything.
    pub fn forever() -> Self {
        Self::default()
    }

    /// Drops events that are older than this.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Drops the oldest events while the log has more bytes than this.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Drops events also where subscriptions have not handled them yet.
    pub fn drop_unread(mut self) -> Self {
        self.unread = Unread::Drop;
        self
    }

    /// What happens to old events that a subscription has not handled yet.
    #[must_use]
    pub fn unread(&self) -> Unread {
        self.unread
    }

    pub(crate) fn is_forever(&self) -> bool {
        self.max_age.is_none() && self.max_bytes.is_none()
    }

    pub(crate) fn age(&self) -> Option<Duration> {
        self.max_age
    }

    pub(crate) fn bytes(&self) -> Option<u64> {
        self.max_bytes
    }
}
