//! Readers that take over from others, without a gap and without anything coming twice.

use std::sync::Arc;

use super::{
    CellRef, GroupId, Overrun, Ring, Rouse, Seat, Seats, Tag,
    roster::{Group, OUT, Reader},
    sync::Ordering,
};

/// Readers that go, all at once. That their seats are here says that they have nothing open.
pub(crate) struct Leaving {
    pub(crate) group: GroupId,
    /// By lane: the seat, and the position before which the reader has taken everything.
    pub(crate) readers: Vec<(Seat, u64)>,
}

/// What those who come in their stead have to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Relieved {
    /// The position before which each of those who went has taken everything, or missed it.
    pub(crate) taken: Vec<u64>,
    /// How many events they have missed that they were not told of.
    pub(crate) missed: u64,
}

/// What those who went have left. Dropping it runs the code of events, so that no lock may be held.
#[must_use = "is to be dropped without a lock"]
pub(crate) struct Remains {
    _old: Vec<CellRef>,
    _group: Group,
    _leaving: Leaving,
}

impl Ring {
    /// Lets a group of readers in and another one out, as one step. The new ones begin where the old
    /// one that is the furthest behind stopped: what the others had taken already, they have to pass
    /// over by themselves. `None` if the old ones have left before.
    pub(crate) fn relieve(
        &self,
        old: Leaving,
        id: GroupId,
        seats: Seats,
        tasks: Vec<Arc<dyn Rouse>>,
    ) -> Option<(Relieved, Remains)> {
        let mut roster = self.roster.lock();
        let group = roster.groups.remove(&old.group)?;
        for Reader { place, .. } in &group.readers {
            roster.wake(self, &group, place);
        }
        let relieved = group.taken_by(&old.readers);
        let start = relieved.taken.iter().copied().min().unwrap_or_else(|| self.end());
        let Seats { routes, wants, places, divided } = seats;
        for route in routes.iter().filter(|_| divided) {
            route.divided.fetch_add(1, Ordering::Relaxed);
        }
        let floor = roster.floor(self);
        // Storage may be ahead of what is written here, and no cursor passes that.
        let cursor = start.min(self.first_unstamped(floor));
        let stays_out = group.overrun == Overrun::Leave && start < floor;
        for place in &places {
            place.begin(id, start, (!stays_out).then_some(cursor));
        }
        let readers = places.into_iter().zip(tasks).map(|(place, task)| Reader { place, task });
        let readers = readers.collect();
        let overrun = group.overrun;
        let before = group.before.iter().filter(|taken| taken.iter().any(|to| *to > start));
        let before = before.chain([&relieved.taken]).cloned().collect();
        roster.groups.insert(id, Group { routes, wants, overrun, divided, readers, before });
        group.retire();
        let after = self.let_in(&mut roster);
        drop(roster);
        let dropped = after.wake();
        self.room.notify();
        group.readers.iter().for_each(|reader| reader.task.stop());
        Some((relieved, Remains { _old: dropped, _group: group, _leaving: old }))
    }
}

impl Group {
    fn taken_by(&self, readers: &[(Seat, u64)]) -> Relieved {
        let mut relieved = Relieved { taken: Vec::new(), missed: 0 };
        for (Reader { place, .. }, (_, taken)) in self.readers.iter().zip(readers) {
            // Where a reader may turn to storage, what it has read there counts and not its cursor.
            let moved_on = place.holds().filter(|_| self.overrun != Overrun::Leave);
            relieved.taken.push(moved_on.unwrap_or(0).max(*taken));
            relieved.missed += place.displaced.lock().missed;
        }
        relieved
    }

    /// Whether an event was taken by somebody whose work these readers go on with.
    pub(super) fn was_taken(&self, tag: Tag, at: u64) -> bool {
        self.before.iter().any(|taken| {
            let lanes = u32::try_from(taken.len()).unwrap_or(u32::MAX);
            taken.get(tag.lane(at, lanes) as usize).is_some_and(|to| at < *to)
        })
    }

    /// Nobody reads here any more.
    fn retire(&self) {
        for Reader { place, .. } in &self.readers {
            place.cursor.store(OUT, Ordering::SeqCst);
            place.displaced.lock().left = true;
        }
        for route in self.routes.iter().filter(|_| self.divided) {
            route.divided.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
