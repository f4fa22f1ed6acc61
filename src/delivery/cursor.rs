//! How far a lane has come.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::parking::Held;
use crate::{journal::Entry, message::Position, runtime::Timestamp};

/// How far a lane has come: everything before `frontier` is acknowledged, but for the `holes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(super) frontier: u64,
    /// By position.
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

impl Hole {
    /// The event with the story of its attempts.
    pub(super) fn restore(self, entry: Arc<Entry>) -> Held {
        let mut held = Held::new(entry);
        held.attempts = self.attempts;
        held.first_failed =
            (self.first_failed > 0).then(|| Timestamp::from_nanos(self.first_failed));
        held
    }
}

impl Cursor {
    pub(super) fn at(position: Position) -> Self {
        Self { frontier: position.get(), holes: Vec::new() }
    }

    /// The first position that is not acknowledged.
    pub(super) fn low(&self) -> u64 {
        self.holes.first().map_or(self.frontier, |hole| hole.position.min(self.frontier))
    }

    pub(super) fn acknowledges(&self, position: u64) -> bool {
        position < self.frontier && self.hole(position).is_none()
    }

    pub(super) fn hole(&self, position: u64) -> Option<Hole> {
        let found = self.holes.binary_search_by_key(&position, |hole| hole.position);
        found.ok().and_then(|at| self.holes.get(at)).copied()
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
