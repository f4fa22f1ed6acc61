//! The newest part of the journal in memory: one ring, many publishers, many readers.
//!
//! A publisher claims a position, moves its event into the cell of that position's slot, and stamps
//! the slot. Every reader goes through the slots at its own pace and borrows the events where they
//! lie; nothing is copied for a reader, and publishing does not get dearer with their number. When
//! the ring comes round, the publisher drops the old event and writes the new one over it.
//!
//! # Invariants
//!
//! With `C` the capacity, `claimed` the next position to claim, `until` the first that may not be
//! claimed yet, and `floor = until - C`:
//!
//! 1. A position is claimed by one publisher, in order: `claimed` only grows, by compare-exchange,
//!    and stays at or below `until`.
//! 2. `slot(p)` is written by whoever claimed `p`, once, before it stores the stamp `p`; and read for
//!    `p` only after a load of that stamp.
//! 3. `floor` is at or below every position that is claimed and not stamped, and at or below the
//!    cursor of every reader that is neither asleep nor out. So whoever claims `p` finds that
//!    `slot(p - C)` was stamped, and that nobody reads it any more. `until` is raised under the
//!    roster's lock only, by a look at all cursors.
//! 4. A reader's cursor only grows, and never passes a slot that is not stamped. Its reader moves it
//!    by compare-exchange; so does, under the lock, a publisher that needs the room of a reader which
//!    is not to be waited for. Whoever displaces a reader first seizes its cursor, so that it opens
//!    nothing more, and then takes a share in every cell that it may have open. A reader looks at the
//!    stamps, and then whether its cursor is its own; both sides do that in one total order, so that
//!    no stamp which the reader has seen is missing to the other.
//! 5. A reader falls asleep under the lock, at a moment when `claimed` is its cursor: it raises
//!    `Route::asleep` of the kinds it wants, then reads `claimed` by a read-modify-write. A publisher
//!    reads `Route::asleep` after its claim, and wakes before it stamps. So either the publisher
//!    sees the sleeper, or the sleeper sees the claim; and nothing that a sleeper wants is stamped.
//! 6. A reader that is woken goes on at `max(cursor, floor)`: by 3 and 5, whatever lies between was
//!    stamped while it slept, and nothing of that is for it.
//! 7. Who needs room sleeps only while a reader is in the way: it raises `wanting`, then looks at the
//!    cursors; a reader moves its cursor on, then looks at `wanting`; all in one total order. A
//!    publisher that has yet to stamp tells nobody when it has, and so it is looked for time and
//!    again: by those who need the room, and for what overflowed by the tender.

#![allow(unsafe_code)] // the one place; see docs/architecture.md

mod cell;
mod claim;
mod displace;
mod members;
#[cfg(all(test, tidings_loom))]
mod models;
mod relieve;
mod rest;
mod room;
mod roster;
mod seat;
mod sync;
mod tag;
#[cfg(all(test, not(tidings_loom)))]
mod tests;
mod waiting;

use std::{ptr, ptr::NonNull};

use cell::Cell;
pub(crate) use cell::{CellRef, Seen, Shared};
pub(crate) use claim::{Incoming, NoRoom};
pub(crate) use relieve::{Leaving, Relieved};
pub(crate) use room::Full;
use roster::Roster;
pub(crate) use roster::{GroupId, Overrun, Phase, Rouse, Seats};
pub(crate) use seat::{Batch, Open, Opened, Seat};
use sync::{Apart, AtomicPtr, AtomicU32, AtomicU64, Mutex, Ordering};
use tag::Wants;
pub(crate) use tag::{Route, Tag};

use crate::runtime::Monitor;

/// How many positions ahead of the one that is written memory is fetched.
#[cfg(all(target_arch = "x86_64", not(miri), not(tidings_loom)))]
const AHEAD: u64 = 16;

fn furnish(slots: &[Slot]) {
    let mut slots = slots.iter();
    while slots.len() > 0 {
        for cell in Cell::allocate_block(slots.len()) {
            if let Some(slot) = slots.next() {
                slot.cell.store(cell.as_ptr(), Ordering::Relaxed);
            }
        }
    }
}

/// The ring. See the module for how it works.
pub(crate) struct Ring {
    slots: Box<[Slot]>,
    mask: u64,
    capacity: u64,
    /// The next position to claim.
    claimed: Apart<AtomicU64>,
    /// Positions below it may be claimed without a lock: `until`, or 0 while publishers are to take
    /// the lock first.
    limit: Apart<AtomicU64>,
    /// How many wait for room. A reader that moves its cursor on looks here afterwards, and whoever
    /// waits looks at the cursors after it has raised it; both in one total order.
    wanting: Apart<AtomicU32>,
    roster: Mutex<Roster>,
    /// Notified when there may be room for publishers that wait.
    room: Monitor,
}

