//! Who joins and who leaves, and waking those who sleep.

use std::sync::Arc;

use super::{
    GroupId, Overrun, Ring, Rouse, Route, Seats, Tag,
    roster::{Group, Reader, Roster},
    sync::Ordering,
};

impl Ring {
    pub(crate) fn new_group(&self) -> GroupId {
        let mut roster = self.roster.lock();
        roster.group_count += 1;
        roster.group_count
    }

    /// Lets a group of readers in, each at its position (`None`: the end) and with what it runs on.
    pub(crate) fn join(
        &self,
        id: GroupId,
        seats: Seats,
        overrun: Overrun,
        readers: Vec<(Option<u64>, Arc<dyn Rouse>)>,
    ) {
        let Seats { routes, wants, places, divided } = seats;
        let mut roster = self.roster.lock();
        for route in &routes {
            route.wanted.fetch_add(1, Ordering::Relaxed);
            if divided {
                route.divided.fetch_add(1, Ordering::Relaxed);
            }
        }
        // A read-modify-write: who claims after it sees what was set before it.
        let end = self.claimed.fetch_add(0, Ordering::AcqRel);
        // What was claimed before may not be stamped yet, and the floor must not pass it.
        let unstamped = self.first_unstamped(roster.floor(self));
        let mut group =
            Group { routes, wants, overrun, divided, readers: Vec::new(), before: Vec::new() };
        for (place, (at, task)) in places.into_iter().zip(readers) {
            let start = at.unwrap_or(end).min(end);
            let stays_out = overrun == Overrun::Leave && start < roster.floor(self);
            place.begin(id, start, (!stays_out).then_some(start.min(unstamped)));
            group.readers.push(Reader { place, task });
        }
        roster.groups.insert(id, group);
    }

    /// Forgets a group and stops what its readers run on. What one of them has open stays where it
    /// is for as long as it is open, and holds nobody up.
    pub(crate) fn leave(&self, id: GroupId) {
        let mut roster = self.roster.lock();
        let Some(group) = roster.groups.remove(&id) else { return };
        for (lane, Reader { place, .. }) in (0..).zip(&group.readers) {
            roster.wake(self, &group, place);
            self.put_out(&group, lane, place);
            place.displaced.lock().left = true;
        }
        for route in &group.routes {
            route.wanted.fetch_sub(1, Ordering::Relaxed);
            if group.divided {
                route.divided.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let after = self.let_in(&mut roster);
        drop(roster);
        after.carry_out();
        self.room.notify();
        group.readers.iter().for_each(|reader| reader.task.stop());
    }

    /// Wakes the readers asleep that want an event about to be stamped. Returns what they run on.
    #[cold]
    pub(super) fn rouse(&self, route: &Route, tag: Tag, at: u64) -> Vec<Arc<dyn Rouse>> {
        self.rouse_locked(&self.roster.lock(), route, tag, at)
    }

    pub(super) fn rouse_locked(
        &self,
        roster: &Roster,
        route: &Route,
        tag: Tag,
        at: u64,
    ) -> Vec<Arc<dyn Rouse>> {
        let mut woken = Vec::new();
        for group in roster.groups.values().filter(|group| group.wants.contain(route.kind)) {
            let lanes = group.lanes();
            let is_for = |lane| lanes == 1 || !tag.is_hashed() || tag.lane(at, lanes) == lane;
            for (lane, reader) in (0..).zip(&group.readers) {
                if reader.place.asleep.load(Ordering::Relaxed) && is_for(lane) {
                    roster.wake(self, group, &reader.place);
                    woken.push(Arc::clone(&reader.task));
                }
            }
        }
        woken
    }
}
