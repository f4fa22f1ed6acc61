//! Reading: a reader's seat, and what it has open.

use std::{marker::PhantomData, mem::ManuallyDrop, ops::Deref, ptr::NonNull, sync::Arc};

use super::{
    CellRef, Ring, Tag, Wants,
    cell::{Cell, Seen},
    roster::{Displaced, OUT, Phase, Place, SKIPPED, SPAN, Seats},
    sync::{Ordering, in_one_order},
};
use crate::contract::NameId;

/// The one end of a reader's place that reads. It belongs to the reader alone.
pub(crate) struct Seat {
    place: Arc<Place>,
    wants: Arc<Wants>,
    lane: u32,
    lanes: u32,
    /// Everything before it has been read. 0 before the reader begins.
    next: u64,
    /// What is open: the first `count` items.
    open: Box<[Item; OPEN]>,
    count: usize,
    /// Events passed over because the reader was too slow.
    missed: u64,
}

/// How many events a reader has open at once.
const OPEN: usize = 256;

/// An event that a reader has open.
#[derive(Clone, Copy)]
struct Item {
    cell: NonNull<Cell>,
    /// How far behind the seat's `next` it is.
    ahead: u32,
    kind: NameId,
}

impl Item {
    const NONE: Self =
        Self { cell: NonNull::dangling(), ahead: 0, kind: NameId::from_number(u32::MAX) };
}

// SAFETY: only a `Batch` touches the cells, which may be read from any thread.
unsafe impl Send for Item {}

/// What a reader finds.
pub(crate) enum Opened<'a> {
    /// Events that it wants, in order: at least one.
    Batch(Batch<'a>),
    /// Nothing for it, though it may have passed over events of others.
    Nothing,
    /// It has no place in the ring: what is missing is in storage, up to where the ring begins.
    Behind { from: u64, to: u64 },
    /// Its group has left.
    Gone,
}

impl Seat {
    /// The seats of readers about to join, by lane.
    pub(crate) fn of(seats: &Seats) -> Vec<Self> {
        let lanes = u32::try_from(seats.places.len()).unwrap_or(u32::MAX);
        let seat = |(lane, place): (u32, &Arc<Place>)| Self {
            place: Arc::clone(place),
            wants: Arc::clone(&seats.wants),
            lane,
            lanes,
            next: 0,
            open: Box::new([Item::NONE; OPEN]),
            count: 0,
            missed: 0,
        };
        (0..).zip(&seats.places).map(seat).collect()
    }

    /// Everything before it has been read.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the next position has been written.
    pub(crate) fn has_next(&self, ring: &Ring) -> bool {
        self.next > 0 && ring.is_stamped(self.next)
    }

    /// How many events the reader has missed since it last asked.
    pub(crate) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// Says that the reader begins a turn: it will look at what it was sent.
    pub(crate) fn begin(&self) {
        // The phase first: whoever sees that it is not poked any more sees that it works.
        self.place.set_phase(Phase::Working);
        if self.place.poked.load(Ordering::Relaxed) {
            self.place.poked.store(false, Ordering::Release);
        }
    }

    /// Opens up to `most` events. They stay open, and hold the ring up where it has to wait for this
    /// reader, until the batch is closed.
    #[inline]
    pub(crate) fn open<'a>(&'a mut self, ring: &'a Ring) -> Opened<'a> {
        // Acquire: whoever has woken this reader has moved its cursor on before.
        if self.place.asleep.load(Ordering::Acquire) {
            ring.wake_place(&self.place);
        }
        if self.next == 0 {
            self.begin_at_start();
        }
        if self.place.cursor.load(Ordering::Acquire) != self.next
            && let Some(elsewhere) = self.relocate(ring)
        {
            return elsewhere;
        }
        let end = self.look(ring);
        in_one_order();
        // What was read of the slots counts only if nobody has displaced this reader before.
        if self.place.cursor.load(Ordering::SeqCst) != self.next {
            return Opened::Nothing;
        }
        if self.count == 0 {
            self.pass(ring, end);
            return Opened::Nothing;
        }
        Opened::Batch(Batch { first: self.next, seat: self, ring, end })
    }

    fn begin_at_start(&mut self) {
        self.next = match self.place.cursor.load(Ordering::Acquire) {
            OUT => self.place.start.load(Ordering::Relaxed),
            cursor => cursor & !SKIPPED,
        };
    }

