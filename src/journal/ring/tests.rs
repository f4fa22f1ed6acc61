//! The ring by itself, on one thread and on a few.
#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use serde::{Deserialize, Serialize};

use super::*;
use crate::{contract::NameId, runtime::Timestamp};

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Number(u64);

impl crate::Event for Number {
    const NAME: &'static str = "ring.number";
}

#[derive(Serialize, Deserialize)]
struct Text(String);

impl crate::Event for Text {
    const NAME: &'static str = "ring.text";
}

/// Runs something when it is dropped. Its key panics.
#[derive(Serialize, Deserialize)]
struct Guard(#[serde(skip)] Option<Box<dyn FnOnce() + Send + Sync>>, #[serde(skip)] Arc<()>);

impl crate::Event for Guard {
    const NAME: &'static str = "ring.guard";

    fn key(&self) -> Option<crate::event::Key> {
        panic!("no key")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|run| run());
        drop(std::mem::take(&mut self.1));
    }
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Rouse for Bell {
    fn rouse(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn stop(&self) {}
}

fn kind(number: u32) -> Arc<Route> {
    Route::new(NameId::from_number(number))
}

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn publish<E: crate::Event>(ring: &Ring, route: &Route, event: E) -> Option<u64> {
    Some(ring.claim_one().ok()?.write(route, Tag::unhashed(route.kind), event, AT))
}

fn put(ring: &Ring, route: &Route, number: u64) -> Option<u64> {
    publish(ring, route, Number(number))
}

fn incoming(route: &Arc<Route>, number: u64) -> Incoming {
    let (tag, cell) = (Tag::unhashed(route.kind), CellRef::new(Number(number), AT, None));
    Incoming { route: Arc::clone(route), tag, cell }
}

fn join(ring: &Ring, routes: &[&Arc<Route>], overrun: Overrun) -> (GroupId, Seat, Arc<Bell>) {
    let seats = Seats::new(routes.iter().map(|route| Arc::clone(route)).collect(), 1);
    let seat = Seat::of(&seats).remove(0);
    let bell = Arc::new(Bell::default());
    let id = ring.new_group();
    ring.join(id, seats, overrun, vec![(None, Arc::clone(&bell) as Arc<dyn Rouse>)]);
    (id, seat, bell)
}

fn read(ring: &Ring, seat: &mut Seat) -> Vec<u64> {
    let Opened::Batch(batch) = seat.open(ring) else { return Vec::new() };
    let numbers = (0..batch.len())
        .filter_map(|at| batch.get(at)?.get::<Number>(&mut Seen::nothing()).map(|n| n.0))
        .collect();
    batch.close(usize::MAX);
    numbers
}

#[test]
fn what_is_published_is_read_in_order() {
    let (ring, route) = (Ring::new(1, 8, true), kind(0));
    let (_, mut seat, _) = join(&ring, &[&route], Overrun::Wait);
    for n in 0..20 {
        ring.make_room(1).unwrap();
        assert_eq!(put(&ring, &route, n), Some(n + 1));
        if n % 3 == 2 {
            assert_eq!(read(&ring, &mut seat), [n - 2, n - 1, n]);
        }
    }
}

#[test]
fn a_reader_holds_up_a_full_ring() {
    let (ring, route) = (Ring::new(1, 3, true), kind(0));
    let (_, mut seat, _) = join(&ring, &[&route], Overrun::Wait);
    assert!((0..3).all(|n| put(&ring, &route, n).is_some()));
    assert_eq!(put(&ring, &route, 3), None);
    assert_eq!(ring.make_room(1), Err(Full::Wait));
    assert_eq!(read(&ring, &mut seat), [0, 1, 2]);
    assert_eq!(ring.make_room(1), Ok(()));
    assert_eq!(put(&ring, &route, 3), Some(4));
}

#[test]
fn a_sleeper_holds_nothing_up_and_is_woken_by_what_it_wants() {
    let (ring, mine, other) = (Ring::new(1, 4, true), kind(0), kind(1));
    let (_, mut seat, bell) = join(&ring, &[&mine], Overrun::Wait);
    assert!(read(&ring, &mut seat).is_empty());
    assert!(seat.rest(&ring, Phase::Settled, true));
    for n in 0..50 {
        if put(&ring, &other, n).is_none() {
            ring.make_room(1).unwrap();
            put(&ring, &other, n).unwrap();
        }
    }
    assert_eq!(bell.0.load(Ordering::SeqCst), 0);
    assert!(ring.is_quiet(false));
    ring.make_room(1).ok();
    put(&ring, &mine, 77).unwrap();
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    assert_eq!(read(&ring, &mut seat), [77]);
}

#[test]
fn a_reader_that_skips_keeps_what_it_has_open_and_learns_what_it_missed() {
    let (ring, route) = (Ring::new(1, 8, true), kind(0));
    let (_, mut seat, _) = join(&ring, &[&route], Overrun::Skip);
    assert!((0..8).all(|n| put(&ring, &route, n).is_some()));
    let Opened::Batch(batch) = seat.open(&ring) else { panic!("two events") };
    for n in 8..30 {
        if put(&ring, &route, n).is_none() {
            ring.make_room(1).unwrap();
            put(&ring, &route, n).unwrap();
        }
    }
    let open: Vec<_> = (0..2)
        .filter_map(|at| Some(batch.get(at)?.get::<Number>(&mut Seen::nothing())?.0))
        .collect();
    assert_eq!(open, [0, 1]);
    batch.close(2);
    let rest = read(&ring, &mut seat);
    assert_eq!(rest.last(), Some(&29));
    assert_eq!(2 + rest.len() as u64 + seat.take_missed(), 30);
}

#[test]
fn a_reader_that_skips_and_never_looks_keeps_little() {
    let live = Arc::new(());
    let (ring, route) = (Ring::new(1, 8, true), kind(0));
    let (_, mut seat, _) = join(&ring, &[&route], Overrun::Skip);
    let count = if cfg!(miri) { 200 } else { 50 * roster::SPAN };
    for _ in 0..count {
        ring.make_room(1).unwrap();
        publish(&ring, &route, Guard(None, Arc::clone(&live))).unwrap();
    }
    assert!(Arc::strong_count(&live) < 30, "{}", Arc::strong_count(&live));
    while let Opened::Nothing = seat.open(&ring) {}
    assert!(seat.take_missed() >= count - 8);
    assert_eq!(Arc::strong_count(&live), 1 + 8);
}

/// Somebody else's code must find the ring unlocked, whoever runs it.
#[test]
fn an_event_may_use_the_ring_when_it_is_dropped() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (ring, route) = (Arc::new(Ring::new(1, 1, true)), kind(0));
        let (_, mut seat, _) = join(&ring, &[&route], Overrun::Wait);
        let weak = Arc::downgrade(&ring);
        let looks = move || {
            if let Some(ring) = weak.upgrade() {
                done.send(ring.make_room(1)).unwrap();
            }
        };
        publish(&ring, &route, Guard(Some(Box::new(looks)), Arc::default())).unwrap();
        ring.append_always(vec![incoming(&route, 2)]);
        read(&ring, &mut seat);
        assert_eq!(read(&ring, &mut seat), [2]);
    });
    let found = is_done.recv_timeout(std::time::Duration::from_mins(1));
    assert_eq!(found, Ok(Err(Full::Wait)));
}

