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

fn put(ring: &Ring, route: &Route, number: u64) -> Option<u64> {
    let at = Timestamp::UNIX_EPOCH;
    ring.publish(route, Tag::unhashed(route.kind), Number(number), at, None).ok()
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
fn a_kept_event_outlives_its_slot_and_the_ring() {
    let (ring, route) = (Ring::new(1, 2, true), kind(0));
    let (_, mut seat, _) = join(&ring, &[&route], Overrun::Wait);
    let event = Text("x".repeat(300));
    assert!(
        ring.publish(&route, Tag::unhashed(route.kind), event, Timestamp::UNIX_EPOCH, None).is_ok()
    );
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
