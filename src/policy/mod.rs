//! Choices a user makes, as plain values: backoff, durability, retention, where a subscription starts.

mod backoff;
mod durability;
mod retention;
mod start;

pub use backoff::{Attempt, Backoff};
pub use durability::Durability;
pub use retention::{Retention, Unread};
pub use start::Start;