#[test]
fn a_key_that_panics_is_none() {
    let (ring, route) = (Ring::new(1, 8, true), kind(0));
    let seats = Seats::new(vec![Arc::clone(&route)], 2);
    let mut lanes = Seat::of(&seats);
    let readers = (0..2).map(|_| (None, Arc::<Bell>::default() as Arc<dyn Rouse>)).collect();
    ring.join(ring.new_group(), seats, Overrun::Wait, readers);
    for _ in 0..4 {
        publish(&ring, &route, Guard(None, Arc::default())).unwrap();
    }
    let opened = lanes.iter_mut().map(|seat| match seat.open(&ring) {
        Opened::Batch(batch) => batch.len(),
        _ => 0,
    });
    assert_eq!(opened.collect::<Vec<_>>(), [2, 2]);
}

/// As where a publisher panics between its claim and its event.
#[test]
fn what_is_claimed_and_not_written_is_no_hole() {
    let (ring, route) = (Ring::new(1, 8, true), kind(0));
    let (_, mut seat, _) = join(&ring, &[&route], Overrun::Wait);
    put(&ring, &route, 1).unwrap();
    drop(ring.claim_one().unwrap());
    let mut numbers = vec![2, 3, 4];
    let claimed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let incoming = |number| {
            assert_ne!(number, 3, "drawn");
            incoming(&route, number)
        };
        ring.append(&mut numbers, incoming, drop)
    }));
    assert!(claimed.is_err());
    assert_eq!(put(&ring, &route, 5), Some(6));
    assert_eq!(read(&ring, &mut seat), [1, 2, 5]);
}

