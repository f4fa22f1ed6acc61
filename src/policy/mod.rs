//! Choices a user makes, as plain values: backoff, lanes, overflow, retention, where a subscription
//! starts, what is remembered.

mod backoff;
mod lanes;
mod on_dead_letter;
mod overflow;
mod retention;
mod start;
mod window;

pub use backoff::{Attempt, Backoff};
pub use lanes::Lanes;
pub use on_dead_letter::OnDeadLetter;
pub use overflow::Overflow;
pub use retention::{Retention, Unread};
pub use start::Start;
pub use window::Window;
