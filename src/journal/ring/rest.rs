//! Readers at rest, and whoever waits for them to be.

use super::{
    GroupId, Phase, Ring, Tag,
    roster::{Place, Reader, Roster},
    sync::Ordering,
};

impl Ring {
    /// Takes note that a reader rests. It falls asleep if it has seen everything. False where it is
    /// `hungry` and there is more, or where it was sent something meanwhile.
    pub(super) fn rest(&self, place: &Place, next: u64, phase: Phase, hungry: bool) -> bool {
        let roster = self.roster.lock();
        if place.poked.load(Ordering::Relaxed) {
            return false;
        }
        let asleep = self.fall_asleep(&roster, place, next);
        if hungry && !asleep {
            return false;
        }
        place.set_phase(phase);
        true
    }

    /// See invariant 5. False if there is more to see.
    fn fall_asleep(&self, roster: &Roster, place: &Place, next: u64) -> bool {
        if place.asleep.load(Ordering::Relaxed) {
            return true;
        }
        let Some(group) = roster.groups.get(&place.group.load(Ordering::Relaxed)) else {
            return true; // it has left, and nothing comes any more
        };
        if place.cursor.load(Ordering::SeqCst) != next {
            return false;
        }
        for route in &group.routes {
            route.asleep.fetch_add(1, Ordering::Relaxed);
        }
        if self.claimed.fetch_add(0, Ordering::AcqRel) == next {
            place.asleep.store(true, Ordering::Relaxed);
            return true;
        }
        for route in &group.routes {
            route.asleep.fetch_sub(1, Ordering::Relaxed);
        }
        false
    }

    /// Has a reader that has read up to `next` in storage take its place again, and returns where its
    /// cursor is. Otherwise returns where the ring begins.
    pub(super) fn come_back(&self, place: &Place, next: u64) -> Result<u64, u64> {
        let roster = self.roster.lock();
        let floor = roster.floor(self);
        if next < floor {
            return Err(floor);
        }
        // Storage may be ahead of what is written here, and no cursor passes that.
        let cursor = next.min(self.first_unstamped(floor));
        if roster.groups.contains_key(&place.group.load(Ordering::Relaxed)) {
            place.start.store(next, Ordering::Relaxed);
            place.cursor.store(cursor, Ordering::SeqCst);
        }
        Ok(cursor)
    }

    /// Says that a reader was sent something other than through the ring. It is not at rest until
    /// it has looked.
    pub(crate) fn poke(&self, group: GroupId, lane: u32) {
        let roster = self.roster.lock();
        if let Some(place) = roster.place(group, lane) {
            place.poked.store(true, Ordering::Relaxed);
        }
    }

    /// Whether every reader is at rest and nothing waits for room, all at one moment.
    pub(crate) fn is_quiet(&self, parked_is_quiet: bool) -> bool {
        let roster = self.roster.lock();
        let rests = |place: &Place| {
            // Before its phase: a reader that is not poked any more has begun to work before that.
            if place.poked.load(Ordering::Acquire) {
                return false;
            }
            let asleep = place.asleep.load(Ordering::Relaxed);
            place.is(Phase::Stopped)
                || place.is(Phase::Failed)
                || place.is(Phase::Settled) && asleep
                || parked_is_quiet
                    && (place.is(Phase::Parked) && asleep || place.is(Phase::Blocked))
        };
        let mut readers = roster.groups.values().flat_map(|group| &group.readers);
        roster.overflow.is_empty() && readers.all(|reader| rests(&reader.place))
    }

    /// Takes a reader out of the ring that can do nothing more.
    pub(crate) fn expel(&self, group: GroupId, lane: u32) {
        let roster = self.roster.lock();
        if let Some(members) = roster.groups.get(&group)
            && let Some(place) = roster.place(group, lane)
        {
            roster.wake(self, members, place);
            self.put_out(members, lane, place);
            place.set_phase(Phase::Failed);
        }
        drop(roster);
        self.tend();
    }

    /// How many readers of a group have not stopped.
    pub(crate) fn running(&self, group: GroupId) -> usize {
        let roster = self.roster.lock();
        let at_work =
            |reader: &&Reader| !reader.place.is(Phase::Stopped) && !reader.place.is(Phase::Failed);
        roster.groups.get(&group).map_or(0, |group| group.readers.iter().filter(at_work).count())
    }

    /// Everything before this position is done with by the reader, or taken out of the ring. `None`
    /// if it has left.
    pub(crate) fn frontier(&self, group: GroupId, lane: u32) -> Option<u64> {
        let roster = self.roster.lock();
        let place = roster.place(group, lane)?;
        let frontier = place.frontier.load(Ordering::Relaxed);
        if !place.asleep.load(Ordering::Relaxed) {
            return Some(frontier);
        }
        // Not the end: what is claimed and not written may be about to wake it.
        let seen = place.cursor.load(Ordering::Relaxed).max(roster.floor(self));
        Some(self.first_unstamped(seen).max(frontier))
    }

    /// What is in the ring and not written over: the position where it begins, and the tags from
    /// there on. What has not been given a position yet comes after it.
    pub(crate) fn tags(&self) -> (u64, Vec<Tag>) {
        let roster = self.roster.lock();
        let floor = roster.floor(self);
        let tag = |at| Tag::from_bits(self.slot(at).tag.load(Ordering::Acquire));
        let written: Vec<_> = (floor..self.end())
            .map(|at| if self.is_stamped(at) { tag(at) } else { Tag::NOTHING })
            .chain(roster.overflow.iter().map(|incoming| incoming.tag))
            .collect();
        (floor, written)
    }
}

impl Roster {
    fn place(&self, group: GroupId, lane: u32) -> Option<&Place> {
        self.groups.get(&group)?.readers.get(lane as usize).map(|reader| &*reader.place)
    }
}
