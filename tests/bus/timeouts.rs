//! Handlers that take too long: F4 and F5 of the failure modes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tidings::{
    Backoff, Bus, Context, Deliveries, Delivery, HandlerError, Lanes, Subscription, TimedOut,
};

use crate::events::{Placed, SECOND, Shipped, Tick, placed, seen, simulated};

fn pull(bus: &Bus) -> Deliveries<Placed> {
    let builder = bus.subscribe("pull").timeout(10 * SECOND);
    builder.retry(Backoff::constant(SECOND).max_attempts(3)).stream().unwrap()
}

#[test]
fn f4_an_event_that_is_pulled_and_not_settled_is_taken_back() {
    let (sim, bus) = simulated(1);
    let mut events = pull(&bus);
    bus.publish_all([placed(1, 0), placed(1, 1)]).unwrap();
    let kept = events.next().unwrap();
    let again = events.next().unwrap();
    assert_eq!((again.order, again.step, again.attempt()), (1, 0, 2), "its key waits for it");
    assert_eq!(sim.elapsed(), 11 * SECOND);
    again.ack();
    let next = events.next().unwrap();
    assert_eq!((next.step, next.attempt()), (1, 1));
    next.ack();
    drop(kept);
    assert!(bus.wait_idle(60 * SECOND));
    let status = events.subscription().status();
    assert_eq!((status.handled, status.retried, status.held), (2, 1, 0));
}

#[test]
fn an_event_that_nobody_has_pulled_yet_is_not_too_late() {
    let (sim, bus) = simulated(7);
    let mut events = pull(&bus);
    bus.publish_all([placed(1, 0), placed(2, 0)]).unwrap();
    sim.advance(60 * SECOND);
    for order in [1, 2] {
        let event = events.next().unwrap();
        assert_eq!((event.order, event.attempt()), (order, 1));
        sim.advance(9 * SECOND);
        event.ack();
    }
    assert!(bus.wait_idle(60 * SECOND));
    let status = events.subscription().status();
    assert_eq!((status.handled, status.retried), (2, 0));
}

#[test]
fn f5_a_late_ack_is_ignored_and_publishes_nothing() {
    let (_, bus) = simulated(2);
    let mut events = pull(&bus);
    let shipped = seen();
    let list = shipped.clone();
    bus.subscribe("ships")
        .on(move |event: &Shipped| list.lock().push(event.order))
        .start()
        .unwrap();
    bus.publish(placed(1, 0)).unwrap();
    let mut first = events.next().unwrap();
    first.publish(Shipped { order: 1 }).unwrap();
    let mut second = events.next().unwrap();
    first.ack(); // while the second attempt is under way: its ticket is another one
    assert!(events.next_within(SECOND).is_none());
    assert_eq!(events.subscription().status().handled, 0);
    second.publish(Shipped { order: 2 }).unwrap();
    second.ack();
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!(*shipped.lock(), [2]);
    assert_eq!(events.subscription().status().handled, 1);
}

#[test]
fn an_event_that_is_always_too_late_becomes_a_dead_letter_that_says_so() {
    let (_, bus) = simulated(3);
    let mut events = pull(&bus);
    bus.publish(placed(1, 0)).unwrap();
    let kept: Vec<_> = std::iter::from_fn(|| events.next_within(60 * SECOND)).collect();
    assert_eq!(kept.len(), 3);
    let letters = bus.dead_letters("pull").list().unwrap();
    assert_eq!(letters[0].error(), "the handler took longer than 10s");
    drop(kept);
    assert!(bus.wait_idle(SECOND));
}

#[test]
fn a_timeout_has_a_type_to_be_judged_by() {
    let (_, bus) = simulated(4);
    let builder =
        bus.subscribe("pull").timeout(SECOND).reject_if(|late: &TimedOut| late.after == SECOND);
    let mut events = builder.stream::<Tick>().unwrap();
    bus.publish(Tick(1)).unwrap();
    let kept = events.next().unwrap();
    assert!(events.next_within(60 * SECOND).is_none());
    assert_eq!(events.subscription().status().dead_lettered, 1);
    kept.ack();
}

#[test]
fn deadlines_hold_when_the_number_of_lanes_changes() {
    let (sim, bus) = simulated(5);
    let builder = bus.subscribe("pull").timeout(10 * SECOND).lanes(Lanes::adaptive(1..=4));
    let mut events = builder.retry(Backoff::constant(SECOND)).stream::<Placed>().unwrap();
    bus.publish_all((0..8).map(|order| placed(order, 0))).unwrap();
    let kept: Vec<_> = (0..8).map(|_| events.next().unwrap()).collect();
    events.subscription().ask_for_lanes(4);
    sim.advance(SECOND);
    assert_eq!(events.subscription().status().lanes, 4);
    for _ in 0..8 {
        let again = events.next().unwrap();
        assert_eq!(again.attempt(), 2);
        again.ack();
    }
    assert_eq!(sim.elapsed(), 11 * SECOND);
    kept.into_iter().for_each(tidings::Unsettled::ack);
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!(events.subscription().status().handled, 8);
}

