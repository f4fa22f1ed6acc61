//! What can go wrong on the way, and what is sure then.

use std::{error::Error, sync::Arc};

/// The cause of an error, as the library of a broker has it.
type Cause = Arc<dyn Error + Send + Sync>;

/// What went wrong with a transport, what is sure all the same, and what to do about it.
///
/// Texts never contain payloads or credentials.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// A parcel that this one has to follow was not accepted. It surely was not either; send it again
    /// behind the other.
    #[error("a parcel that comes before it was not accepted")]
    Behind,
    /// The transport was closed. Surely nothing happened.
    #[error("the transport is closed")]
    Closed,
    /// There is no room. Surely not accepted; send it again when notified.
    #[error("no room for more parcels")]
    Full,
    /// The other side refuses, and will again unless something there changes: permissions, a stream
    /// that is missing, a setting. Surely nothing happened.
    #[error("the other side refused, while {doing}: {reason}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What it says.
        reason: String,
    },
    /// The arrival is no longer open, or was delivered anew since: settled before, or not in time.
    /// Nothing happened, and it may come again.
    #[error("the arrival is no longer open")]
    Stale,
    /// The payload is longer than the transport takes. Surely not accepted, and never will be.
    #[error("the payload has {bytes} bytes, more than the {limit} that fit")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The longest.
        limit: usize,
    },
    /// The other side was asked and did not answer: it may have accepted the parcel or not, it may
    /// know of the settlement or not. Send the same parcel again.
    #[error("while {doing}: {source}; it may or may not have happened")]
    Unknown {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: Cause,
    },
    /// There is no connection. Surely nothing happened; try again when notified.
    #[error("not reachable, while {doing}: {source}")]
    Unreachable {
        /// What was to be done.
        doing: &'static str,
        /// The cause.
        source: Cause,
    },
    /// The transport cannot do that. Surely nothing happened, and never will.
    #[error("this transport has no {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
}

impl TransportError {
    /// Whether it may have happened all the same. Anything else surely did not.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Whether the same may work later without anybody doing anything about it.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Behind | Self::Full | Self::Unknown { .. } | Self::Unreachable { .. })
    }
}
