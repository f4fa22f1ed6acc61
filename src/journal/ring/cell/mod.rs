//! Where an event lives: a cell of fixed size, written by one publisher and read by many.
//!
//! A cell belongs to a slot of the ring, and is written again each time the ring comes round. Who
//! wants an event for longer takes a share ([`CellRef`]); the ring then leaves the cell to whoever
//! shares it, and gives its slot another one. So an event is moved into its cell once, and neither
//! moved nor copied after that.

#[cfg(all(test, not(tidings_loom)))]
mod tests;

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    any::TypeId,
    fmt,
    marker::PhantomData,
    mem::{MaybeUninit, align_of, offset_of, size_of},
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::{self, NonNull},
    sync::Arc,
};

use super::sync::{AtomicU32, Ordering, UnsafeCell, fence};
use crate::{
    event::{Event, Key},
    message::Envelope,
    runtime::{Timestamp, inside_task},
};

/// Events up to this size live in the cell itself, larger ones in a box of their own: with what
/// stands before it, two cache lines.
const INLINE: usize = 96;
const WORDS: usize = INLINE / size_of::<u64>();
/// How the data of a cell are aligned. Those of a modelled cell lie elsewhere.
const ALIGN: usize = if cfg!(tidings_loom) { 8 } else { 32 };

type Data = [MaybeUninit<u64>; WORDS];

/// A cell of the ring, or on its own. What a reader touches of a small event is one cache line.
#[repr(C, align(64))]
pub(super) struct Cell {
    /// One for the ring or the draft that owns it, one for each share. Whoever sees 1 and is an
    /// owner is alone: only an owner, or a reader whom the ring waits for, can add to 1.
    refs: AtomicU32,
    /// How many cells lie between the start of its block and this one; 0 for a cell that was
    /// allocated alone.
    home: u32,
    content: UnsafeCell<Content>,
}

/// What a block of cells begins with. A ring's first cells lie side by side, as processors like it.
#[repr(C, align(64))]
struct Block {
    /// Cells of the block that are in use.
    live: AtomicU32,
    cells: u32,
    room: MaybeUninit<[u8; size_of::<Cell>() - 8]>,
}

#[repr(C)]
struct Content {
    vtable: &'static Vtable,
    published_at: Timestamp,
    /// Where the message has more than an event: ids of its own, headers.
    envelope: Option<Arc<Envelope>>,
    data: Data,
}

// The data are aligned as `Of::INLINE` takes them to be.
const _: () = {
    let at = offset_of!(Cell, content) + offset_of!(Content, data);
    let is_aligned = align_of::<Cell>().is_multiple_of(ALIGN) && at.is_multiple_of(ALIGN);
    assert!(is_aligned || cfg!(tidings_loom));
};

/// What is known of the type of an event in a cell.
struct Vtable {
    type_id: TypeId,
    /// Drops the event in these data. `None` where there is nothing to do.
    drop: Option<unsafe fn(*mut Data)>,
    key: unsafe fn(*const Data) -> Option<Key>,
}

/// Remembers which vtable was seen to be of an `E`. There may be several of one type.
pub(crate) struct Seen<E> {
    vtable: *const Vtable,
    event: PhantomData<fn() -> E>,
}

impl<E> Seen<E> {
    pub(crate) fn nothing() -> Self {
        Self { vtable: ptr::null(), event: PhantomData }
    }
}

/// An empty cell's.
static NOTHING: Vtable = Vtable { type_id: TypeId::of::<()>(), drop: None, key: |_| None };

/// How an `E` lies in a cell.
struct Of<E>(PhantomData<E>);

impl<E: Event> Of<E> {
    const VTABLE: &'static Vtable = &Vtable {
        type_id: TypeId::of::<E>(),
        drop: if Self::INLINE && !std::mem::needs_drop::<E>() {
            None
        } else {
            // SAFETY: `Content::put` wrote an `E`, and the caller will not touch it again.
            Some(|data| unsafe { drop(Self::take(data)) })
        },
        // SAFETY: `Content::put` wrote an `E`.
        key: |data| unsafe { (*Self::locate(data)).key() },
    };
}

impl<E> Of<E> {
    const INLINE: bool = size_of::<E>() <= INLINE && align_of::<E>() <= ALIGN;

    #[inline]
    fn put(data: &mut Data, event: E) {
        let at = ptr::from_mut(data);
        // SAFETY: the data are large and aligned enough (checked by `INLINE`; a pointer always
        // fits), and whatever was in them is gone.
        unsafe {
            if Self::INLINE {
                ptr::write(at.cast::<E>(), event);
            } else {
                ptr::write(at.cast::<*mut E>(), Box::into_raw(Box::new(event)));
            }
        }
    }

