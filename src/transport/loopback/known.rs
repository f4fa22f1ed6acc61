//! The ids of the parcels that were accepted within the dedup window.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{message::MessageId, runtime::Tick, transport::Place};

#[derive(Debug, Default)]
pub(super) struct Known {
    places: BTreeMap<MessageId, Place>,
    /// When each was accepted, in that order.
    accepted: VecDeque<(Tick, MessageId)>,
}

impl Known {
    /// How many ids are remembered at most, about 200 bytes each.
    pub(super) const MOST: usize = 1 << 20;

    /// Forgets what was accepted longer than the window ago.
    pub(super) fn forget(&mut self, now: Tick, window: Duration) {
        while let Some((accepted, id)) = self.accepted.front()
            && now.saturating_sub(*accepted) > window
        {
            self.places.remove(id);
            self.accepted.pop_front();
        }
    }

    pub(super) fn place(&self, id: MessageId) -> Option<&Place> {
        self.places.get(&id)
    }

    pub(super) fn is_full(&self) -> bool {
        self.places.len() >= Self::MOST
    }

    /// When the next one is forgotten.
    pub(super) fn first_forgotten(&self, window: Duration) -> Option<Tick> {
        let (accepted, _) = self.accepted.front()?;
        Some(accepted.saturating_add(window).saturating_add(Tick::from_nanos(1)))
    }

    pub(super) fn insert(&mut self, id: MessageId, place: Place, now: Tick) {
        self.places.insert(id, place);
        self.accepted.push_back((now, id));
    }
}
