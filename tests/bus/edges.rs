//! Corners where events get lost, repeated or stuck in other buses.

use std::{
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidings::{
    Backoff, Bus, Condition, Context, DeadLetterReason, Delivery, Event, HandlerError, Message,
    Position, PublishFailure, Start, SubscribeError, Subscription,
    codec::{Codec, CodecError},
    storage::{FileStorage, MemoryStorage, Page, StorageError},
    testing::{MemoryDisk, Simulator},
};

use crate::{
    events::{Placed, SECOND, Tick, placed, seen, simulated},
    hooked::{Hooked, nothing},
};

#[test]
fn a_subscription_that_is_stopped_midway_resumes_at_the_next_event() {
    let storage = MemoryStorage::new();
    let sim = Simulator::new(1);
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    bus.publish_all((0..100).map(Tick)).unwrap();
    let handled = seen();
    let (list, this) = (handled.clone(), Arc::new(OnceLock::<Subscription>::new()));
    let stop = Arc::clone(&this);
    let reader = bus.subscribe("reader").on(move |tick: &Tick| {
        list.lock().push(tick.0);
        if tick.0 == 7 {
            stop.get().unwrap().stop(Duration::ZERO);
        }
    });
    this.set(reader.start().unwrap()).unwrap();
    sim.run_until_idle();
    let first = handled.lock().len();
    assert!(first < 100, "it stops");
    let list = handled.clone();
    bus.subscribe("reader").on(move |tick: &Tick| list.lock().push(tick.0)).start().unwrap();
    sim.run_until_idle();
    let mut all = handled.lock().clone();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 100, "nothing is lost");
}

#[test]
fn an_abandoned_handler_does_not_touch_its_successor() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::open(dir.path()).unwrap();
    let (release, stuck) = mpsc::channel::<()>();
    let stuck = parking_lot::Mutex::new(stuck);
    let entered = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&entered);
    let first = bus
        .subscribe("worker")
        .pool(tidings::Runtime::DEFAULT_POOL)
        .on(move |_: &Placed, ctx: &mut Context| {
            inside.wait();
            stuck.lock().recv().ok();
            ctx.publish(Tick(1))
        })
        .start()
        .unwrap();
    bus.publish(placed(1, 0)).unwrap();
    entered.wait();
    assert!(!first.stop(Duration::from_millis(20)), "a handler still runs");

    bus.subscribe("worker")
        .on(|_: &Placed, ctx: &mut Context| ctx.publish(Tick(2)))
        .start()
        .unwrap();
    bus.publish_all((0..50).map(|step| placed(2, step))).unwrap();
    assert!(bus.wait_idle(30 * SECOND));
    drop(release);
    std::thread::sleep(Duration::from_millis(50));
    bus.shutdown(30 * SECOND).unwrap();

    let bus = Bus::open(dir.path()).unwrap();
    let (again, ticks) = (seen(), seen());
    let (list, all) = (again.clone(), ticks.clone());
    bus.subscribe("worker").on(move |e: &Placed| list.lock().push(e.step)).start().unwrap();
    bus.subscribe("audit").on(move |tick: &Tick| all.lock().push(tick.0)).start().unwrap();
    assert!(bus.wait_idle(30 * SECOND));
    assert!(again.lock().is_empty(), "the successor's cursor stands");
    assert_eq!(*ticks.lock(), [2; 51], "the abandoned handler published nothing");
}

#[test]
fn a_lane_that_rests_for_lack_of_room_goes_on_when_another_makes_some() {
    let (sim, bus) = simulated(2);
    let subscription = bus
        .subscribe("billing")
        .lanes(2)
        .dead_letters(1)
        .on(|e: &Placed, ctx: &mut Context| match (e.order, ctx.attempt()) {
            (0, 1) => Err(HandlerError::reject("first")),
            _ => Ok(()),
        })
        .start()
        .unwrap();
    bus.publish(placed(0, 0)).unwrap();
    sim.run_until_idle();
    bus.publish_all((1..20).map(|order| placed(order, 0))).unwrap();
    sim.run_until_idle();
    assert_eq!(subscription.status().condition, Condition::DeadLettersFull);
    assert_eq!(subscription.status().handled, 0);
    bus.dead_letters("billing").retry_all().unwrap();
    sim.run_until_idle();
    assert_eq!(subscription.status().handled, 20);
}

