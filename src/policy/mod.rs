//! Choices a user makes, as plain values: backoff, overflow, retention, where a subscription starts.

mod backoff;
mod overflow;
mod retention;
mod start;

pub use backoff::{Attempt, Backoff};
pub use overflow::Overflow;
pub use retention::{Retention, Unread};
pub use start::Start;