    /// Finds the events from `next` on that this reader wants. Returns where it stopped.
    #[inline]
    fn look(&mut self, ring: &Ring) -> u64 {
        let start = self.place.start.load(Ordering::Relaxed);
        if self.lanes > 1 || self.next < start {
            let wants = Arc::clone(&self.wants);
            return self.look_for(ring, |seat, tag, at, cell| {
                at >= start && wants.contain(tag.kind()) && seat.is_mine(ring, tag, at, cell)
            });
        }
        match &*self.wants {
            Wants::One(one) => {
                let one = *one;
                self.look_for(ring, |_, tag, _, _| tag.kind() == one)
            }
            Wants::Many(_) => {
                let wants = Arc::clone(&self.wants);
                self.look_for(ring, |_, tag, _, _| wants.contain(tag.kind()))
            }
        }
    }

    #[inline]
    fn look_for(
        &mut self,
        ring: &Ring,
        is_wanted: impl Fn(&Self, Tag, u64, NonNull<Cell>) -> bool,
    ) -> u64 {
        let (mut count, mut at) = (0, self.next);
        let end = self.next + SPAN;
        while at < end && count < OPEN {
            let slot = ring.slot(at);
            if slot.stamp.load(Ordering::SeqCst) != at {
                break;
            }
            let tag = Tag::from_bits(slot.tag.load(Ordering::Acquire));
            if let Some(cell) = slot.cell()
                && is_wanted(self, tag, at, cell)
            {
                #[allow(clippy::cast_possible_truncation)] // at most SPAN
                let ahead = (at - self.next) as u32;
                Ring::expect_read(cell);
                self.open[count] = Item { cell, ahead, kind: tag.kind() };
                count += 1;
            }
            at += 1;
        }
        self.count = count;
        at
    }

    /// Whether an event is for this lane of several.
    fn is_mine(&self, ring: &Ring, tag: Tag, at: u64, cell: NonNull<Cell>) -> bool {
        if self.lanes == 1 {
            return true;
        }
        if tag.is_hashed() {
            return tag.lane(at, self.lanes) == self.lane;
        }
        // Published just when this subscription joined.
        let share = ring.share_for(&self.place, self.next, cell);
        let tag = share.map(|share| Tag::hashed(tag.kind(), share.key().as_ref()));
        tag.is_some_and(|tag| tag.lane(at, self.lanes) == self.lane)
    }

    /// Passes over what is not for this reader.
    fn pass(&mut self, ring: &Ring, to: u64) {
        if to > self.next {
            self.move_on(ring, to, 0);
        }
    }

    /// Moves the cursor on. `handled` events that were open lie before `to`.
    #[inline]
    fn move_on(&mut self, ring: &Ring, to: u64, handled: u64) {
        let (from, place) = (self.next, &self.place);
        place.frontier.store(to, Ordering::Relaxed);
        if place.cursor.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return self.settle_displaced(ring, to, handled);
        }
        self.next = to;
        in_one_order();
        if ring.wanting.load(Ordering::SeqCst) > 0 {
            ring.tend();
        }
    }

    /// Somebody has moved this reader on while it had something open.
    #[cold]
    fn settle_displaced(&mut self, ring: &Ring, to: u64, handled: u64) {
        self.next = to;
        ring.settle(&self.place, |displaced, cursor| {
            if cursor == OUT {
                return None;
            }
            // What it has read is not missed, even if it was to be passed over.
            self.missed += displaced.missed.saturating_sub(handled);
            displaced.missed = 0;
            self.next = to.max(cursor & !SKIPPED);
            Some(self.next)
        });
    }

    /// The cursor is not where this reader left it.
    #[cold]
    fn relocate(&mut self, ring: &Ring) -> Option<Opened<'static>> {
        self.settle_displaced(ring, self.next, 0);
        match self.place.cursor.load(Ordering::Acquire) {
            cursor if cursor == self.next => return None,
            OUT => {}
            _ => return Some(Opened::Nothing), // displaced again: to be settled like the first time
        }
        if self.place.displaced.lock().left {
            return Some(Opened::Gone);
        }
        let next = self.next.max(self.place.start.load(Ordering::Relaxed));
        match ring.come_back(&self.place, next) {
            Ok(cursor) => {
                self.next = cursor;
                None
            }
            Err(to) => Some(Opened::Behind { from: next, to }),
        }
    }

    /// The reader has read up to `next` in storage.
    pub(crate) fn advance(&mut self, next: u64) {
        self.next = next;
        self.place.frontier.store(next, Ordering::Relaxed);
    }

    /// Rests: the reader falls asleep if it has seen everything. False if it is `hungry` and there
    /// is more, or if it was sent something meanwhile: it is to look again.
    pub(crate) fn rest(&mut self, ring: &Ring, phase: Phase, hungry: bool) -> bool {
        ring.rest(&self.place, self.next, phase, hungry)
    }
}