#[test]
fn a_handler_that_stages_too_much_fails_alone() {
    let (sim, disk) = (Simulator::new(3), MemoryDisk::new());
    let storage = FileStorage::builder("store").disk(disk).open().unwrap();
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    let subscription = bus
        .subscribe("greedy")
        .retry(Backoff::never())
        .on(|e: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
            if e.order == 1 {
                ctx.state().put("big", &"x".repeat(5 << 20))?;
                ctx.state().put("bigger", &"x".repeat(5 << 20))?;
            }
            Ok(())
        })
        .start()
        .unwrap();
    bus.publish_all((0..3).map(|order| placed(order, 0))).unwrap();
    sim.run_until_idle();
    assert_eq!(subscription.status().condition, Condition::Running);
    assert_eq!(subscription.status().handled, 2);
    let letter = &bus.dead_letters("greedy").list().unwrap()[0];
    assert!(letter.error().contains("more than 8388608"), "{}", letter.error());
}

#[derive(Debug)]
struct Fragile;

impl<E> Codec<E> for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn encode(&self, _: &E, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.push(1);
        Ok(())
    }

    fn decode(&self, _: &[u8]) -> Result<E, CodecError> {
        panic!("not today")
    }
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "fragile", codec = "Fragile")]
struct Broken;

/// So does one that panics.
#[test]
fn f8_a_panic_in_decoding_makes_a_dead_letter() {
    let sim = Simulator::new(4);
    let storage = MemoryStorage::new();
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).ring(1).build().unwrap();
    bus.publish(Broken).unwrap();
    bus.publish(Tick(1)).unwrap(); // pushes the value out of the ring
    let handled = seen();
    let list = handled.clone();
    let reader = bus.subscribe("reader").on(|_: &Broken| ());
    reader.on(move |tick: &Tick| list.lock().push(tick.0)).start().unwrap();
    sim.run_until_idle();
    let letter = &bus.dead_letters("reader").list().unwrap()[0];
    assert_eq!(letter.reason(), DeadLetterReason::Undecodable);
    assert_eq!(letter.error(), "decoding it panicked: not today");
    assert_eq!(*handled.lock(), [1]);
}

#[test]
fn an_endless_delay_parks_and_harms_nobody() {
    let (sim, bus) = simulated(5);
    let subscription = bus
        .subscribe("patient")
        .on(|tick: &Tick| match tick.0 {
            0 => Err(HandlerError::retry_after("never", Duration::MAX)),
            _ => Ok(()),
        })
        .start()
        .unwrap();
    bus.publish_all((0..3).map(Tick)).unwrap();
    sim.advance(SECOND);
    assert_eq!((subscription.status().handled, subscription.status().held), (2, 1));
}

#[test]
fn events_that_nobody_pulled_cost_no_attempt() {
    let storage = MemoryStorage::new();
    let sim = Simulator::new(6);
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    bus.publish_all((0..10).map(Tick)).unwrap();
    for _ in 0..3 {
        let pull = bus.subscribe("pull").retry(Backoff::never()).stream::<Tick>().unwrap();
        sim.advance(SECOND);
        drop(pull);
    }
    let pull = bus.subscribe("pull").retry(Backoff::never()).stream::<Tick>().unwrap();
    let attempts: Vec<_> = pull
        .take(10)
        .map(|tick| {
            let attempt = tick.attempt();
            tick.ack();
            attempt
        })
        .collect();
    assert_eq!(attempts, [1; 10]);
    assert!(bus.dead_letters("pull").list().unwrap().is_empty());
}

