//! Choices a user makes, as plain values: backoff, retention, where a subscription starts.

mod backoff;
mod retention;
mod start;

pub use backoff::{Attempt, Backoff};
pub use retention::{Retention, Unread};
pub use start::Start;
