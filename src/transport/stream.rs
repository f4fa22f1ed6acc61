//! Where parcels lie: streams, and places in them.

use std::{fmt, sync::Arc};

/// Which stream it is, and which making of it: a stream that was deleted and made anew has another
/// identity, though it has the same name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Arc<str>);

impl StreamId {
    /// The identity with this text: the stream's name, and whatever tells it from the next one that
    /// will have the name.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.0)
    }
}

/// The place of a parcel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // transports written elsewhere build it
pub struct Place {
    /// In which stream.
    pub stream: StreamId,
    /// Rises from one parcel of a stream to the next; there may be gaps.
    pub sequence: u128,
}

/// A stream, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // transports written elsewhere build it
pub struct Stream {
    /// Which one.
    pub id: StreamId,
    /// The highest sequence it has given; none if it has never had a parcel.
    pub last: Option<u128>,
}