#[test]
fn a_due_retry_with_no_room_to_run_waits_without_spinning() {
    let (sim, bus) = simulated(7);
    let pull = bus.subscribe("pull").max_in_flight(1).retry(Backoff::constant(SECOND));
    let mut pull = pull.stream::<Tick>().unwrap();
    bus.publish_all([Tick(1), Tick(2)]).unwrap();
    pull.next().unwrap().retry(HandlerError::retry("later"));
    let second = pull.next().unwrap();
    let before = sim.steps();
    sim.advance(10 * SECOND);
    assert!(sim.steps() - before < 10, "{} steps", sim.steps() - before);
    second.ack();
    assert_eq!(pull.next().unwrap().0, 1);
}

#[test]
fn broken_keys_do_not_starve_the_healthy() {
    let (sim, bus) = simulated(8);
    let handled = seen();
    let list = handled.clone();
    bus.subscribe("mixed")
        .retry(Backoff::constant(Duration::ZERO))
        .on(move |e: &Placed| {
            if e.order < 400 {
                return Err(HandlerError::retry("broken"));
            }
            list.lock().push(e.order);
            Ok(())
        })
        .start()
        .unwrap();
    bus.publish_all((0..500).map(|order| placed(order, 0))).unwrap();
    for _ in 0..200 {
        assert!(sim.step());
    }
    assert_eq!(handled.lock().len(), 100);
}

#[tokio::test]
async fn state_without_a_key_is_refused_where_it_would_race() {
    let bus = Bus::volatile();
    bus.subscribe("async")
        .retry(Backoff::never())
        .on_async(|mut tick: Delivery<Tick>| async move {
            tick.state().put("count", &1).map_err(HandlerError::reject)
        })
        .start()
        .unwrap();
    bus.enqueue(Tick(1)).unwrap().await.unwrap();
    let checked = bus.clone();
    assert!(tokio::task::spawn_blocking(move || checked.wait_idle(30 * SECOND)).await.unwrap());
    let letter = &bus.dead_letters("async").list().unwrap()[0];
    assert!(letter.error().starts_with("state needs an event with a key"));
}

#[test]
fn the_state_of_an_ephemeral_subscription_is_gone_with_it() {
    let sim = Simulator::new(9);
    let storage = MemoryStorage::new();
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    bus.publish_all((0..3).map(|step| placed(1, step))).unwrap();
    for _ in 0..2 {
        let counts = seen();
        let list = counts.clone();
        let cache = bus.subscribe("cache").ephemeral();
        let cache = cache.on(move |_: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
            let count = ctx.state().get::<u64>("count")?.unwrap_or(0) + 1;
            ctx.state().put("count", &count)?;
            list.lock().push(count);
            Ok(())
        });
        let cache = cache.start().unwrap();
        sim.run_until_idle();
        assert_eq!(*counts.lock(), [1, 2, 3]);
        cache.stop(SECOND);
    }
}

#[test]
fn whoever_pulls_is_told_when_storage_fails() {
    let (sim, disk) = (Simulator::new(10), MemoryDisk::new());
    let storage = FileStorage::builder("store").disk(disk.clone()).open().unwrap();
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    let mut pull = bus.subscribe("pull").stream::<Tick>().unwrap();
    bus.publish(Tick(1)).unwrap();
    let tick = pull.next().unwrap();
    disk.fail_after(0);
    let error = bus.publish(Tick(2)).unwrap_err();
    assert!(error.to_string().contains("may or may not survive"), "{error}");
    assert_eq!(error.into_event(), Tick(2));
    let later = bus.publish(Tick(3)).unwrap_err();
    assert!(later.to_string().contains("takes no more until it is opened anew"), "{later}");
    tick.ack();
    assert!(pull.next().is_none());
    assert!(matches!(pull.subscription().status().condition, Condition::Failed(_)));
}

#[test]
fn a_full_bus_with_nobody_to_make_room_fails_under_the_simulator() {
    let sim = Simulator::new(11);
    let bus = Bus::builder().runtime(sim.runtime()).ring(2).build().unwrap();
    let resting = bus.subscribe("resting").on(|_: &Tick| ()).start().unwrap();
    resting.pause();
    sim.run_until_idle();
    let full = (0..9).map(Tick).find_map(|tick| bus.publish(tick).err()).unwrap();
    assert!(matches!(full.failure(), PublishFailure::Full { capacity: 2 }));
}