    /// # Safety
    /// The data hold an `E`.
    #[inline]
    unsafe fn locate(data: *const Data) -> *const E {
        if Self::INLINE {
            return data.cast();
        }
        // SAFETY: `put` wrote a pointer.
        unsafe { data.cast::<*const E>().read() }
    }

    /// # Safety
    /// The data hold an `E`, and nobody looks at it again.
    unsafe fn take(data: *mut Data) -> E {
        // SAFETY: as the caller says; a boxed one came from `Box::into_raw`.
        unsafe {
            if Self::INLINE {
                ptr::read(data.cast::<E>())
            } else {
                *Box::from_raw(data.cast::<*mut E>().read())
            }
        }
    }
}

impl Content {
    #[inline]
    fn put<E: Event>(&mut self, event: E, at: Timestamp, envelope: Option<Arc<Envelope>>) {
        self.clear();
        Of::put(&mut self.data, event);
        self.vtable = Of::<E>::VTABLE;
        self.published_at = at;
        if envelope.is_some() {
            self.envelope = envelope;
        }
    }

    /// Puts an event with its envelope, which takes the memory of the old one if it can.
    fn put_with<E: Event>(&mut self, event: E, envelope: Envelope) -> Arc<Envelope> {
        let at = envelope.published_at;
        let envelope = renew(self.envelope.take(), envelope);
        self.put(event, at, Some(Arc::clone(&envelope)));
        envelope
    }

    #[inline]
    fn clear(&mut self) {
        if self.envelope.is_some() {
            self.envelope = None;
        }
        let vtable = std::mem::replace(&mut self.vtable, &NOTHING);
        if let Some(drop) = vtable.drop {
            // Somebody else's code, which must not cost the ring a slot; nor may it wait for room,
            // since this may be what readers wait for.
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                // SAFETY: the vtable is of what is in the data, and now says that nothing is.
                inside_task(|| unsafe { drop(&raw mut self.data) });
            }));
            if dropped.is_err() {
                tracing::error!("dropping an event panicked");
            }
        }
    }

    /// As `get`, a little faster for many events of one type in a row.
    #[inline]
    fn get_like<E: 'static>(&self, seen: &mut Seen<E>) -> Option<&E> {
        if !ptr::eq(self.vtable, seen.vtable) {
            let event = self.get()?;
            seen.vtable = self.vtable;
            return Some(event);
        }
        // SAFETY: the vtable is of what is in the data, and it was seen to be an `E`'s.
        Some(unsafe { &*Of::<E>::locate(&raw const self.data) })
    }

    #[inline]
    fn get<E: 'static>(&self) -> Option<&E> {
        if self.vtable.type_id != TypeId::of::<E>() {
            return None;
        }
        // SAFETY: the vtable is of what is in the data.
        Some(unsafe { &*Of::<E>::locate(&raw const self.data) })
    }
}

/// An envelope in the memory of an old one, where nobody has that any more.
fn renew(old: Option<Arc<Envelope>>, envelope: Envelope) -> Arc<Envelope> {
    let Some(mut old) = old else { return Arc::new(envelope) };
    match Arc::get_mut(&mut old) {
        Some(memory) => {
            *memory = envelope;
            old
        }
        None => Arc::new(envelope),
    }
}

impl Cell {
    const LAYOUT: Layout = Layout::new::<Self>();

    /// An empty cell with one owner.
    #[allow(clippy::cast_ptr_alignment)] // allocated with the cell's alignment
    pub(super) fn allocate() -> NonNull<Self> {
        // SAFETY: the layout has a size.
        let Some(cell) = NonNull::new(unsafe { alloc(Self::LAYOUT) }.cast::<Self>()) else {
            handle_alloc_error(Self::LAYOUT)
        };
        // SAFETY: freshly allocated for it.
        unsafe { cell.write(Self::empty(0)) };
        cell
    }

    fn empty(home: u32) -> Self {
        let content = Content {
            vtable: &NOTHING,
            published_at: Timestamp::UNIX_EPOCH,
            envelope: None,
            data: [MaybeUninit::uninit(); WORDS],
        };
        Self { refs: AtomicU32::new(1), home, content: UnsafeCell::new(content) }
    }

