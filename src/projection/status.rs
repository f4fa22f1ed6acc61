//! How a projection is doing.

use super::lateness::LateCounts;
use crate::{delivery::Status, message::Position, runtime::Timestamp};

/// How a projection is doing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProjectionStatus {
    /// The version whose rows are served; `None` before the first are built.
    pub serving: Option<u32>,
    /// The rows that are being built, if any are.
    pub building: Option<BuildProgress>,
    /// Why building has stopped, if it has.
    pub halted: Option<Halted>,
    /// How the subscription is doing that keeps the served rows up to date, where one does.
    pub subscription: Option<Status>,
    /// Events that came too late, of the rows that are served.
    pub late: LateCounts,
    /// The latest time of an event, of those that have one.
    pub watermark: Option<Timestamp>,
}

/// How far a build has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildProgress {
    /// The version that is built.
    pub version: u32,
    /// Everything before is in its rows.
    pub position: Position,
    /// The end of the journal.
    pub end: Position,
}

/// Why a build has stopped. It goes on when the projection starts again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Halted {
    /// Everything before is in its rows.
    pub position: Position,
    /// What could not be done.
    pub reason: String,
}
