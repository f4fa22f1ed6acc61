//! Choices a user makes, as plain values: backoff, durability, where a subscription starts.

mod backoff;
mod durability;
mod start;

pub use backoff::{Attempt, Backoff};
pub use durability::Durability;
pub use start::Start;