    /// As many empty cells as there is room for in a block, at most `most`, side by side.
    #[allow(clippy::cast_ptr_alignment)] // as above
    pub(super) fn allocate_block(most: usize) -> impl Iterator<Item = NonNull<Self>> {
        #[allow(clippy::cast_possible_truncation)] // at most 31
        let cells = most.min(31) as u32;
        let layout = Self::block(cells);
        // SAFETY: the layout has a size.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }.cast::<Self>()) else {
            handle_alloc_error(layout)
        };
        let room = MaybeUninit::uninit();
        // SAFETY: freshly allocated, with room for the head and the cells after it; a head takes as
        // much room as a cell.
        unsafe {
            block.cast().write(Block { live: AtomicU32::new(cells), cells, room });
        }
        (1..=cells).map(move |home| {
            // SAFETY: as above.
            unsafe {
                let cell = block.add(home as usize);
                cell.write(Self::empty(home));
                cell
            }
        })
    }

    const fn block(cells: u32) -> Layout {
        let bytes = (cells as usize + 1) * size_of::<Self>();
        match Layout::from_size_align(bytes, align_of::<Self>()) {
            Ok(layout) => layout,
            Err(_) => Self::LAYOUT, // of at most 32 cells, there is one
        }
    }

    /// # Safety
    /// Nobody uses the cell any more.
    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: `allocate` and `allocate_block` made it, and it is not used again; nor is a block
        // whose last cell this was.
        unsafe {
            let home = this.as_ref().home;
            ptr::drop_in_place(this.as_ptr());
            if home == 0 {
                return dealloc(this.as_ptr().cast(), Self::LAYOUT);
            }
            let block = this.sub(home as usize).cast::<Block>();
            if block.as_ref().live.fetch_sub(1, Ordering::Release) == 1 {
                fence(Ordering::Acquire);
                let layout = Self::block(block.as_ref().cells);
                ptr::drop_in_place(block.as_ptr());
                dealloc(block.as_ptr().cast(), layout);
            }
        }
    }

    /// Whether the owner who asks is alone.
    #[inline]
    pub(super) fn is_unshared(&self) -> bool {
        self.refs.load(Ordering::Acquire) == 1
    }

    /// Puts an event in place of what was there.
    ///
    /// # Safety
    /// The caller owns the cell, is alone, and nobody reads it.
    #[inline]
    pub(super) unsafe fn put<E: Event>(
        &self,
        event: E,
        at: Timestamp,
        envelope: Option<Arc<Envelope>>,
    ) {
        // SAFETY: as the caller says.
        self.content.with_mut(|content| unsafe { (*content).put(event, at, envelope) });
    }

    /// The event, if it is an `E`.
    ///
    /// # Safety
    /// The cell is neither written nor freed for as long as `'a`.
    #[inline]
    pub(super) unsafe fn get<'a, E: 'static>(this: NonNull<Self>) -> Option<&'a E> {
        // SAFETY: as the caller says.
        unsafe { (*this.as_ptr()).content.with(|content| (*content).get()) }
    }

    /// As [`Cell::get`], a little faster for many events of one type in a row.
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub(super) unsafe fn get_like<'a, E: 'static>(
        this: NonNull<Self>,
        seen: &mut Seen<E>,
    ) -> Option<&'a E> {
        // SAFETY: as the caller says.
        unsafe { (*this.as_ptr()).content.with(|content| (*content).get_like(seen)) }
    }

    /// Has `loom` watch that nobody writes to the cell for as long as the result is there.
    #[cfg(all(test, tidings_loom))]
    pub(super) fn watch(&self) -> impl Sized + use<> {
        self.content.get()
    }

    /// The key of the event. Runs the event's own code.
    ///
    /// # Safety
    /// As for [`Cell::get`], during the call.
    pub(super) unsafe fn key(this: NonNull<Self>) -> Option<Key> {
        // SAFETY: as the caller says, and the vtable is of what is in the data.
        unsafe {
            (*this.as_ptr())
                .content
                .with(|content| ((*content).vtable.key)(&raw const (*content).data))
        }
    }
}

/// A share of a cell, or its only owner: keeps the event, wherever the ring has come.
pub(crate) struct CellRef(NonNull<Cell>);

// SAFETY: a cell is counted atomically, and read only where nobody writes; an `Event` is `Send` and
// `Sync`, and so is an envelope.
unsafe impl Send for CellRef {}
// SAFETY: as above.
unsafe impl Sync for CellRef {}

impl CellRef {
    /// A cell of its own, with an event.
    pub(crate) fn new<E: Event>(
        event: E,
        published_at: Timestamp,
        envelope: Option<Arc<Envelope>>,
    ) -> Self {
        let cell = Cell::allocate();
        // SAFETY: nobody else knows it.
        unsafe { cell.as_ref().put(event, published_at, envelope) };
        Self(cell)
    }

    /// The same, of an event with its envelope.
    pub(crate) fn enveloped<E: Event>(event: E, envelope: Envelope) -> (Self, Arc<Envelope>) {
        let envelope = Arc::new(envelope);
        let published_at = envelope.published_at;
        (Self::new(event, published_at, Some(Arc::clone(&envelope))), envelope)
    }

