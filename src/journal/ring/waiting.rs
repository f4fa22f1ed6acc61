//! How much is waiting for a group of readers.

use std::collections::BTreeSet;

use super::{
    GroupId, Ring, Tag,
    roster::{Group, Reader},
    sync::Ordering,
};

/// How many positions one look takes in.
const LOOK: usize = 4096;

impl Ring {
    /// How many different keys have an event before `end` that no reader of the group has taken.
    /// One without a key counts as a key of its own. Looks no further than `enough`, and than the
    /// nearest few thousand positions.
    pub(crate) fn keys_waiting(&self, id: GroupId, end: u64, enough: usize) -> usize {
        let roster = self.roster.lock();
        let Some(group) = roster.groups.get(&id) else { return 0 };
        let frontiers = group.frontiers();
        let from = frontiers.iter().copied().min().unwrap_or(end).max(roster.floor(self));
        let mut keys = BTreeSet::new();
        for at in (from..end.min(self.end())).take(LOOK) {
            if keys.len() >= enough {
                break;
            }
            if !self.is_stamped(at) {
                continue;
            }
            let tag = Tag::from_bits(self.slot(at).tag.load(Ordering::Acquire));
            let lane = tag.lane(at, group.lanes()) as usize;
            if group.wants.contain(tag.kind()) && frontiers.get(lane).is_some_and(|to| at >= *to) {
                keys.insert(tag.key_at(at));
            }
        }
        keys.len()
    }
}

impl Group {
    /// Everything before it is taken, by lane. Nothing waits for a reader that is asleep.
    fn frontiers(&self) -> Vec<u64> {
        let frontier = |Reader { place, .. }: &Reader| {
            let sleeps = place.asleep.load(Ordering::Relaxed);
            if sleeps { u64::MAX } else { place.frontier.load(Ordering::Relaxed) }
        };
        self.readers.iter().map(frontier).collect()
    }
}
