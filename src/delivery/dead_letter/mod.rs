//! Events that a subscription could not handle: kept, listed, retried.

mod alarm;
mod failure;
mod index;
mod letter;
mod reason;
mod store;
mod stored;

pub(super) use alarm::Alarm;
pub(crate) use alarm::AlarmHook;
pub use alarm::DeadLetterAlarm;
pub use failure::Failure;
pub(super) use failure::Failures;
pub use letter::DeadLetter;
pub use reason::DeadLetterReason;
pub(crate) use reason::Verdict;
pub(crate) use store::DeadLetterStore;