/// Where a position of the ring has its event. Written by whoever claimed the position, before the
/// stamp.
struct Slot {
    /// The position that was written last; 0 for none.
    stamp: AtomicU64,
    tag: AtomicU64,
    /// Owned by the slot, null before the first lap.
    cell: AtomicPtr<Cell>,
}

impl Slot {
    fn empty() -> Self {
        Self {
            stamp: AtomicU64::new(0),
            tag: AtomicU64::new(0),
            cell: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// A cell to write to, in the hands of whoever has claimed the slot's position.
    #[inline]
    fn free_cell(&self) -> NonNull<Cell> {
        if let Some(cell) = NonNull::new(self.cell.load(Ordering::Relaxed))
            // SAFETY: the slot owns its cell.
            && unsafe { cell.as_ref() }.is_unshared()
        {
            return cell;
        }
        let cell = Cell::allocate();
        drop(self.replace(cell));
        cell
    }

    fn cell(&self) -> Option<NonNull<Cell>> {
        NonNull::new(self.cell.load(Ordering::Acquire))
    }

    /// Gives the slot another cell. The old one is the caller's to drop, which may run the code of
    /// an event: best without a lock, and after the stamp.
    fn replace(&self, cell: NonNull<Cell>) -> Option<CellRef> {
        let old = NonNull::new(self.cell.swap(cell.as_ptr(), Ordering::Release))?;
        // SAFETY: the slot owned it, and has forgotten it.
        Some(unsafe { CellRef::from_raw(old) })
    }
}

impl Ring {
    /// A ring whose first position is `first`, from 1. `furnished` with cells for events that come
    /// without one of their own.
    pub(crate) fn new(first: u64, capacity: usize, furnished: bool) -> Self {
        let capacity = capacity.max(1);
        let slots = (0..capacity.next_power_of_two()).map(|_| Slot::empty()).collect::<Box<[_]>>();
        if furnished {
            furnish(&slots);
        }
        let until = first + capacity as u64;
        Self {
            mask: slots.len() as u64 - 1,
            slots,
            capacity: capacity as u64,
            claimed: Apart(AtomicU64::new(first)),
            limit: Apart(AtomicU64::new(until)),
            wanting: Apart(AtomicU32::new(0)),
            roster: Mutex::new(Roster::new(until)),
            room: Monitor::default(),
        }
    }

    /// The position that the next event will get.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.claimed.load(Ordering::Acquire)
    }

    pub(crate) fn capacity(&self) -> usize {
        usize::try_from(self.capacity).unwrap_or(usize::MAX)
    }

    #[inline]
    fn slot(&self, position: u64) -> &Slot {
        #[allow(clippy::cast_possible_truncation)] // below the number of slots
        let at = (position & self.mask) as usize;
        // SAFETY: the mask is one less than the number of slots, a power of two.
        unsafe { self.slots.get_unchecked(at) }
    }

    /// Has the processor fetch what will be written soon, to write to it: another one has read it,
    /// and fetching it only then would cost more than all the rest of a publish.
    #[inline]
    fn expect_write(&self, position: u64) {
        #[cfg(all(target_arch = "x86_64", not(miri), not(tidings_loom)))]
        {
            let slot = ptr::from_ref(self.slot(position + 2 * AHEAD));
            let cell = self.slot(position + AHEAD).cell.load(Ordering::Relaxed);
            // SAFETY: a prefetch changes nothing, wherever it points.
            unsafe {
                std::arch::asm!("prefetchw [{}]", "prefetchw [{}]", in(reg) slot, in(reg) cell,
                    options(nostack, preserves_flags, readonly));
            }
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri), not(tidings_loom))))]
        let _ = position;
    }

    /// Has the processor fetch what will be read soon.
    #[inline]
    fn expect_read(cell: NonNull<Cell>) {
        #[cfg(all(target_arch = "x86_64", not(miri), not(tidings_loom)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch changes nothing, wherever it points.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(cell.as_ptr().cast_const().cast()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri), not(tidings_loom))))]
        let _ = cell;
    }

    /// Whether a position that was claimed is written, and not yet written over. In one total order
    /// with the look of a reader, see invariant 4.
    #[inline]
    fn is_stamped(&self, position: u64) -> bool {
        self.slot(position).stamp.load(Ordering::SeqCst) == position
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for slot in &self.slots {
            if let Some(cell) = NonNull::new(slot.cell.load(Ordering::Acquire)) {
                // SAFETY: the slot owned it, and is gone after this.
                drop(unsafe { CellRef::from_raw(cell) });
            }
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("end", &self.end())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
