//! Which event types a bus knows, and how they become bytes and values again.

mod registry;

pub use registry::NameTaken;
pub(crate) use registry::{Contract, DecodeError, EventType, NameId};
