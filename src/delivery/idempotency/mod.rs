//! Handling the same thing once, however often it comes.
//!
//! A lane acknowledges an event together with what its handler published and stored, so that an event
//! of the journal has its effect once. What is added here is for *copies*: two events of the journal
//! that stand for one thing, because a publisher was not sure and tried again, or because a broker
//! delivers twice. The [`Inbox`] of a handler knows what it has handled.

mod inbox;
mod wrapper;

pub(super) use inbox::{Entered, Entrance, IdempotencyKey, Inbox, forget_from};
pub(super) use wrapper::CopiesBy;
pub(crate) use wrapper::{Idempotency, erase_key};
pub use wrapper::{Idempotent, idempotent, idempotent_by};
