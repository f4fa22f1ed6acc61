//! The unit of storage: some records, some state writes, some preconditions.

use std::sync::Arc;

use crate::{
    event::Durability,
    message::{Envelope, Position},
};

/// A message as storage keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // storage written elsewhere builds it
pub struct Record {
    /// Everything but the payload.
    pub envelope: Arc<Envelope>,
    /// The encoded event.
    pub payload: Vec<u8>,
}

/// A change of one state key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // storage written elsewhere takes it apart
pub struct Write {
    /// Any bytes.
    pub key: Vec<u8>,
    /// The new value, or `None` to remove the key.
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// Sets a key.
    #[must_use]
    pub fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: Some(value.into()) }
    }

    /// Removes a key; fine if it is not there.
    #[must_use]
    pub fn remove(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: None }
    }
}

/// What must hold for a commit to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precondition {
    /// The log ends at this position.
    End(Position),
    /// The state key has this value (`None`: is absent).
    State {
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Option<Vec<u8>>,
    },
}

/// The unit of storage: everything in it happens, or nothing does.
///
/// Preconditions are checked against the state before the commit. Writes apply in order; the last
/// one to a key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // storage written elsewhere takes it apart
pub struct Commit {
    /// Appended to the log, in this order.
    pub records: Vec<Record>,
    /// Applied to the state.
    pub writes: Vec<Write>,
    /// Checked first.
    pub preconditions: Vec<Precondition>,
    /// What the commit survives once it is acknowledged.
    pub durability: Durability,
}