#[test]
fn a_closed_ring_has_no_room() {
    let (ring, route) = (Ring::new(1, 8, true), kind(0));
    put(&ring, &route, 1).unwrap();
    assert_eq!((ring.room_for(1), ring.is_closed()), (Ok(()), false));
    ring.close();
    assert_eq!((ring.room_for(1), ring.make_room(1)), (Err(Full::Closed), Err(Full::Closed)));
    assert_eq!((put(&ring, &route, 2), ring.is_closed()), (None, true));
}

#[test]
fn a_reader_that_would_rather_stay_out_joins_where_nothing_is_missing() {
    let (ring, route) = (Ring::new(5, 4, true), kind(0));
    let seats = Seats::new(vec![Arc::clone(&route)], 1);
    let mut seat = Seat::of(&seats).remove(0);
    let bell = Arc::<Bell>::default() as Arc<dyn Rouse>;
    ring.join(ring.new_group(), seats, Overrun::Leave, vec![(Some(5), bell)]);
    assert!((0..4).all(|n| put(&ring, &route, n).is_some()));
    assert_eq!(read(&ring, &mut seat), [0, 1, 2, 3]);
}

/// What is dropped here is dropped when it is written over, and so before that publisher is done.
#[test]
fn what_overflows_beside_a_publisher_is_tended_until_that_is_done() {
    let (ring, route, tender) = (Arc::new(Ring::new(1, 1, true)), kind(0), Arc::<Bell>::default());
    ring.tended_by(Arc::clone(&tender) as Arc<dyn Rouse>);
    let (weak, other) = (Arc::downgrade(&ring), Arc::clone(&route));
    let looks = move || {
        let Some(ring) = weak.upgrade() else { return };
        let found = (ring.make_room(1), ring.room_for(1));
        assert_eq!(found, (Err(Full::Soon), Err(Full::Soon)));
        ring.append_always(vec![incoming(&other, 3)]);
        ring.tend();
    };
    publish(&ring, &route, Guard(Some(Box::new(looks)), Arc::default())).unwrap();
    ring.make_room(1).unwrap();
    assert_eq!(put(&ring, &route, 2), Some(2));
    assert_eq!((ring.end(), ring.room_for(1)), (3, Err(Full::Wait)));
    ring.tend();
    assert_eq!((ring.end(), tender.0.load(Ordering::SeqCst)), (4, 2));
}

#[test]
fn a_kept_event_outlives_its_slot_and_the_ring() {
    let (ring, route) = (Ring::new(1, 2, true), kind(0));
    let (_, mut seat, _) = join(&ring, &[&route], Overrun::Wait);
    assert!(publish(&ring, &route, Text("x".repeat(300))).is_some());
    let Opened::Batch(batch) = seat.open(&ring) else { panic!("an event") };
    let kept = batch.get(0).unwrap().keep();
    batch.close(1);
    for n in 0..9 {
        ring.make_room(1).unwrap();
        put(&ring, &route, n).unwrap();
        read(&ring, &mut seat);
    }
    drop(ring);
    assert_eq!(kept.get::<Text>().unwrap().0.len(), 300);
    assert!(kept.get::<Number>().is_none());
    assert_eq!(kept.into_event::<Text>().unwrap().0.len(), 300);
}