/// Events that a reader has open, and borrows where they lie.
pub(crate) struct Batch<'a> {
    seat: &'a mut Seat,
    ring: &'a Ring,
    first: u64,
    end: u64,
}

/// One of them.
pub(crate) struct Open<'a> {
    item: Item,
    position: u64,
    batch: PhantomData<&'a Item>,
}

impl Batch<'_> {
    pub(crate) fn len(&self) -> usize {
        self.seat.count
    }

    /// Whether there was more to open.
    pub(crate) fn is_full(&self) -> bool {
        self.seat.count == OPEN || self.end == self.first + SPAN
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<Open<'_>> {
        let item = *self.seat.open[..self.seat.count].get(at)?;
        let position = self.first + u64::from(item.ahead);
        Some(Open { item, position, batch: PhantomData })
    }

    /// Says that everything before this one is done with, for those who ask from outside.
    #[inline]
    pub(crate) fn done_before(&self, event: &Open<'_>) {
        self.seat.place.frontier.store(event.position(), Ordering::Relaxed);
    }

    /// Says that this one and everything before it is in the reader's hands.
    pub(crate) fn taken(&self, event: &Open<'_>) {
        self.seat.place.frontier.store(event.position() + 1, Ordering::Relaxed);
    }

    /// Gives the first `done` back to the ring. The others come again.
    pub(crate) fn close(self, done: usize) {
        let to = self.get(done).map_or(self.end, |open| open.position);
        let done = done.min(self.seat.count);
        let (ring, seat) = (self.ring, self.seat);
        seat.count = 0;
        if to > seat.next {
            seat.move_on(ring, to, done as u64);
        }
    }
}

impl<'a> Open<'a> {
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    #[inline]
    pub(crate) fn kind(&self) -> NameId {
        self.item.kind
    }

    /// The event, if it is an `E`.
    #[inline]
    pub(crate) fn get<E: 'static>(&self, seen: &mut Seen<E>) -> Option<&'a E> {
        // SAFETY: while the batch is open the ring waits for its reader, or has given it a share:
        // the cell is neither written nor freed (invariants 3 and 4).
        unsafe { Cell::get_like(self.item.cell, seen) }
    }

    /// See [`Cell::watch`].
    #[cfg(all(test, tidings_loom))]
    pub(super) fn watch(&self) -> impl Sized + use<> {
        // SAFETY: as above.
        unsafe { self.item.cell.as_ref() }.watch()
    }

    /// Itself, as long as the batch is open, without the cost of a share.
    #[inline]
    pub(crate) fn look(&self) -> impl Deref<Target = CellRef> + use<'a> {
        struct Look<'a>(ManuallyDrop<CellRef>, PhantomData<&'a ()>);

        impl Deref for Look<'_> {
            type Target = CellRef;

            fn deref(&self) -> &CellRef {
                &self.0
            }
        }

        // SAFETY: as above; what never took a share gives none back.
        Look(ManuallyDrop::new(unsafe { CellRef::from_raw(self.item.cell) }), PhantomData)
    }

    /// A share of it, to keep it.
    pub(crate) fn keep(&self) -> CellRef {
        // SAFETY: as above; the slot, or the share that the reader was given, owns it.
        unsafe { CellRef::share(self.item.cell) }
    }
}

impl Ring {
    /// Wakes a reader that has something else to do.
    #[cold]
    fn wake_place(&self, place: &Place) {
        let roster = self.roster.lock();
        if let Some(group) = roster.groups.get(&place.group.load(Ordering::Relaxed)) {
            roster.wake(self, group, place);
        }
    }

    /// Takes a share of a cell that a reader at `next` looks at.
    fn share_for(&self, place: &Place, next: u64, cell: NonNull<Cell>) -> Option<CellRef> {
        let _locked = self.roster.lock();
        // SAFETY: the reader holds the ring up, and nobody can displace it now.
        (place.cursor.load(Ordering::SeqCst) == next).then(|| unsafe { CellRef::share(cell) })
    }

    /// Tells a reader what others have done to it. `settle` says where its cursor is to be.
    fn settle(&self, place: &Place, settle: impl FnOnce(&mut Displaced, u64) -> Option<u64>) {
        let locked = self.roster.lock();
        let mut displaced = place.displaced.lock();
        let kept = std::mem::take(&mut displaced.kept);
        if let Some(cursor) = settle(&mut displaced, place.cursor.load(Ordering::SeqCst)) {
            place.cursor.store(cursor, Ordering::SeqCst);
        }
        drop(displaced);
        drop(locked);
        drop(kept); // runs the events' own code, if this was their last share
    }
}
