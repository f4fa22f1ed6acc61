//! The lanes of a subscription, from one change of their number to the next.

use std::sync::Arc;

use super::{
    cursor::{self, Layer},
    lane::{Inbound, LaneHandle},
    muster::Muster,
    parking::Held,
};
use crate::{
    journal::{Entry, GroupId, Tag},
    message::Position,
};

/// The lanes of a subscription, from one change of their number to the next.
pub(crate) struct Formation {
    pub(super) group: GroupId,
    pub(super) lanes: Vec<Arc<LaneHandle>>,
    /// What was acknowledged, or handed on, under other numbers of lanes; the latest comes last.
    pub(super) layers: Arc<[Layer]>,
    pub(super) muster: Arc<Muster>,
}

impl Formation {
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.lanes.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.count()
    }

    pub(super) fn lane_of(&self, entry: &Entry) -> u32 {
        entry.envelope.lane(entry.position, self.count())
    }

    pub(super) fn is_inherited(&self, position: u64, tag: Tag) -> bool {
        cursor::is_inherited(&self.layers, position, tag)
    }

    /// An event in a lane, with the attempts that it had under another number of lanes.
    pub(super) fn held(&self, entry: Arc<Entry>) -> Held {
        cursor::held(&self.layers, entry)
    }

    /// From this position on no layer has anything to say.
    pub(super) fn beyond_layers(&self) -> Position {
        let high = self.layers.iter().map(Layer::high).max();
        high.and_then(Position::new).unwrap_or(Position::FIRST)
    }

    /// Tells a lane something, the one that it is about. It is to be woken.
    pub(super) fn send(&self, inbound: Inbound) -> u32 {
        let lane = inbound.lane(self.count());
        if let Some(handle) = self.lanes.get(lane as usize) {
            handle.send(inbound);
        }
        lane
    }

    pub(super) fn wake_lane(&self, lane: u32) {
        if let Some(handle) = self.lanes.get(lane as usize) {
            handle.wake();
        }
    }

    pub(super) fn wake(&self) {
        self.lanes.iter().for_each(|lane| lane.wake());
    }

    /// Events in the lanes.
    pub(super) fn in_lanes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.held()).sum()
    }
}