#[test]
fn publishers_and_readers_on_threads_agree() {
    let rounds: u64 = if cfg!(miri) { 60 } else { 200_000 };
    let (ring, route, other) = (Ring::new(1, 16, true), kind(0), kind(1));
    let handled = AtomicU64::new(0);
    let mut seats: Vec<_> = (0..3).map(|_| join(&ring, &[&route], Overrun::Wait)).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for n in 0..rounds {
                    let route = if n % 5 == 4 { &other } else { &route };
                    while put(&ring, route, n).is_none() {
                        if ring.make_room(1).is_err() {
                            std::thread::yield_now();
                        }
                    }
                }
            });
        }
        for (_, seat, bell) in &mut seats {
            let (ring, handled) = (&ring, &handled);
            scope.spawn(move || {
                let (mut count, mut woken) = (0, 0);
                while count < 2 * (rounds - rounds / 5) {
                    let got = read(ring, seat);
                    count += got.len() as u64;
                    if got.is_empty() && seat.rest(ring, Phase::Settled, true) {
                        while bell.0.load(Ordering::SeqCst) == woken {
                            std::thread::yield_now();
                        }
                        woken += 1;
                    }
                }
                handled.fetch_add(count, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(handled.into_inner(), 3 * 2 * (rounds - rounds / 5));
}

/// A group of so many readers that join at the end.
fn join_lanes(
    ring: &Ring,
    route: &Arc<Route>,
    lanes: u32,
    overrun: Overrun,
) -> (GroupId, Vec<Seat>) {
    let seats = Seats::new(vec![Arc::clone(route)], lanes).divided();
    let own = Seat::of(&seats);
    let id = ring.new_group();
    let bell = || Arc::new(Bell::default()) as Arc<dyn Rouse>;
    ring.join(id, seats, overrun, own.iter().map(|_| (None, bell())).collect());
    (id, own)
}

/// Has others go on, of whom there are so many.
fn relieve(
    ring: &Ring,
    route: &Arc<Route>,
    (group, seats): (GroupId, Vec<Seat>),
    lanes: u32,
) -> Option<(Relieved, GroupId, Vec<Seat>)> {
    let readers = seats.into_iter().map(|seat| (seat.next(), seat)).map(|(to, seat)| (seat, to));
    let leaving = Leaving { group, readers: readers.collect() };
    let seats = Seats::new(vec![Arc::clone(route)], lanes).divided();
    let (own, id) = (Seat::of(&seats), ring.new_group());
    let bells = own.iter().map(|_| Arc::new(Bell::default()) as Arc<dyn Rouse>).collect();
    let (relieved, remains) = ring.relieve(leaving, id, seats, bells)?;
    drop(remains);
    Some((relieved, id, own))
}

/// Without a key, so that the position decides the lane.
fn put_hashed(ring: &Ring, route: &Route, number: u64) -> Option<u64> {
    let at = Timestamp::UNIX_EPOCH;
    Some(ring.claim_one().ok()?.write(route, Tag::hashed(route.kind, None), Number(number), at))
}

fn look(ring: &Ring, seat: &mut Seat) {
    if let Opened::Batch(batch) = seat.open(ring) {
        batch.close(0);
    }
}

#[test]
fn readers_that_take_over_begin_where_the_slowest_stopped_and_hold_the_ring_up_from_there() {
    let (ring, route) = (Ring::new(1, 8, true), kind(0));
    let (group, mut seats) = join_lanes(&ring, &route, 2, Overrun::Wait);
    for number in 1..=8 {
        assert_eq!(put_hashed(&ring, &route, number), Some(number));
    }
    assert_eq!(read(&ring, &mut seats[0]), [2, 4, 6, 8]);
    look(&ring, &mut seats[1]);
    let (relieved, id, mut seats) = relieve(&ring, &route, (group, seats), 3).unwrap();
    assert_eq!(relieved, Relieved { taken: vec![9, 1], missed: 0 });
    assert_eq!(ring.make_room(1), Err(Full::Wait));
    assert_eq!(ring.keys_waiting(id, 9, 100), 8);
    let lanes: Vec<_> = seats.iter_mut().map(|seat| read(&ring, seat)).collect();
    assert_eq!(lanes, [vec![3, 6], vec![1, 4, 7], vec![2, 5, 8]]);
    assert_eq!((ring.make_room(8), ring.keys_waiting(id, 9, 100)), (Ok(()), 0));
    assert!(relieve(&ring, &route, (group, Vec::new()), 1).is_none(), "they left before");
    assert!(route.is_divided());
    ring.leave(id);
    assert!(!route.is_divided(), "nobody asks for hashes any more");
}

#[test]
fn readers_that_take_over_from_sleepers_miss_nothing() {
    let (ring, route, other) = (Ring::new(1, 8, true), kind(0), kind(1));
    let (group, mut seats) = join_lanes(&ring, &route, 2, Overrun::Wait);
    for seat in &mut seats {
        look(&ring, seat);
        assert!(seat.rest(&ring, Phase::Settled, true));
    }
    for number in 1..=20 {
        ring.make_room(1).unwrap();
        assert_eq!(put_hashed(&ring, &other, number), Some(number));
    }
    let (_, id, mut seats) = relieve(&ring, &route, (group, seats), 3).unwrap();
    assert_eq!(route.asleep.load(Ordering::Relaxed), 0);
    assert_eq!(put_hashed(&ring, &route, 21), Some(21));
    let read: Vec<_> = seats.iter_mut().flat_map(|seat| read(&ring, seat)).collect();
    assert_eq!(read, [21]);
    ring.leave(id);
}

#[test]
fn readers_that_take_over_know_what_was_missed_before() {
    let (ring, route) = (Ring::new(1, 8, true), kind(0));
    let (group, mut seats) = join_lanes(&ring, &route, 1, Overrun::Skip);
    for number in 1..=8 {
        put_hashed(&ring, &route, number);
    }
    look(&ring, &mut seats[0]);
    ring.make_room(2).unwrap();
    let (relieved, _, mut seats) = relieve(&ring, &route, (group, seats), 2).unwrap();
    let missed = relieved.missed;
    assert!(missed >= 2 && relieved.taken == [1 + missed], "{relieved:?}");
    let mut left: Vec<_> = seats.iter_mut().flat_map(|seat| read(&ring, seat)).collect();
    left.sort_unstable();
    assert_eq!(left, (1 + missed..=8).collect::<Vec<_>>());
}

#[test]
fn what_a_group_does_not_read_does_not_wait_for_it() {
    let (ring, route, other) = (Ring::new(1, 8, true), kind(0), kind(1));
    let (id, mut seats) = join_lanes(&ring, &route, 2, Overrun::Wait);
    let (_others, _) = join_lanes(&ring, &other, 1, Overrun::Wait);
    for (number, route) in (1..).zip([&route, &other, &other, &route, &route]) {
        assert_eq!(put_hashed(&ring, route, number), Some(number));
    }
    assert_eq!(ring.keys_waiting(id, 6, 100), 3);
    assert_eq!(read(&ring, &mut seats[0]), [4]);
    assert_eq!(ring.keys_waiting(id, 6, 100), 2);
}

#[test]
fn whoever_asks_sees_how_far_a_reader_is_in_what_it_has_open() {
    let (ring, route) = (Ring::new(1, 8, true), kind(0));
    let (id, mut seats) = join_lanes(&ring, &route, 1, Overrun::Wait);
    for number in 1..=3 {
        put_hashed(&ring, &route, number);
    }
    let Opened::Batch(batch) = seats[0].open(&ring) else { panic!("three events") };
    let second = batch.get(1).unwrap();
    batch.done_before(&second);
    assert_eq!(ring.frontier(id, 0), Some(2));
    batch.taken(&second);
    assert_eq!(ring.frontier(id, 0), Some(3));
    batch.close(2);
}
