//! Publishing: claim positions, write, stamp.

use std::sync::Arc;

use super::{CellRef, Ring, Rouse, Route, Tag, sync::Ordering};
use crate::{event::Event, runtime::Timestamp};

/// There is no room, or the lock is to be taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// An event on its way into the ring, in a cell of its own.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) route: Arc<Route>,
    pub(crate) tag: Tag,
    pub(crate) cell: CellRef,
}

/// Positions that a publisher has claimed, and has to stamp. Those that are left when it is dropped
/// are stamped as nothing: a publisher that panics must not leave a hole, since readers would wait
/// for it for ever.
struct Claim<'a> {
    ring: &'a Ring,
    next: u64,
    end: u64,
}

/// A position to write one event to.
#[must_use = "readers wait for what is claimed"]
pub(crate) struct Claimed<'a>(Claim<'a>);

impl Claimed<'_> {
    /// Writes the event, and returns the position.
    #[inline]
    pub(crate) fn write<E: Event>(
        mut self,
        route: &Route,
        tag: Tag,
        event: E,
        published_at: Timestamp,
    ) -> u64 {
        let at = self.0.next;
        self.0.fill(route, tag, |slot| {
            let cell = slot.free_cell();
            // SAFETY: the slot's position is claimed, so nobody reads it (invariant 3), and the
            // cell is unshared.
            unsafe { cell.as_ref().put(event, published_at, None) };
        });
        at
    }
}

impl Claim<'_> {
    /// Writes the next position's event with `write`, which gets the slot's cell.
    #[inline]
    fn fill(&mut self, route: &Route, tag: Tag, write: impl FnOnce(&super::Slot)) {
        let (ring, at) = (self.ring, self.next);
        let slot = ring.slot(at);
        ring.expect_write(at);
        write(slot);
        slot.tag.store(tag.bits(), Ordering::Release);
        if route.asleep.load(Ordering::Relaxed) == 0 {
            self.next += 1;
            slot.stamp.store(at, Ordering::Release);
            return;
        }
        // Before the stamp: a sleeper holds nothing in the ring.
        let woken = ring.rouse(route, tag, at);
        self.next += 1;
        slot.stamp.store(at, Ordering::Release);
        woken.into_iter().for_each(Rouse::rouse);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        while self.next < self.end {
            let slot = self.ring.slot(self.next);
            slot.tag.store(Tag::NOTHING.bits(), Ordering::Release);
            slot.stamp.store(self.next, Ordering::Release);
            self.next += 1;
        }
    }
}

impl Ring {
    /// Claims a position without a lock, for an event to be written right away.
    ///
    /// # Errors
    /// There is no room.
    #[inline]
    pub(crate) fn claim_one(&self) -> Result<Claimed<'_>, NoRoom> {
        self.claim(1).map(Claimed)
    }

    /// Publishes several events of one kind at adjacent positions, from the one that it returns on.
    /// `tags` are those of the events, or empty where nobody has asked for their keys.
    ///
    /// # Errors
    /// There is no room, and nothing is taken.
    #[inline]
    pub(crate) fn publish_batch<E: Event>(
        &self,
        route: &Route,
        events: &mut Vec<E>,
        tags: &[Tag],
        published_at: Timestamp,
    ) -> Result<u64, NoRoom> {
        let mut claim = self.claim(events.len() as u64)?;
        let first = claim.next;
        let unhashed = Tag::unhashed(route.kind);
        for (at, event) in events.drain(..).enumerate() {
            claim.fill(route, tags.get(at).copied().unwrap_or(unhashed), |slot| {
                let cell = slot.free_cell();
                // SAFETY: as in `Claimed::write`.
                unsafe { cell.as_ref().put(event, published_at, None) };
            });
        }
        Ok(first)
    }

    /// Publishes what has cells already, at adjacent positions from the one that it returns on.
    /// `retire` gets what lay there.
    ///
    /// # Errors
    /// There is no room, and nothing is taken.
    pub(crate) fn append<T>(
        &self,
        items: &mut Vec<T>,
        incoming: impl Fn(T) -> Incoming,
        mut retire: impl FnMut(CellRef),
    ) -> Result<u64, NoRoom> {
        let mut claim = self.claim(items.len() as u64)?;
        let first = claim.next;
        for item in items.drain(..) {
            let Incoming { route, tag, cell } = incoming(item);
            let mut old = None;
            claim.fill(&route, tag, |slot| old = slot.replace(cell.into_raw()));
            old.into_iter().for_each(&mut retire);
        }
        Ok(first)
    }

    /// Whether so many events could be published right now, without a lock.
    #[inline]
    pub(crate) fn has_room(&self, count: usize) -> bool {
        self.claimed.load(Ordering::Relaxed) + count as u64 <= self.limit.load(Ordering::Relaxed)
    }

    #[inline]
    fn claim(&self, count: u64) -> Result<Claim<'_>, NoRoom> {
        let mut next = self.claimed.load(Ordering::Relaxed);
        loop {
            // Acquire, since what allowed the room is to be seen: others are done with the slots.
            if next + count > self.limit.load(Ordering::Acquire) {
                return Err(NoRoom);
            }
            let end = next + count;
            match self.claimed.compare_exchange_weak(next, end, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Ok(Claim { ring: self, next, end }),
                Err(now) => next = now,
            }
        }
    }
}
