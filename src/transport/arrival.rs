//! What is received, and what becomes of it.

use std::{fmt, time::Duration};

use super::{Parcel, ParcelError, Place};

/// A parcel as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // transports written elsewhere build it
pub struct Arrival {
    /// What it is settled by.
    pub token: Token,
    /// The parcel; or why what came is none. Then it is to be rejected, since it will not get better.
    pub parcel: Result<Parcel, ParcelError>,
    /// Where it is.
    pub place: Place,
    /// How often it was delivered to the group before, as far as the transport knows: there may have
    /// been more. 0 the first time.
    pub redeliveries: u32,
}

/// What names an open arrival to its transport: bytes that have a meaning to no one else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Box<[u8]>);

impl Token {
    /// The token with these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.0.escape_ascii())
    }
}

/// What becomes of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // transports written elsewhere do what it says
pub enum Settlement {
    /// Done: the group does not get it again.
    Ack,
    /// It comes again, to any member of the group, but not before this time has passed.
    Retry {
        /// How long it stays away.
        after: Duration,
    },
    /// Given up: the group does not get it again, and the broker is told where it wants to know.
    Reject,
}