    /// The same in a cell that may have an old event and the envelope of it. Another cell takes its
    /// place where somebody shares it.
    pub(crate) fn reuse<E: Event>(self, event: E, envelope: Envelope) -> (Self, Arc<Envelope>) {
        if !self.cell().is_unshared() {
            return Self::enveloped(event, envelope);
        }
        let envelope = self.cell().content.with_mut(|content| {
            // SAFETY: this is the only share, so nobody else reads or writes.
            unsafe { (*content).put_with(event, envelope) }
        });
        (self, envelope)
    }

    /// Takes a share.
    ///
    /// # Safety
    /// The cell has an owner for the time of the call.
    pub(super) unsafe fn share(cell: NonNull<Cell>) -> Self {
        // SAFETY: as the caller says.
        unsafe { cell.as_ref() }.refs.fetch_add(1, Ordering::Relaxed);
        Self(cell)
    }

    /// Takes over the ownership of whoever has it.
    ///
    /// # Safety
    /// The caller owns the cell, and forgets it.
    pub(super) unsafe fn from_raw(cell: NonNull<Cell>) -> Self {
        Self(cell)
    }

    /// Gives the ownership to the caller.
    pub(super) fn into_raw(self) -> NonNull<Cell> {
        std::mem::ManuallyDrop::new(self).0
    }

    /// The event, if it is an `E`.
    #[inline]
    pub(crate) fn get<E: 'static>(&self) -> Option<&E> {
        // SAFETY: a shared cell is not written, and not freed while this share is there.
        unsafe { Cell::get(self.0) }
    }

    /// Takes the event out, if it is an `E` and nobody else shares it.
    pub(crate) fn into_event<E: 'static>(self) -> Option<E> {
        if !self.cell().is_unshared() || self.get::<E>().is_none() {
            return None;
        }
        self.cell().content.with_mut(|content| {
            // SAFETY: nobody else has the cell, and it has an `E`, which the vtable then denies.
            unsafe {
                (*content).vtable = &NOTHING;
                Some(Of::<E>::take(&raw mut (*content).data))
            }
        })
    }

    /// The key of the event. Runs the event's own code; where that panics there is none.
    pub(crate) fn key(&self) -> Option<Key> {
        // SAFETY: as for `get`.
        catch_unwind(AssertUnwindSafe(|| unsafe { Cell::key(self.0) })).unwrap_or_else(|_| {
            tracing::error!("an event's `key` panicked; it counts as one without a key");
            None
        })
    }

    pub(crate) fn published_at(&self) -> Timestamp {
        // SAFETY: as for `get`.
        self.cell().content.with(|content| unsafe { (*content).published_at })
    }

    /// What the message has beside the event, if anything.
    pub(crate) fn envelope(&self) -> Option<&Arc<Envelope>> {
        // SAFETY: as for `get`.
        self.cell().content.with(|content| unsafe { (*content).envelope.as_ref() })
    }

    fn cell(&self) -> &Cell {
        // SAFETY: not freed while this share is there.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for CellRef {
    fn clone(&self) -> Self {
        // SAFETY: this share is there.
        unsafe { Self::share(self.0) }
    }
}

impl Drop for CellRef {
    fn drop(&mut self) {
        if self.cell().refs.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        self.cell().content.with_mut(|content| {
            // SAFETY: this was the last share.
            unsafe { (*content).clear() }
        });
        // SAFETY: this was the last share.
        unsafe { Cell::free(self.0) };
    }
}

impl fmt::Debug for CellRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CellRef")
            .field("published_at", &self.published_at())
            .finish_non_exhaustive()
    }
}

/// A share of a cell whose event is an `E`.
pub(crate) struct Shared<E> {
    /// In the cell, or in a box that the cell owns.
    event: NonNull<E>,
    _cell: CellRef,
}

// SAFETY: nothing but a share of the event, and a way to it.
unsafe impl<E: Send + Sync> Send for Shared<E> {}
// SAFETY: as above.
unsafe impl<E: Send + Sync> Sync for Shared<E> {}

impl<E: 'static> Shared<E> {
    /// `None` where the event is of another type.
    pub(crate) fn new(cell: CellRef) -> Option<Self> {
        let event = NonNull::from(cell.get::<E>()?);
        Some(Self { event, _cell: cell })
    }
}

impl<E> Deref for Shared<E> {
    type Target = E;

    #[inline]
    fn deref(&self) -> &E {
        // SAFETY: the cell is neither written nor freed while this share of it is there.
        unsafe { self.event.as_ref() }
    }
}

impl<E: fmt::Debug> fmt::Debug for Shared<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