#[test]
fn f4_a_handler_that_is_stuck_shows_in_the_status_while_it_is() {
    type Choice = fn(&Bus, Box<dyn Fn(u64) + Send + Sync>) -> Subscription;
    let choices: [(Choice, bool); 2] = [
        (
            |bus, call| builder(bus).on(move |event: &Placed| call(event.order)).start().unwrap(),
            false,
        ),
        (
            |bus, call| {
                let with = move |event: &Placed, _: &mut Context| call(event.order);
                builder(bus).on(with).start().unwrap()
            },
            true,
        ),
    ];
    for (choice, knows_position) in choices {
        let (sim, bus) = simulated(6);
        let found = Arc::new(Mutex::new(None));
        let (clock, list) = (sim.clone(), found.clone());
        let call = move |order| {
            if order == 3 {
                clock.advance(25 * SECOND);
                let subscription: Option<Subscription> = list.lock().take();
                let subscription = subscription.unwrap();
                let stuck = subscription.status().stuck;
                assert_eq!(stuck.len(), 1);
                assert_eq!(stuck[0].since.to_string(), "2026-01-01T00:00:00.000Z");
                assert_eq!(
                    stuck[0].position.map(tidings::Position::get),
                    knows_position.then_some(4)
                );
                *list.lock() = Some(subscription);
            }
        };
        let subscription = choice(&bus, Box::new(call));
        *found.lock() = Some(subscription.clone());
        bus.publish_all((0..6).map(|order| placed(order, 0))).unwrap();
        sim.run_until_idle();
        let status = subscription.status();
        assert_eq!((status.handled, status.stuck.len()), (6, 0), "it was not cancelled");
    }
}

fn builder(bus: &Bus) -> tidings::SubscriptionBuilder {
    bus.subscribe("sync").lanes(1).timeout(10 * SECOND)
}

#[test]
fn f4_one_stuck_handler_of_sixteen_subscriptions_holds_up_no_other() {
    let bus = Bus::builder().pool("wide", 2).build().unwrap();
    let (release, stuck) = mpsc::channel::<()>();
    let stuck = Mutex::new(stuck);
    let timeout = Duration::from_millis(20);
    let first = bus.subscribe("stuck").pool("wide").timeout(timeout);
    let first = first
        .on(move |_: &Tick| {
            stuck.lock().recv().ok();
        })
        .start()
        .unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    for n in 1..16 {
        let handled = Arc::clone(&handled);
        let others = bus.subscribe(&format!("other-{n}")).pool("wide").timeout(timeout);
        others
            .on(move |_: &Tick| {
                handled.fetch_add(1, SeqCst);
            })
            .start()
            .unwrap();
    }
    let start = Instant::now();
    bus.publish_all((0..100).map(Tick)).unwrap();
    while handled.load(SeqCst) < 1500 || first.status().stuck.is_empty() {
        assert!(start.elapsed() < 60 * SECOND, "{:?}", first.status());
        thread::sleep(Duration::from_millis(1));
    }
    drop(release);
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!((first.status().handled, first.status().stuck.len()), (100, 0));
    bus.shutdown(30 * SECOND).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_an_async_handler_is_dropped_at_its_deadline() {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    let bus = Bus::volatile();
    let dropped = Arc::new(AtomicUsize::new(0));
    let in_handler = dropped.clone();
    let builder = bus.subscribe("async").timeout(Duration::from_millis(30));
    let retry = Backoff::constant(Duration::from_millis(1)).max_attempts(3);
    let calls = builder.retry(retry).on_async(move |mut event: Delivery<Placed>| {
        let guard = Guard(in_handler.clone());
        async move {
            let _guard = guard;
            event.publish(Shipped { order: event.order })?;
            if event.order == 0 || event.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            Ok::<(), HandlerError>(())
        }
    });
    let calls = calls.start().unwrap();
    let shipped = seen();
    let list = shipped.clone();
    bus.subscribe("ships")
        .on(move |event: &Shipped| list.lock().push(event.order))
        .start()
        .unwrap();
    bus.publish_all([placed(0, 0), placed(1, 0), placed(0, 1)]).unwrap();
    let waiting = bus.clone();
    assert!(tokio::task::spawn_blocking(move || waiting.wait_idle(60 * SECOND)).await.unwrap());
    assert_eq!(*shipped.lock(), [1]);
    let letters = bus.dead_letters("async").list().unwrap();
    let story: Vec<_> = letters.iter().map(|letter| (letter.error(), letter.attempts())).collect();
    assert_eq!(story, [("the handler took longer than 30ms", 3); 2]);
    assert_eq!((dropped.load(SeqCst), calls.status().stuck.len()), (8, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_an_async_handler_that_blocks_shows_as_stuck_and_its_key_waits() {
    let bus = Bus::volatile();
    let (release, stuck) = mpsc::channel::<()>();
    let stuck = Arc::new(Mutex::new(stuck));
    let builder = bus.subscribe("async").timeout(Duration::from_millis(20));
    let retry = Backoff::constant(Duration::from_millis(1));
    let calls = builder.retry(retry).on_async(move |event: Delivery<Placed>| {
        let stuck = stuck.clone();
        async move {
            if event.attempt() == 1 {
                stuck.lock().recv().ok();
                std::future::pending::<()>().await;
            }
        }
    });
    let calls = calls.start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    let start = Instant::now();
    while calls.status().stuck.is_empty() {
        assert!(start.elapsed() < 60 * SECOND);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(calls.status().stuck[0].position.map(tidings::Position::get), Some(1));
    assert_eq!(calls.status().retried, 0, "not while it is still at work");
    drop(release);
    let waiting = bus.clone();
    assert!(tokio::task::spawn_blocking(move || waiting.wait_idle(60 * SECOND)).await.unwrap());
    let status = calls.status();
    assert_eq!((status.handled, status.retried, status.stuck.len()), (1, 1, 0));
}
