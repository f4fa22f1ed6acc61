//! How far a lane has come.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ledger::Tally, parking::Held};
use crate::{
    journal::{Entry, Tag},
    message::Position,
    runtime::Timestamp,
};

/// How far a lane has come: everything before `frontier` is acknowledged, but for the `holes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(super) frontier: u64,
    /// By position.
    pub(super) holes: Vec<Hole>,
    /// How those that are acknowledged were settled, and those of lanes that it took over from.
    #[serde(default)]
    pub(super) tally: Tally,
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
///
/// A later layer knows better than an earlier one: what it names as a hole is still open, whatever
/// the earlier one says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub(super) cursors: Vec<Cursor>,
}

impl Hole {
    pub(super) fn of(held: &Held) -> Self {
        Self {
            position: held.position().get(),
            attempts: held.attempts,
            first_failed: held.first_failed.map_or(0, Timestamp::as_nanos),
        }
    }

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
        Self { frontier: position.get(), holes: Vec::new(), tally: Tally::default() }
    }

    /// The first position that is not acknowledged.
    pub(super) fn low(&self) -> u64 {
        self.holes.first().map_or(self.frontier, |hole| hole.position.min(self.frontier))
    }

    /// From this position on it says nothing. Holes may lie beyond the frontier, where a lane has taken
    /// over from one that was further.
    pub(super) fn high(&self) -> u64 {
        self.holes.last().map_or(self.frontier, |hole| self.frontier.max(hole.position + 1))
    }

    /// Has everything from a position on come again.
    pub(super) fn rewind(&mut self, to: u64) {
        self.frontier = self.frontier.min(to);
        self.holes.retain(|hole| hole.position < to);
    }

    pub(super) fn hole(&self, position: u64) -> Option<Hole> {
        let found = self.holes.binary_search_by_key(&position, |hole| hole.position);
        found.ok().and_then(|at| self.holes.get(at)).copied()
    }
}

impl Layer {
    /// Of lanes that have handed on whatever was open in them.
    pub(super) fn handed_on(frontiers: &[u64]) -> Self {
        let cursor = |frontier: &u64| Cursor {
            frontier: *frontier,
            holes: Vec::new(),
            tally: Tally::default(),
        };
        Self { cursors: frontiers.iter().map(cursor).collect() }
    }

    /// Whether an event needs not come again. `None` if the layer does not know.
    fn acknowledges(&self, position: u64, tag: Tag) -> Option<bool> {
        let cursor = self.cursors.get(tag.lane(position, self.lanes()) as usize)?;
        if cursor.hole(position).is_some() {
            return Some(false);
        }
        (position < cursor.frontier).then_some(true)
    }

    fn hole(&self, entry: &Entry) -> Option<Hole> {
        let lane = entry.envelope.lane(entry.position, self.lanes());
        self.cursors.get(lane as usize)?.hole(entry.position.get())
    }

    #[allow(clippy::cast_possible_truncation)] // as many as the lanes it was made of
    pub(super) fn lanes(&self) -> u32 {
        self.cursors.len() as u32
    }

    pub(super) fn low(&self) -> u64 {
        self.cursors.iter().map(Cursor::low).min().unwrap_or(1)
    }

    pub(super) fn high(&self) -> u64 {
        self.cursors.iter().map(Cursor::high).max().unwrap_or(1)
    }
}

/// Whether an event was acknowledged, or handed on, under another number of lanes.
pub(super) fn is_inherited(layers: &[Layer], position: u64, tag: Tag) -> bool {
    layers.iter().rev().find_map(|layer| layer.acknowledges(position, tag)).unwrap_or(false)
}

/// An event in a lane, with the attempts that it had under another number of lanes.
pub(super) fn held(layers: &[Layer], entry: Arc<Entry>) -> Held {
    let hole = layers.iter().rev().find_map(|layer| layer.hole(&entry));
    match hole {
        Some(hole) => hole.restore(entry),
        None => Held::new(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contract::NameId, event::Key};

    fn layer(frontier: u64, holes: &[u64]) -> Layer {
        let hole = |position: &u64| Hole { position: *position, attempts: 1, first_failed: 0 };
        let (holes, tally) = (holes.iter().map(hole).collect(), Tally::default());
        Layer { cursors: vec![Cursor { frontier, holes, tally }] }
    }

    fn inherits(layers: &[Layer], position: u64) -> bool {
        let tag = Tag::hashed(NameId::from_number(0), Some(&Key::new("k")));
        is_inherited(layers, position, tag)
    }

    /// Dropped at its frontier, it would leave the hole to an earlier layer, which takes the event for
    /// acknowledged: lost.
    #[test]
    fn a_layer_reaches_to_its_last_hole() {
        assert_eq!(layer(12, &[4, 25]).high(), 26);
        assert_eq!(layer(12, &[4]).high(), 12);
        let layers = [layer(30, &[]), layer(12, &[25])];
        assert!(!inherits(&layers, 25) && inherits(&layers, 24));
        let kept: Vec<_> = layers.into_iter().filter(|layer| layer.high() > 13).collect();
        assert!(!inherits(&kept, 25));
    }

    #[test]
    fn a_later_layer_knows_better_and_an_earlier_one_knows_the_rest() {
        let layers = [layer(100, &[90, 95]), layer(50, &[40, 80])];
        let open: Vec<_> = (1..=110).filter(|at| !inherits(&layers, *at)).collect();
        let beyond = 100..=110;
        assert_eq!(open, [40, 80, 90, 95].into_iter().chain(beyond).collect::<Vec<_>>());
        assert!(!inherits(&[], 1));
    }
}