#[test]
fn an_answer_can_be_asked_for_twice() {
    let bus = Bus::volatile();
    let mut pending = bus.enqueue(Tick(1)).unwrap();
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    let polled = std::pin::Pin::new(&mut pending).poll(&mut cx);
    let std::task::Poll::Ready(Ok(receipt)) = polled else { panic!("{polled:?}") };
    assert_eq!(pending.wait().unwrap(), receipt);
}

/// Storage that takes its time to commit, and can be blind for what it has.
fn slow(storage: MemoryStorage, blind: &Arc<AtomicBool>) -> Hooked<MemoryStorage> {
    let blind = Arc::clone(blind);
    let storage = Hooked::new(storage).before_commit(|_| {
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    });
    storage.before_read(move |query| Ok(blind.load(Ordering::SeqCst).then(|| nothing(query))))
}

#[test]
fn a_successor_sees_what_was_still_on_its_way_to_storage() {
    let bus = Bus::builder().storage(slow(MemoryStorage::new(), &Arc::default())).build().unwrap();
    let (tell, told) = mpsc::channel();
    let first = tell.clone();
    let reader = bus.subscribe("reader").on(move |tick: &Tick| first.send((1, tick.0)).unwrap());
    let reader = reader.start().unwrap();
    bus.publish(Tick(7)).unwrap();
    assert_eq!(told.recv().unwrap(), (1, 7));
    std::thread::sleep(Duration::from_millis(10)); // the acknowledgement is being committed
    reader.stop(Duration::ZERO);
    let reader = bus.subscribe("reader").on(move |tick: &Tick| tell.send((2, tick.0)).unwrap());
    reader.start().unwrap();
    bus.publish(Tick(8)).unwrap();
    assert_eq!(told.recv().unwrap(), (2, 8), "not the one before again");
}

#[test]
fn large_outputs_of_many_handlers_commit_in_portions() {
    let (sim, disk) = (Simulator::new(12), MemoryDisk::new());
    let storage = FileStorage::builder("store").disk(disk).open().unwrap();
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    let mut pull = bus.subscribe("pull").stream::<Placed>().unwrap();
    bus.publish_all((0..4).map(|order| placed(order, 0))).unwrap();
    let mut orders: Vec<_> = (0..4).map(|_| pull.next().unwrap()).collect();
    for order in &mut orders {
        order.state().put("big", &"x".repeat(6 << 20)).unwrap();
    }
    orders.into_iter().for_each(tidings::Unsettled::ack);
    sim.run_until_idle();
    assert_eq!(pull.subscription().status().condition, Condition::Running);
    assert_eq!(pull.subscription().status().handled, 4);
    assert_eq!(pull.subscription().lag(), 0);
}

#[test]
fn a_letter_discarded_before_its_batch_commits_stays_discarded() {
    let sim = Simulator::new(13);
    let storage = MemoryStorage::new();
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    let inside = bus.clone();
    let first = Position::FIRST;
    bus.subscribe("billing")
        .on(move |e: &Placed, ctx: &mut Context| match (e.order, ctx.attempt()) {
            (0, _) => Err(HandlerError::reject("no")),
            (_, 1) => Err(HandlerError::reject("once")),
            // In the same turn, after the first letter was tried again and rejected.
            _ => inside.dead_letters("billing").discard(first).map_err(HandlerError::retry),
        })
        .start()
        .unwrap();
    bus.publish_all([placed(0, 0), placed(1, 0)]).unwrap();
    sim.run_until_idle();
    let letters = bus.dead_letters("billing");
    assert_eq!(letters.list().unwrap().len(), 2);
    letters.retry_all().unwrap();
    sim.run_until_idle();
    assert!(letters.list().unwrap().is_empty(), "{:?}", letters.list());
}

/// An event whose owner panics when it is dropped, once.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "grenade")]
struct Grenade(bool);

impl Drop for Grenade {
    fn drop(&mut self) {
        if std::mem::take(&mut self.0) {
            std::panic::resume_unwind(Box::new("boom"));
        }
    }
}

