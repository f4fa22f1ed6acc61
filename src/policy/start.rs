//! Where a new subscription starts.

use crate::{message::Position, runtime::Timestamp};

/// Where a subscription starts the first time its name is used. Later it resumes where it stopped,
/// whatever is said here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Start {
    /// With the oldest event that is kept, so that nothing is missed. The default. A volatile bus
    /// keeps nothing, so there it is the same as `Latest`.
    #[default]
    Earliest,
    /// With the next event published.
    Latest,
    /// With the event at this position, or the next event published if it is past the end.
    Position(Position),
    /// With the first event published at this time or later.
    Time(Timestamp),
}
