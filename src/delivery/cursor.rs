//! How far a lane has come.

use serde::{Deserialize, Serialize};

use crate::message::Position;

/// How far a lane has come: everything before `frontier` is acknowledged, but for the `holes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(super) frontier: u64,
    pub(super) holes: Vec<Hole>,
}

/// An event before the frontier that is not acknowledged yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hole {
    pub(super) position: u64,
    /// Failed attempts so far.
    pub(super) attempts: u32,
    /// When the first one failed, in nanoseconds since 1970; 0 before any did.
    pub(super) first_failed: u64,
}

/// The cursors of a subscription from a time when it had another number of lanes. They still say
/// which events before their frontiers need not come again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub(super) cursors: Vec<Cursor>,
}

impl Cursor {
    pub(super) fn at(position: Position) -> Self {
        Self { frontier: position.get(), holes: Vec::new() }
    }

    /// The first position that is not acknowledged.
    pub(super) fn low(&self) -> u64 {
        self.holes
            .iter()
            .map(|hole| hole.position)
            .min()
            .map_or(self.frontier, |hole| hole.min(self.frontier))
    }

    pub(super) fn acknowledges(&self, position: u64) -> bool {
        position < self.frontier && self.holes.iter().all(|hole| hole.position != position)
    }
}

impl Layer {
    #[allow(clippy::cast_possible_truncation)] // as many as the lanes it was made of
    pub(super) fn lanes(&self) -> u32 {
        self.cursors.len() as u32
    }

    pub(super) fn low(&self) -> u64 {
        self.cursors.iter().map(Cursor::low).min().unwrap_or(1)
    }

    pub(super) fn high(&self) -> u64 {
        self.cursors.iter().map(|cursor| cursor.frontier).max().unwrap_or(1)
    }
}
