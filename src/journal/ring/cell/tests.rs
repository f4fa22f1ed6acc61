//! Every event is dropped once, whatever its size, and wherever it ends.
#![allow(clippy::unwrap_used)] // tests, though clippy does not see that

use std::{
    fmt,
    sync::{
        Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    contract::NameId,
    journal::ring::{Incoming, Ring, Route, Tag},
    message::MessageId,
};

/// Counts the events of a test that are there. The tests of events without a size share theirs.
type Live = Arc<()>;

trait Sample: Event + fmt::Debug {
    fn new(live: &Live, number: u64) -> Self;
    fn number(&self) -> u64;
    fn live(&self) -> &Live;
    /// Whether it is where it may be, and what was put there.
    fn is(&self, number: u64) -> bool {
        let is_there = std::ptr::from_ref(self).is_aligned() && Arc::strong_count(self.live()) > 1;
        is_there && self.number() == number
    }
}

macro_rules! samples {
    ($($(#[$layout:meta])* $name:ident ($padding:ty) $test:ident)*) => {$(
        $(#[$layout])*
        #[derive(Debug, Serialize, Deserialize)]
        struct $name {
            number: u64,
            padding: $padding,
            #[serde(skip)]
            live: Live,
        }

        impl Event for $name {
            const NAME: &'static str = stringify!($test);
        }

        impl Sample for $name {
            fn new(live: &Live, number: u64) -> Self {
                Self { number, padding: Default::default(), live: Arc::clone(live) }
            }
            fn number(&self) -> u64 {
                self.number
            }
            fn live(&self) -> &Live {
                &self.live
            }
        }

        #[test]
        fn $test() {
            every_way_to_end::<$name>();
        }
    )*};
}

samples! {
    Small(()) small_events_are_dropped_once
    Full([u64; 10]) events_that_just_fit_are_dropped_once
    Large([u64; 11]) events_that_just_do_not_fit_are_dropped_once
    Huge([[u64; 32]; 32]) huge_events_are_dropped_once
    #[repr(align(32))]
    Aligned(()) aligned_events_are_dropped_once
    #[repr(align(64))]
    OverAligned(()) over_aligned_events_are_dropped_once
}

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn every_way_to_end<E: Sample>() {
    in_a_cell_of_its_own::<E>();
    taken_out_of_it::<E>();
    shared::<E>();
    used_again::<E>();
    for furnished in [false, true] {
        written_over_in_a_ring::<E>(furnished);
        moved_into_a_ring::<E>(furnished);
        kept_for_longer_than_the_ring::<E>(furnished);
        left_over_by_a_publisher_that_panics::<E>(furnished);
    }
}

fn cell<E: Sample>(live: &Live, number: u64) -> CellRef {
    CellRef::new(E::new(live, number), AT, None)
}

fn others(live: &Live) -> usize {
    Arc::strong_count(live) - 1
}

fn in_a_cell_of_its_own<E: Sample>() {
    let live = Live::default();
    let cell = cell::<E>(&live, 1);
    assert!(cell.get::<E>().unwrap().is(1));
    assert!(cell.get::<Other>().is_none());
    assert!(cell.key().is_none());
    assert_eq!(others(&live), 1);
    drop(cell);
    assert_eq!(others(&live), 0);
}

fn taken_out_of_it<E: Sample>() {
    let live = Live::default();
    let event = cell::<E>(&live, 1).into_event::<E>().unwrap();
    assert!(event.is(1));
    assert_eq!(others(&live), 1);
    assert!(CellRef::new(event, AT, None).into_event::<Other>().is_none());
    assert_eq!(others(&live), 0);
}

fn shared<E: Sample>() {
    let live = Live::default();
    let one = Shared::<E>::new(cell::<E>(&live, 1)).unwrap();
    assert!(Shared::<Other>::new(cell::<E>(&live, 2)).is_none());
    let two = cell::<E>(&live, 3);
    let three = two.clone();
    assert!(two.into_event::<E>().is_none());
    assert!(one.is(1) && three.get::<E>().unwrap().is(3));
    assert_eq!(others(&live), 2);
    assert!(three.into_event::<E>().unwrap().is(3));
    drop(one);
    assert_eq!(others(&live), 0);
}

fn used_again<E: Sample>() {
    let live = Live::default();
    let named = |name| Envelope::new(name, 1, MessageId::from_bytes([7; 16]));
    let (cell, first) = cell::<E>(&live, 1).reuse(E::new(&live, 2), named("first"));
    assert_eq!(others(&live), 1);
    assert!(cell.get::<E>().unwrap().is(2));

    // Whoever has the old envelope keeps it.
    let (cell, second) = cell.reuse(E::new(&live, 3), named("second"));
    assert_eq!((&*first.name, &*second.name), ("first", "second"));
    assert!(Arc::ptr_eq(cell.envelope().unwrap(), &second));

    // Whoever shares the cell keeps the event.
    let kept = cell.clone();
    let (cell, third) = cell.reuse(E::new(&live, 4), named("third"));
    assert!(kept.get::<E>().unwrap().is(3) && cell.get::<E>().unwrap().is(4));
    assert_eq!((&*second.name, &*third.name), ("second", "third"));
    drop((kept, second));
    assert_eq!(others(&live), 1);

    // Where nobody has it any more, its memory has the next one.
    let memory = Arc::as_ptr(&third);
    drop(third);
    let (cell, fourth) = cell.reuse(Other, named("fourth"));
    assert_eq!(Arc::as_ptr(&fourth), memory);
    assert!(cell.get::<Other>().is_some() && cell.get::<E>().is_none());
    assert_eq!(others(&live), 0);
}

fn put<E: Event>(ring: &Ring, route: &Route, event: E) -> Result<u64, E> {
    if ring.make_room(1).is_err() {
        return Err(event);
    }
    match ring.claim_one() {
        Ok(claimed) => Ok(claimed.write(route, Tag::unhashed(route.kind), event, AT)),
        Err(_) => Err(event),
    }
}

fn written_over_in_a_ring<E: Sample>(furnished: bool) {
    let (live, ring, route) = (Live::default(), Ring::new(1, 2, furnished), route());
    for number in 0..5 {
        assert!(put(&ring, &route, E::new(&live, number)).is_ok());
    }
    assert_eq!(others(&live), 2);
    let mut several = (5..7).map(|number| E::new(&live, number)).collect();
    ring.make_room(2).unwrap();
    assert!(ring.publish_batch(&route, &mut several, &[], AT).is_ok());
    assert_eq!(others(&live), 2);
    ring.close();
    let refused = put(&ring, &route, E::new(&live, 9)).unwrap_err();
    assert!(refused.is(9));
    assert_eq!(others(&live), 3);
    drop((ring, refused));
    assert_eq!(others(&live), 0);
}

fn moved_into_a_ring<E: Sample>(furnished: bool) {
    let (live, ring, route) = (Live::default(), Ring::new(1, 2, furnished), route());
    let incoming = |cell| incoming(&route, cell);
    let kept = cell::<E>(&live, 7);
    let mut cells = vec![kept.clone(), cell::<E>(&live, 8)];
    assert!(ring.append(&mut cells, incoming, drop).is_ok());
    for number in 0..4 {
        ring.append_always(vec![incoming(cell::<E>(&live, number))]);
    }
    assert!(kept.get::<E>().unwrap().is(7));
    assert_eq!(others(&live), 3);
    drop(ring);
    assert!(kept.into_event::<E>().unwrap().is(7));
    assert_eq!(others(&live), 0);
}

/// The ring has others in the cell's block, and is gone before the last of them.
fn kept_for_longer_than_the_ring<E: Sample>(furnished: bool) {
    let (live, ring, route) = (Live::default(), Ring::new(1, 2, furnished), route());
    assert!(put(&ring, &route, E::new(&live, 1)).is_ok());
    // SAFETY: the slot owns its cell, and nobody else is there to write to it.
    let kept = unsafe { CellRef::share(ring.slot(1).cell().unwrap()) };
    for number in 2..5 {
        assert!(put(&ring, &route, E::new(&live, number)).is_ok());
    }
    assert_eq!(others(&live), 3);
    drop(ring);
    assert!(kept.get::<E>().unwrap().is(1));
    assert_eq!(others(&live), 1);
    drop(kept);
    assert_eq!(others(&live), 0);
}

fn left_over_by_a_publisher_that_panics<E: Sample>(furnished: bool) {
    let (live, ring, route) = (Live::default(), Ring::new(1, 4, furnished), route());
    let mut cells: Vec<_> = (0..4).map(|number| cell::<E>(&live, number)).collect();
    let panics = AssertUnwindSafe(|| {
        let incoming = |cell: CellRef| {
            assert_ne!(cell.get::<E>().unwrap().number(), 1);
            incoming(&route, cell)
        };
        ring.append(&mut cells, incoming, drop)
    });
    assert!(catch_unwind(panics).is_err());
    assert_eq!(others(&live), 1);
    // The positions are used up, and so nobody waits for them.
    assert_eq!(put(&ring, &route, E::new(&live, 4)).ok(), Some(5));
    assert_eq!(others(&live), 1);
}

fn route() -> Arc<Route> {
    Route::new(NameId::from_number(0))
}

fn incoming(route: &Arc<Route>, cell: CellRef) -> Incoming {
    Incoming { route: Arc::clone(route), tag: Tag::unhashed(route.kind), cell }
}

#[derive(Serialize, Deserialize)]
struct Other;

impl Event for Other {
    const NAME: &'static str = "other";
}

static NOTHINGS: AtomicUsize = AtomicUsize::new(0);

/// An event without a size, and its drop is seen all the same.
#[derive(Serialize, Deserialize)]
#[repr(align(128))]
struct Nothing;

impl Event for Nothing {
    const NAME: &'static str = "nothing";
}

impl Drop for Nothing {
    fn drop(&mut self) {
        NOTHINGS.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn events_without_a_size_are_dropped_once() {
    let (ring, route) = (Ring::new(1, 2, true), route());
    for dropped in [0, 0, 1, 2] {
        assert!(put(&ring, &route, Nothing).is_ok());
        assert_eq!(NOTHINGS.load(Ordering::SeqCst), dropped);
    }
    drop(CellRef::new(Nothing, AT, None).into_event::<Nothing>());
    assert_eq!(NOTHINGS.load(Ordering::SeqCst), 3);
    drop(ring);
    assert_eq!(NOTHINGS.load(Ordering::SeqCst), 5);
}

/// Panics when it is dropped, after it has dropped what it holds.
#[derive(Serialize, Deserialize)]
struct Fragile<P> {
    padding: P,
    #[serde(skip)]
    live: Weak<()>,
}

impl<P: Serialize + serde::de::DeserializeOwned + Send + Sync + 'static> Event for Fragile<P> {
    const NAME: &'static str = "fragile";
}

impl<P> Drop for Fragile<P> {
    fn drop(&mut self) {
        drop(std::mem::take(&mut self.live));
        panic!("as it was to");
    }
}

fn a_drop_that_panics<P>()
where
    P: Default + Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let (live, ring, route) = (Live::default(), Ring::new(1, 2, true), route());
    let event = || Fragile { padding: P::default(), live: Arc::downgrade(&live) };
    for number in 1..=4 {
        assert_eq!(put(&ring, &route, event()).ok(), Some(number));
        assert_eq!(Arc::weak_count(&live) as u64, number.min(2));
    }
    drop(CellRef::new(event(), AT, None));
    assert_eq!(Arc::weak_count(&live), 2);
    drop(ring);
    assert_eq!(Arc::weak_count(&live), 0);
}

#[test]
fn events_whose_drop_panics_are_dropped_once() {
    a_drop_that_panics::<()>();
    a_drop_that_panics::<[u64; 30]>();
}
