//! The ring under `loom`, which tries every order in which threads can get on, and every value that
//! a load may see.
//!
//! `RUSTFLAGS="--cfg tidings_loom" cargo test --release --lib ring::models`
//!
//! Nobody waits in a model, since `loom` cannot tell waiting from a loop without end: publishers
//! without room give up, and readers look a few times, and once more when all is over.

mod rest;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use loom::{
    sync::Arc as Tracked,
    thread::{self, JoinHandle},
};
use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    contract::NameId,
    runtime::{Timestamp, sync::ONE_ORDER},
};

#[derive(Serialize, Deserialize)]
struct Number(u64);

impl crate::Event for Number {
    const NAME: &'static str = "ring.number";
}

/// A reader's task, which only takes note.
#[derive(Default)]
struct Bell(AtomicBool);

impl Bell {
    fn has_rung(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Rouse for Bell {
    fn rouse(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
    fn stop(&self) {}
}

/// A position, and the number of the event there.
type Pair = (u64, u64);

/// A ring, and something that every thread touches between its steps. `loom` has others come in where
/// two threads touch the same, and overlooks the places where the one that writes has read before.
struct Stage {
    ring: Ring,
    step: AtomicU32,
}

impl Stage {
    fn step(&self) {
        self.step.fetch_add(1, Ordering::Relaxed);
    }
}

impl std::ops::Deref for Stage {
    type Target = Ring;

    fn deref(&self) -> &Ring {
        &self.ring
    }
}

struct Reader {
    ring: Tracked<Stage>,
    group: GroupId,
    seat: Seat,
    bell: Arc<Bell>,
    seen: Vec<Pair>,
    /// Where it read on in storage: from, and to.
    stored: Vec<(u64, u64)>,
}

impl Reader {
    fn join(ring: &Tracked<Stage>, route: &Arc<Route>, overrun: Overrun) -> Self {
        let seats = Seats::new(vec![Arc::clone(route)], 1);
        let seat = Seat::of(&seats).remove(0);
        let bell = Arc::new(Bell::default());
        let group = ring.new_group();
        let task = Arc::clone(&bell) as Arc<dyn Rouse>;
        ring.join(group, seats, overrun, vec![(None, task)]);
        let ring = Tracked::clone(ring);
        Self { ring, group, seat, bell, seen: Vec::new(), stored: Vec::new() }
    }

    /// Has another one take over, of whose events this one saw the first.
    fn relieve(self, route: &Arc<Route>) -> Self {
        let Self { ring, group, seat, seen, stored, .. } = self;
        let seats = Seats::new(vec![Arc::clone(route)], 1);
        let own = Seat::of(&seats).remove(0);
        let bell = Arc::new(Bell::default());
        let id = ring.new_group();
        let task = Arc::clone(&bell) as Arc<dyn Rouse>;
        ring.step();
        let taken = seat.next();
        let leaving = Leaving { group, readers: vec![(seat, taken)] };
        drop(ring.relieve(leaving, id, seats, vec![task]).unwrap());
        ring.step();
        Self { ring, group: id, seat: own, bell, seen, stored }
    }

    /// Reads what there is. Returns whether it got on.
    fn read(&mut self) -> bool {
        let before = self.seat.next().max(1);
        self.ring.step();
        match self.seat.open(&self.ring) {
            Opened::Batch(batch) => {
                let open: Vec<_> = (0..batch.len()).filter_map(|at| batch.get(at)).collect();
                let watched: Vec<_> = open.iter().map(Open::watch).collect();
                let number = |open: &Open<'_>| {
                    open.get::<Number>(&mut Seen::nothing()).map_or(0, |event| event.0)
                };
                let seen = open.iter().map(|open| (open.position(), number(open)));
                self.seen.extend(seen);
                self.ring.step();
                drop(watched);
                let count = open.len();
                batch.close(count);
                true
            }
            Opened::Behind { from, to } => {
                self.stored.push((from, to));
                self.seat.advance(to);
                true
            }
            Opened::Nothing => self.seat.next() > before,
            Opened::Gone => false,
        }
    }

    /// Where its first event may be.
    fn start(&self) -> u64 {
        let roster = self.ring.roster.lock();
        roster.groups[&self.group].readers[0].place.start.load(Ordering::SeqCst)
    }

    fn read_all(&mut self) {
        while self.read() {}
    }

    /// Reads what there is, and falls asleep if there is nothing.
    fn read_or_sleep(&mut self) -> bool {
        !self.read() && self.seat.rest(&self.ring, Phase::Settled, true)
    }
}

fn ring(capacity: usize) -> Tracked<Stage> {
    Tracked::new(Stage { ring: Ring::new(1, capacity, false), step: AtomicU32::new(0) })
}

fn route(kind: u32) -> Arc<Route> {
    Route::new(NameId::from_number(kind))
}

/// Publishes if there is room.
fn publish(ring: &Stage, route: &Route, number: u64) -> Option<Pair> {
    let at = Timestamp::UNIX_EPOCH;
    loop {
        if let Ok(claimed) = ring.claim_one() {
            let at = claimed.write(route, Tag::unhashed(route.kind), Number(number), at);
            ring.step();
            return Some((at, number));
        }
        ring.make_room(1).ok()?;
    }
}

fn publish_all(ring: &Stage, route: &Route, numbers: &[u64]) -> Vec<Pair> {
    numbers.iter().filter_map(|number| publish(ring, route, *number)).collect()
}

/// A thread that publishes these, and returns what it published where.
fn publisher(
    ring: &Tracked<Stage>,
    route: &Arc<Route>,
    numbers: &'static [u64],
) -> JoinHandle<Vec<Pair>> {
    let (ring, route) = (Tracked::clone(ring), Arc::clone(route));
    thread::spawn(move || publish_all(&ring, &route, numbers))
}

/// What several threads have published, in order.
fn published(threads: impl IntoIterator<Item = JoinHandle<Vec<Pair>>>) -> Vec<Pair> {
    let mut all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort_unstable();
    all
}

/// Tries everything that at most so many preemptions can bring about.
fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// The same, for what depends on a total order of `SeqCst` accesses.
fn model_in_one_order(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    ONE_ORDER.set(true);
    model(preemptions, body);
}

#[test]
fn each_event_is_read_once_and_in_order() {
    model(2, || {
        let (ring, route) = (ring(2), route(0));
        let mut reader = Reader::join(&ring, &route, Overrun::Wait);
        let threads = [publisher(&ring, &route, &[10, 11]), publisher(&ring, &route, &[20])];
        reader.read();
        reader.read();
        let published = published(threads);
        reader.read_all();
        assert_eq!(reader.seen, published);
    });
}

#[test]
fn what_is_open_is_not_written_over() {
    for capacity in [1, 2] {
        model(3, move || {
            let (ring, route) = (ring(capacity), route(0));
            let mut reader = Reader::join(&ring, &route, Overrun::Wait);
            let thread = publisher(&ring, &route, &[10, 20, 30, 40]);
            for _ in 0..3 {
                reader.read();
            }
            let published = published([thread]);
            reader.read_all();
            assert_eq!(reader.seen, published);
        });
    }
}

#[test]
fn a_sleeper_is_woken_by_what_it_wants() {
    model(2, || {
        let (ring, mine, other) = (ring(2), route(0), route(1));
        let mut reader = Reader::join(&ring, &mine, Overrun::Wait);
        let lapping = publisher(&ring, &other, &[1, 2, 3]);
        let wanted = publisher(&ring, &mine, &[10]);
        let asleep = reader.read_or_sleep() || reader.read_or_sleep();
        let published = published([wanted]);
        lapping.join().unwrap();
        let is_awake = !asleep || reader.bell.has_rung();
        assert!(is_awake || reader.seen == published, "{published:?} is slept through");
        reader.read_all();
        assert_eq!(reader.seen, published);
    });
}

/// A sleeper that looks all the same, as it does when a timer has its task run.
#[test]
fn a_sleeper_may_look_at_any_time() {
    model(2, || {
        let (ring, mine, other) = (ring(1), route(0), route(1));
        let mut reader = Reader::join(&ring, &mine, Overrun::Wait);
        assert!(reader.read_or_sleep());
        let thread = {
            let (ring, mine) = (Tracked::clone(&ring), Arc::clone(&mine));
            thread::spawn(move || {
                publish(&ring, &other, 1).unwrap();
                publish_all(&ring, &mine, &[10])
            })
        };
        reader.read();
        reader.read();
        let published = published([thread]);
        reader.read_all();
        assert_eq!(reader.seen, published);
    });
}

/// A stop stores how far a reader is; what is published at that moment is not lost by that.
#[test]
fn a_sleeper_is_not_done_with_what_is_about_to_wake_it() {
    model(2, || {
        let (ring, mine, other) = (ring(2), route(0), route(1));
        let mut reader = Reader::join(&ring, &mine, Overrun::Wait);
        assert!(reader.read_or_sleep());
        let thread = {
            let (ring, mine) = (Tracked::clone(&ring), Arc::clone(&mine));
            thread::spawn(move || {
                publish(&ring, &other, 1).unwrap();
                publish_all(&ring, &mine, &[10])
            })
        };
        ring.step();
        let frontier = ring.frontier(reader.group, 0).unwrap();
        let published = published([thread]);
        reader.read_all();
        assert_eq!(reader.seen, published);
        assert!(frontier <= reader.seen[0].0);
    });
}

#[test]
fn who_joins_sees_everything_from_its_start_on() {
    model(2, || {
        let (ring, route) = (ring(2), route(0));
        let threads = [publisher(&ring, &route, &[10]), publisher(&ring, &route, &[20, 30])];
        let before = ring.end();
        let mut reader = Reader::join(&ring, &route, Overrun::Wait);
        let after = ring.end();
        reader.read();
        let mut published = published(threads);
        reader.read_all();
        let start = reader.start();
        assert!((before..=after).contains(&start));
        published.retain(|(position, _)| *position >= start);
        assert_eq!(reader.seen, published);
    });
}

/// The ring is full but for the positions that are published meanwhile; one of them lies where the
/// reader looks while somebody else takes it out.
#[test]
fn what_is_open_stays_when_its_reader_leaves() {
    model_in_one_order(3, || {
        let (ring, route) = (ring(2), route(0));
        let mut reader = Reader::join(&ring, &route, Overrun::Wait);
        publish(&ring, &route, 10).unwrap();
        let thread = publisher(&ring, &route, &[20]);
        let leaving = {
            let (ring, route, group) = (Tracked::clone(&ring), Arc::clone(&route), reader.group);
            thread::spawn(move || {
                ring.leave(group);
                publish_all(&ring, &route, &[30, 40])
            })
        };
        reader.read();
        let published = published([thread, leaving]);
        // Nobody is left to be waited for, but for one that was about to publish.
        assert!(published.len() >= 2);
        assert!(published.starts_with(&reader.seen[reader.seen.len().min(1)..]));
    });
}

#[test]
fn a_reader_that_is_passed_over_has_read_or_missed_everything() {
    model_in_one_order(2, || {
        let (ring, route) = (ring(1), route(0));
        let mut reader = Reader::join(&ring, &route, Overrun::Skip);
        let threads = [publisher(&ring, &route, &[10, 11]), publisher(&ring, &route, &[20])];
        reader.read();
        reader.read();
        let published = published(threads);
        reader.read_all();
        let missed = reader.seat.take_missed();
        assert_eq!(reader.seen.len() as u64 + missed, published.len() as u64);
        assert!(reader.seen.iter().all(|seen| published.contains(seen)));
        assert!(reader.seen.is_sorted());
    });
}

#[test]
fn what_was_published_before_a_reader_joined_is_not_missed() {
    model_in_one_order(2, || {
        let (ring, route) = (ring(2), route(0));
        let threads = [publisher(&ring, &route, &[10]), publisher(&ring, &route, &[20, 21, 22])];
        let mut reader = Reader::join(&ring, &route, Overrun::Skip);
        let start = reader.start();
        reader.read();
        let published = published(threads);
        reader.read_all();
        let missed = reader.seat.take_missed();
        let owed = published.iter().filter(|(position, _)| *position >= start).count();
        assert_eq!(reader.seen.len() as u64 + missed, owed as u64);
    });
}

#[test]
fn a_reader_may_be_passed_over_time_and_again() {
    model_in_one_order(3, || {
        let (ring, route) = (ring(2), route(0));
        let mut reader = Reader::join(&ring, &route, Overrun::Skip);
        let mut slow = Reader::join(&ring, &route, Overrun::Wait);
        assert_eq!(publish_all(&ring, &route, &[10, 20]).len(), 2);
        let pressing = {
            let ring = Tracked::clone(&ring);
            thread::spawn(move || (1..3).for_each(|count| assert!(ring.make_room(count).is_err())))
        };
        reader.read();
        reader.read();
        pressing.join().unwrap();
        slow.read_all();
        assert_eq!(publish_all(&ring, &route, &[30, 40, 50]).len(), 2);
        reader.read_all();
        let missed = reader.seat.take_missed();
        assert_eq!(reader.seen.len() as u64 + missed, 4);
        assert!(reader.stored.is_empty());
    });
}

#[test]
fn a_reader_that_falls_behind_reads_the_rest_in_storage() {
    model_in_one_order(2, || {
        let (ring, route) = (ring(2), route(0));
        let mut reader = Reader::join(&ring, &route, Overrun::Leave);
        let threads = [publisher(&ring, &route, &[10, 11, 12]), publisher(&ring, &route, &[20])];
        reader.read();
        reader.read();
        let published = published(threads);
        reader.read_all();
        let is_stored = |at: u64| reader.stored.iter().any(|(from, to)| (*from..*to).contains(&at));
        let mut all = reader.seen.clone();
        all.extend(published.iter().filter(|(position, _)| is_stored(*position)));
        all.sort_unstable();
        assert_eq!(all, published);
        assert!(reader.seen.is_sorted());
    });
}

/// It never had a place in the ring, and what was claimed before it joined may not be written.
#[test]
fn a_reader_that_fell_behind_at_once_holds_up_what_is_not_written() {
    model_in_one_order(2, || {
        let (ring, route) = (ring(2), route(0));
        let threads = [publisher(&ring, &route, &[10]), publisher(&ring, &route, &[20, 21, 22])];
        let mut reader = Reader::join(&ring, &route, Overrun::Leave);
        let start = reader.start();
        reader.read();
        reader.read();
        let published = published(threads);
        reader.read_all();
        let is_stored = |at: u64| reader.stored.iter().any(|(from, to)| (*from..*to).contains(&at));
        let mut all = reader.seen.clone();
        all.extend(published.iter().filter(|(position, _)| is_stored(*position)));
        all.sort_unstable();
        let owed: Vec<_> = published.into_iter().filter(|(at, _)| *at >= start).collect();
        assert_eq!(all, owed);
    });
}

#[test]
fn what_overflows_goes_in_as_soon_as_there_is_room() {
    model_in_one_order(2, || {
        let (ring, route) = (ring(1), route(0));
        let mut reader = Reader::join(&ring, &route, Overrun::Wait);
        publish(&ring, &route, 10).unwrap();
        let outputs = {
            let (ring, route) = (Tracked::clone(&ring), Arc::clone(&route));
            thread::spawn(move || {
                ring.append_always(vec![incoming(&route, 20)]);
            })
        };
        reader.read();
        outputs.join().unwrap();
        assert!(ring.roster.lock().overflow.is_empty());
        reader.read_all();
        assert_eq!(reader.seen, [(1, 10), (2, 20)]);
    });
}

#[test]
fn what_overflows_and_what_is_published_come_once_each() {
    model(2, || {
        let (ring, route) = (ring(2), route(0));
        let mut reader = Reader::join(&ring, &route, Overrun::Wait);
        let thread = publisher(&ring, &route, &[10, 11]);
        let outputs = {
            let (ring, route) = (Tracked::clone(&ring), Arc::clone(&route));
            thread::spawn(move || {
                ring.append_always(vec![incoming(&route, 20), incoming(&route, 21)]);
            })
        };
        reader.read();
        outputs.join().unwrap();
        let published = published([thread]);
        reader.read_all();
        ring.make_room(0).ok();
        reader.read_all();
        let numbers: Vec<_> = reader.seen.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers.len(), published.len() + 2);
        assert!(published.iter().all(|seen| reader.seen.contains(seen)));
        assert!(numbers.iter().filter(|number| **number >= 20).is_sorted());
    });
}

/// Who sleeps for a reader is told by a reader.
#[test]
fn without_a_reader_nobody_is_told_to_wait_for_one() {
    model(2, || {
        let (ring, route) = (ring(1), route(0));
        let thread = publisher(&ring, &route, &[10]);
        ring.step();
        assert_ne!(ring.make_room(1), Err(Full::Wait));
        published([thread]);
    });
}

#[test]
fn what_overflows_beside_a_publisher_goes_in_when_that_is_done() {
    model(2, || {
        let (ring, route, tender) = (ring(1), route(0), Arc::<Bell>::default());
        ring.tended_by(Arc::clone(&tender) as Arc<dyn Rouse>);
        let thread = publisher(&ring, &route, &[10]);
        ring.append_always(vec![incoming(&route, 20)]);
        published([thread]);
        if tender.has_rung() {
            ring.tend();
        }
        assert!(ring.roster.lock().overflow.is_empty());
    });
}

fn incoming(route: &Arc<Route>, number: u64) -> Incoming {
    let cell = CellRef::new(Number(number), Timestamp::UNIX_EPOCH, None);
    Incoming { route: Arc::clone(route), tag: Tag::unhashed(route.kind), cell }
}

#[test]
fn who_takes_over_reads_on_where_the_other_stopped() {
    for capacity in [1, 2] {
        model(3, move || {
            let (ring, route) = (ring(capacity), route(0));
            let mut reader = Reader::join(&ring, &route, Overrun::Wait);
            let thread = publisher(&ring, &route, &[10, 20, 30]);
            reader.read();
            let mut reader = reader.relieve(&route);
            reader.read();
            let published = published([thread]);
            reader.read_all();
            assert_eq!(reader.seen, published);
        });
    }
}

#[test]
fn who_takes_over_from_a_sleeper_misses_nothing() {
    model(2, || {
        let (ring, mine, other) = (ring(2), route(0), route(1));
        let mut reader = Reader::join(&ring, &mine, Overrun::Wait);
        let lapping = publisher(&ring, &other, &[1, 2]);
        let wanted = publisher(&ring, &mine, &[10]);
        reader.read_or_sleep();
        let mut reader = reader.relieve(&mine);
        let published = published([wanted]);
        lapping.join().unwrap();
        reader.read_all();
        assert_eq!(reader.seen, published);
    });
}