#[test]
fn an_event_that_panics_when_dropped_stops_nobody() {
    let bus = Bus::builder().storage(MemoryStorage::new()).ring(1).build().unwrap();
    let (tell, told) = mpsc::channel();
    bus.subscribe("ticks").on(move |tick: &Tick| tell.send(tick.0).unwrap()).start().unwrap();
    bus.publish(Grenade(true)).unwrap();
    for n in 0..20 {
        bus.publish(Tick(n)).unwrap();
        drop(bus.enqueue(Tick(n)).unwrap());
    }
    assert!(bus.wait_idle(30 * SECOND));
    assert_eq!(told.try_iter().count(), 40);
    bus.shutdown(30 * SECOND).unwrap();
}

struct Boom;

impl tidings::Outcome for Boom {
    fn into_result(self) -> Result<(), HandlerError> {
        panic!("on the way out")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_on_the_way_out_of_an_async_handler_is_an_error() {
    let bus = Bus::volatile();
    let subscription = bus.subscribe("async").retry(Backoff::never());
    subscription.on_async(|_: Delivery<Tick>| async { Boom }).start().unwrap();
    bus.enqueue(Tick(1)).unwrap().await.unwrap();
    assert!(bus.wait_idle(30 * SECOND));
    let letter = &bus.dead_letters("async").list().unwrap()[0];
    assert_eq!(letter.error(), "the handler panicked: on the way out");
}

#[test]
fn the_end_of_time_is_no_overflow() {
    let (sim, bus) = simulated(14);
    let subscription = bus
        .subscribe("patient")
        .retry(Backoff::constant(SECOND).max_attempts(3))
        .on(|_: &Tick| -> Result<(), HandlerError> {
            Err(HandlerError::retry_after("never", Duration::MAX))
        })
        .start()
        .unwrap();
    bus.publish(Tick(1)).unwrap();
    sim.run_until_idle();
    assert_eq!(subscription.status().condition, Condition::Running);
    assert_eq!(subscription.status().dead_letters, 1);
    bus.shutdown(Duration::MAX).unwrap();
}

#[test]
fn a_parked_event_that_is_ignored_after_a_restart_is_let_go() {
    let sim = Simulator::new(15);
    let storage = MemoryStorage::new();
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    let failing = bus
        .subscribe("reader")
        .retry(Backoff::constant(3600 * SECOND))
        .on(|_: &Placed| Err(HandlerError::retry("down")))
        .on(|_: &Tick| ())
        .start()
        .unwrap();
    bus.publish(placed(1, 0)).unwrap();
    sim.advance(SECOND);
    assert_eq!(failing.status().held, 1);
    failing.stop(SECOND);
    let reader = bus.subscribe("reader").ignore("orders.placed").on(|_: &Tick| ());
    let reader = reader.start().unwrap();
    sim.run_until_idle();
    assert_eq!((reader.status().held, reader.status().dead_letters), (0, 0));
    assert_eq!(reader.lag(), 0);
}

#[test]
fn an_open_event_that_storage_does_not_find_is_not_acknowledged() {
    let (storage, blind) = (MemoryStorage::new(), Arc::<AtomicBool>::default());
    let bus = Bus::builder().storage(slow(storage.clone(), &blind)).build().unwrap();
    let failing = bus.subscribe("reader").retry(Backoff::constant(3600 * SECOND));
    let failing = failing.on(|_: &Tick| Err(HandlerError::retry("down"))).start().unwrap();
    bus.publish(Tick(7)).unwrap();
    while failing.status().retried == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    bus.shutdown(30 * SECOND).unwrap();

    blind.store(true, Ordering::SeqCst);
    let storage = slow(storage.reopened(), &blind);
    let bus = Bus::builder().storage(storage).build().unwrap();
    let (tell, told) = mpsc::channel();
    let reader = bus.subscribe("reader").on(move |tick: &Tick| tell.send(tick.0).unwrap());
    let reader = reader.start().unwrap();
    assert!(told.recv_timeout(Duration::from_millis(300)).is_err());
    assert_eq!(reader.status().held, 1, "it is still owed");
    blind.store(false, Ordering::SeqCst);
    assert_eq!(told.recv_timeout(30 * SECOND), Ok(7));
}

/// Nor asked for it without a pause.
#[test]
fn events_that_storage_does_not_find_for_a_while_are_waited_for() {
    let (sim, storage) = (Simulator::new(1), MemoryStorage::new());
    let is_blind = Arc::new(AtomicBool::new(true));
    let (blind, reads) = (Arc::clone(&is_blind), Arc::<AtomicU64>::default());
    let count = Arc::clone(&reads);
    let storage = Hooked::new(storage).before_read(move |query| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(blind.load(Ordering::SeqCst).then(|| nothing(query)))
    });
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).ring(2).build().unwrap();
    bus.publish_all((0..50).map(Tick)).unwrap();
    let handled = seen();
    let list = handled.clone();
    let reader = bus.subscribe("reader").on(move |tick: &Tick| list.lock().push(tick.0));
    let reader = reader.start_at(Start::Earliest).start().unwrap();
    for _ in 0..10 {
        sim.advance(SECOND / 10);
    }
    let asked = reads.load(Ordering::SeqCst);
    assert!((2..=20).contains(&asked), "{asked} times in a second");
    assert_eq!((handled.lock().len(), reader.lag()), (0, 50));
    is_blind.store(false, Ordering::SeqCst);
    sim.run_until_idle();
    assert_eq!(*handled.lock(), (0..50).collect::<Vec<_>>());
}

