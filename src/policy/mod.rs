//! Choices a user makes, as plain values: backoff, lanes, overflow, retention, where a subscription
//! starts.

mod backoff;
mod lanes;
mod overflow;
mod retention;
mod start;

pub use backoff::{Attempt, Backoff};
pub use lanes::Lanes;
pub use overflow::Overflow;
pub use retention::{Retention, Unread};
pub use start::Start;
