//! What an event is: a plain struct with a name, a version and, optionally, a key.

mod durability;
mod key;

pub use durability::Durability;
pub use key::{Key, ToKey};

use serde::{Serialize, de::DeserializeOwned};

use crate::codec::{Codec, Json};

/// A fact that happened, as a plain struct.
///
/// Usually derived (feature `derive`, on by default). By hand it takes three lines, since only the
/// name is required:
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Ping { from: String }
///
/// impl tidings::Event for Ping {
///     const NAME: &'static str = "demo.ping";
/// }
/// ```
///
/// On a volatile bus nothing is ever serialised; the bounds are there so that the same event can
/// move to a durable bus without a change.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    note = "derive it: `#[derive(Serialize, Deserialize, Event)] #[event(name = \"area.happened\")]`",
    note = "or write `impl tidings::Event for {Self} {{ const NAME: &'static str = \"area.happened\"; }}`"
)]
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The stable name on the log and between services, such as `orders.placed`.
    ///
    /// 1 to 128 characters out of `a-z A-Z 0-9 . _ -`; anything else does not compile once the
    /// event is published or subscribed to. Two Rust types may not share one name on one bus.
    const NAME: &'static str;

    /// The version of the payload's shape, from 1.
    ///
    /// Raise it when old payloads no longer decode into this struct. A payload of another version
    /// goes to the dead letters of the subscription that meets it; it is never guessed at.
    const VERSION: u32 = 1;

    /// What an acknowledged publish survives, where that is to be less or more than the bus promises.
    const DURABILITY: Option<Durability> = None;

    /// Whether an event says everything that is to be known about its key, so that the log may drop
    /// older ones of the same key once every subscription has handled them.
    const COMPACTED: bool = false;

    /// What the event is about, such as the order's id. Events of one key reach each subscription
    /// in order; `None` (the default) means that order does not matter.
    fn key(&self) -> Option<Key> {
        None
    }

    /// How the payload is written on a durable log. JSON unless overridden.
    ///
    /// The codec is part of the event's contract, like its name and version: records remember
    /// which one wrote them.
    #[must_use]
    fn codec() -> &'static dyn Codec<Self>
    where
        Self: Sized,
    {
        &Json
    }
}

/// Refuses a bad [`Event::NAME`] or [`Event::VERSION`] at compile time.
pub(crate) const fn check<E: Event>() {
    assert!(is_valid_name(E::NAME), "Event::NAME must be 1 to 128 of a-z A-Z 0-9 . _ -");
    assert!(E::VERSION >= 1, "Event::VERSION starts at 1");
}

/// What names of events and subscriptions may look like.
pub(crate) const fn is_valid_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > 128 {
        return false;
    }
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_alphanumeric() || matches!(bytes[at], b'.' | b'_' | b'-')) {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_valid_name;

    #[test]
    fn names_are_short_and_plain() {
        assert!(is_valid_name("orders.placed"));
        assert!(is_valid_name(&"x".repeat(128)));
        for bad in ["", "orders placed", "orders/placed", "größe", &"x".repeat(129)] {
            assert!(!is_valid_name(bad), "{bad:?}");
        }
    }
}