#[test]
fn a_subscription_that_cannot_be_stored_says_what_storage_said() {
    let sim = Simulator::new(1);
    let storage = Hooked::new(MemoryStorage::new())
        .before_commit(|_| Err(StorageError::TooLarge { bytes: 9, limit: 7 }));
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    let started = bus.subscribe("reader").on(|_: &Tick| {}).start();
    let said = SubscribeError::Storage(StorageError::TooLarge { bytes: 9, limit: 7 });
    assert_eq!(started.unwrap_err().to_string(), said.to_string());
}

/// It may answer that it has found nothing so far.
#[test]
fn a_start_by_time_is_looked_for_to_the_end() {
    let sim = Simulator::new(1);
    let storage = Hooked::new(MemoryStorage::new()).before_read(|query| {
        let is_first = query.filter.since.is_some() && query.from == Position::FIRST;
        let next = Position::FIRST.plus(5);
        Ok(is_first.then(|| Page { records: Vec::new(), next }))
    });
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    for number in 0..10 {
        bus.publish(Tick(number)).unwrap();
        sim.advance(SECOND);
    }
    let times = seen();
    let list = times.clone();
    let note = move |_: &Tick, ctx: &mut Context| list.lock().push(ctx.published_at());
    bus.subscribe("times").start_at(Start::Earliest).on(note).start().unwrap();
    sim.run_until_idle();
    let eighth = times.lock()[8];
    let handled = seen();
    let list = handled.clone();
    let reader = bus.subscribe("reader").on(move |tick: &Tick| list.lock().push(tick.0));
    reader.start_at(Start::Time(eighth)).start().unwrap();
    sim.run_until_idle();
    assert_eq!(*handled.lock(), [8, 9]);
}

#[test]
fn what_is_due_is_published_once_storage_can_be_asked_for_it_again() {
    let (sim, is_down) = (Simulator::new(1), Arc::new(AtomicBool::new(false)));
    let down = Arc::clone(&is_down);
    let storage = Hooked::new(MemoryStorage::new()).before_scan(move |prefix| {
        if prefix.starts_with(b"scheduled") && down.load(Ordering::SeqCst) {
            return Err(StorageError::Full { bytes: 1 });
        }
        Ok(())
    });
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    let published = seen();
    let list = published.clone();
    bus.subscribe("reader").on(move |tick: &Tick| list.lock().push(tick.0)).start().unwrap();
    bus.schedule(Message::new(Tick(7)).delay(SECOND)).unwrap();
    is_down.store(true, Ordering::SeqCst);
    sim.advance(10 * SECOND);
    assert!(published.lock().is_empty());
    is_down.store(false, Ordering::SeqCst);
    sim.advance(SECOND);
    assert_eq!(*published.lock(), [7]);
}
