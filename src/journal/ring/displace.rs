//! Moving readers on that are not to be waited for.

use super::{
    CellRef, Overrun, Ring, Tag,
    roster::{Group, OUT, Place, SKIPPED, SPAN},
    sync::{Ordering, in_one_order},
};

impl Ring {
    /// Moves a reader at `cursor` on that is not to be waited for, so that it does not hold up
    /// positions below `needed`. Returns where it holds the ring up now, or [`OUT`].
    pub(super) fn displace(
        &self,
        group: &Group,
        lane: u32,
        place: &Place,
        (cursor, needed): (u64, u64),
    ) -> u64 {
        if group.overrun == Overrun::Leave {
            self.put_out(group, lane, place);
            return OUT;
        }
        // Some more, so that this is not to be done for each event.
        let to = self.first_unstamped(cursor).min(needed + self.capacity / 8);
        if to <= cursor {
            return cursor;
        }
        let from = self.seize(group, lane, place);
        let to = to.max(from);
        let began = from.max(place.start.load(Ordering::Relaxed));
        let is_missed = |at: &u64| self.is_for(group, lane, *at) && !self.was_taken(group, *at);
        let missed = (began..to).filter(is_missed).count() as u64;
        place.displaced.lock().missed += missed;
        place.cursor.store(to | SKIPPED, Ordering::SeqCst);
        to
    }

    /// Takes a reader out of the ring. What it has open stays.
    pub(super) fn put_out(&self, group: &Group, lane: u32, place: &Place) {
        if place.cursor.load(Ordering::SeqCst) != OUT {
            self.seize(group, lane, place);
            place.cursor.store(OUT, Ordering::SeqCst);
        }
    }

    /// Takes a cursor out of its reader's hands, until the reader settles that under the lock.
    /// Returns where it is.
    fn seize(&self, group: &Group, lane: u32, place: &Place) -> u64 {
        let mut word = place.cursor.load(Ordering::SeqCst);
        while word & SKIPPED == 0 {
            let seized = word | SKIPPED;
            let order = Ordering::SeqCst;
            match place.cursor.compare_exchange(word, seized, order, Ordering::SeqCst) {
                Err(now) => word = now,
                Ok(_) => {
                    in_one_order();
                    // After it: a reader that has not seen it has seen no stamp that is not seen
                    // here, and opens nothing later.
                    let kept = self.shares(group, lane, word);
                    place.displaced.lock().kept.extend(kept);
                    word = seized;
                }
            }
        }
        word & !SKIPPED
    }

    /// Shares of everything that a reader at `from` may have open. It holds the ring up from there
    /// on, and the lock is held, so that nothing of it is written over meanwhile.
    fn shares(&self, group: &Group, lane: u32, from: u64) -> Vec<CellRef> {
        let open = from..(from + SPAN).min(self.end());
        let shares = open.filter(|at| self.is_stamped(*at) && self.is_for(group, lane, *at));
        // SAFETY: the slot owns its cell, and keeps it as said above.
        shares
            .filter_map(|at| self.slot(at).cell().map(|cell| unsafe { CellRef::share(cell) }))
            .collect()
    }

    fn was_taken(&self, group: &Group, at: u64) -> bool {
        let tag = Tag::from_bits(self.slot(at).tag.load(Ordering::Acquire));
        group.was_taken(tag, at)
    }

    /// Whether the event at a position that is stamped, and held up, is for a reader.
    fn is_for(&self, group: &Group, lane: u32, at: u64) -> bool {
        let slot = self.slot(at);
        let tag = Tag::from_bits(slot.tag.load(Ordering::Acquire));
        if !group.wants.contain(tag.kind()) {
            return false;
        }
        // One without a hash, rare as it is, counts for every lane.
        let lanes = group.lanes();
        lanes == 1 || !tag.is_hashed() || tag.lane(at, lanes) == lane
    }
}
