//! Room for publishers: who holds the ring up, and what waits for room.

use std::sync::Arc;

use super::{
    CellRef, Ring, Rouse,
    claim::Incoming,
    roster::{OUT, Overrun, Reader, Roster},
    sync::{Ordering, in_one_order},
};
use crate::runtime::Monitor;

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// A reader is to be waited for. It tells those who [want room](Ring::want_room).
    Wait,
    /// A reader is behind whose subscription does not want publishers to wait.
    Fail,
    /// Another publisher has not written yet what it has claimed. It tells nobody when it has.
    Soon,
    /// The ring takes nothing more.
    Closed,
}

impl Roster {
    /// Raises `until` as far as readers allow, and to `end` if that takes displacing some.
    pub(super) fn make_room(&mut self, ring: &Ring, end: u64) -> Result<(), Full> {
        if end <= self.until {
            return Ok(());
        }
        let needed = end.saturating_sub(ring.capacity);
        let (mut floor, mut waits, mut fails) = (OUT, false, false);
        for group in self.groups.values() {
            for (lane, Reader { place, .. }) in (0..).zip(&group.readers) {
                let Some(mut cursor) = place.holds() else { continue };
                if cursor < needed {
                    match group.overrun {
                        Overrun::Wait => waits = true,
                        Overrun::Fail => fails = true,
                        Overrun::Skip | Overrun::Leave => {
                            cursor = ring.displace(group, lane, place, (cursor, needed));
                        }
                    }
                }
                floor = floor.min(cursor);
            }
        }
        if floor == OUT {
            floor = ring.first_unstamped(self.floor(ring));
        }
        self.until = self.until.max(floor + ring.capacity);
        match () {
            () if end <= self.until => Ok(()),
            () if fails => Err(Full::Fail),
            () if waits => Err(Full::Wait),
            // No reader is in the way, and so a publisher was when this looked. Another look could
            // find it done.
            () => Err(Full::Soon),
        }
    }

    /// Lets publishers claim what there is, or sends them here first.
    fn publish_limit(&self, ring: &Ring) {
        let open = !self.closed && self.overflow.is_empty();
        ring.limit.store(if open { self.until } else { 0 }, Ordering::Release);
    }
}

impl Ring {
    /// Looks for room for so many events, and lets publishers claim it.
    pub(crate) fn make_room(&self, count: usize) -> Result<(), Full> {
        let mut roster = self.roster.lock();
        if roster.closed {
            return Err(Full::Closed);
        }
        let after = self.let_in(&mut roster);
        let found = if roster.overflow.is_empty() {
            roster.make_room(self, self.end() + count as u64)
        } else {
            Err(Full::Wait) // what waits already goes first
        };
        roster.publish_limit(self);
        drop(roster);
        after.carry_out();
        found
    }

    /// Looks for room without letting in what overflowed: it runs nobody else's code.
    pub(crate) fn room_for(&self, count: usize) -> Result<(), Full> {
        let mut roster = self.roster.lock();
        let found = match () {
            () if roster.closed => Err(Full::Closed),
            () if roster.overflow.is_empty() => roster.make_room(self, self.end() + count as u64),
            () => Err(Full::Wait), // whoever lets it in notifies
        };
        roster.publish_limit(self);
        found
    }

    /// Takes note that somebody waits for room, and is to be notified of it.
    pub(crate) fn want_room(&self) -> WantsRoom<'_> {
        self.wanting.fetch_add(1, Ordering::SeqCst);
        in_one_order();
        WantsRoom { ring: self }
    }

    /// Publishes what must not wait for readers. What does not fit goes in later, by itself, before
    /// anything of publishers that wait.
    pub(crate) fn append_always(&self, events: Vec<Incoming>) {
        let mut roster = self.roster.lock();
        if roster.overflow.is_empty() && !events.is_empty() {
            self.wanting.fetch_add(1, Ordering::SeqCst);
            in_one_order();
        }
        roster.overflow.extend(events);
        let after = self.let_in(&mut roster);
        drop(roster);
        after.carry_out();
    }

    /// Names who is to [tend](Ring::tend) the ring where no reader does: what overflowed waits for
    /// a publisher, which tells nobody when it is done.
    pub(crate) fn tended_by(&self, tender: Arc<dyn Rouse>) {
        self.roster.lock().tender = Some(tender);
    }

    /// Looks after what waits for room. Called by readers that have made some.
    #[cold]
    pub(crate) fn tend(&self) {
        let mut roster = self.roster.lock();
        let after = self.let_in(&mut roster);
        drop(roster);
        after.carry_out();
        self.room.notify();
    }

    /// Publishes what overflowed, as far as there is room.
    pub(super) fn let_in(&self, roster: &mut Roster) -> Afterwards {
        let mut after = Afterwards::default();
        if roster.overflow.is_empty() {
            return after;
        }
        while !roster.overflow.is_empty() {
            let at = self.end();
            if let Err(full) = roster.make_room(self, at + 1) {
                if full == Full::Soon {
                    after.woken.extend(roster.tender.clone());
                }
                break;
            }
            let claimed = &self.claimed;
            if claimed.compare_exchange(at, at + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            let Some(Incoming { route, tag, cell }) = roster.overflow.pop_front() else { break };
            let slot = self.slot(at);
            after.old.extend(slot.replace(cell.into_raw()));
            slot.tag.store(tag.bits(), Ordering::Release);
            after.woken.extend(self.rouse_locked(roster, &route, tag, at));
            slot.stamp.store(at, Ordering::Release);
        }
        if roster.overflow.is_empty() {
            self.wanting.fetch_sub(1, Ordering::SeqCst);
        }
        roster.publish_limit(self);
        after
    }

    /// Refuses publishers from now on.
    pub(crate) fn close(&self) {
        let mut roster = self.roster.lock();
        roster.closed = true;
        roster.publish_limit(self);
        drop(roster);
        self.room.notify();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.roster.lock().closed
    }

    /// Notified when there may be room.
    pub(crate) fn room(&self) -> &Monitor {
        &self.room
    }

    /// The first position from `from` on that is not written yet.
    pub(super) fn first_unstamped(&self, from: u64) -> u64 {
        let end = self.end();
        (from..end).find(|at| !self.is_stamped(*at)).unwrap_or(end)
    }
}

/// What is to be done once the lock is free.
#[derive(Default)]
pub(super) struct Afterwards {
    woken: Vec<Arc<dyn Rouse>>,
    /// Events to drop.
    old: Vec<CellRef>,
}

impl Afterwards {
    pub(super) fn carry_out(self) {
        drop(self.wake()); // runs the events' own code
    }

    /// Leaves the events to be dropped by the caller.
    pub(super) fn wake(self) -> Vec<CellRef> {
        self.woken.into_iter().for_each(Rouse::rouse);
        self.old
    }
}

/// Somebody who waits for room.
pub(crate) struct WantsRoom<'a> {
    ring: &'a Ring,
}

impl Drop for WantsRoom<'_> {
    fn drop(&mut self) {
        self.ring.wanting.fetch_sub(1, Ordering::SeqCst);
    }
}
