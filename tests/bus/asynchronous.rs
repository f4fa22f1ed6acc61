//! Async handlers, and pulling.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidings::{
    Backoff, Bus, Context, Delivery, Event, HandlerError, Message, MessageId, SubscribeError,
};

use crate::events::{Placed, SECOND, Shipped, Tick, placed, seen, simulated};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_handlers_run_side_by_side_and_keep_each_key_in_order() {
    static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let bus = Bus::volatile();
    let handled = seen();
    let list = handled.clone();
    bus.subscribe("async")
        .on_async(move |event: Delivery<Placed>| {
            let list = list.clone();
            async move {
                MOST.fetch_max(AT_ONCE.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
                AT_ONCE.fetch_sub(1, Ordering::SeqCst);
                list.lock().push((event.order, event.step));
            }
        })
        .start()
        .unwrap();
    for step in 0..5 {
        for order in 0..8 {
            bus.enqueue(placed(order, step)).unwrap().await.unwrap();
        }
    }
    assert!(bus.wait_idle(30 * SECOND));
    let handled = handled.lock();
    assert_eq!(handled.len(), 40);
    for order in 0..8 {
        let steps: Vec<_> = handled.iter().filter(|(o, _)| *o == order).map(|(_, s)| *s).collect();
        assert_eq!(steps, [0, 1, 2, 3, 4]);
    }
    assert!(MOST.load(Ordering::SeqCst) > 1, "one lane, several keys at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_async_handler_knows_what_came_with_its_event() {
    let bus = Bus::volatile();
    let tenants = seen();
    let list = tenants.clone();
    bus.subscribe("async")
        .on_async(move |event: Delivery<Placed>| {
            let list = list.clone();
            async move { list.lock().push(event.headers().get("tenant").map(str::to_owned)) }
        })
        .start()
        .unwrap();
    let message = Message::new(placed(1, 0)).header("tenant", "acme");
    bus.enqueue(message).unwrap().await.unwrap();
    assert!(bus.wait_idle(30 * SECOND));
    assert_eq!(*tenants.lock(), [Some("acme".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_async_failure_or_panic_leaves_nothing_behind_and_retries() {
    let bus = Bus::volatile();
    let shipped = seen();
    let list = shipped.clone();
    bus.subscribe("ship")
        .retry(Backoff::constant(Duration::from_millis(1)).max_attempts(3))
        .on_async(|mut event: Delivery<Placed>| async move {
            let order = event.order;
            event.publish(Shipped { order })?;
            tokio::task::yield_now().await;
            match (order, event.attempt()) {
                (1, 1) => Err(HandlerError::retry("no van")),
                (2, 1) => panic!("the van is on fire"),
                (3, _) => panic!("always"),
                _ => Ok(()),
            }
        })
        .start()
        .unwrap();
    bus.subscribe("watch").on(move |e: &Shipped| list.lock().push(e.order)).start().unwrap();
    bus.publish_all((1..=4).map(|order| placed(order, 0))).unwrap();
    assert!(bus.wait_idle(30 * SECOND));
    shipped.lock().sort_unstable();
    assert_eq!(*shipped.lock(), [1, 2, 4]);
    let letters = bus.dead_letters("ship").list().unwrap();
    assert_eq!(letters[0].error(), "the handler panicked: always");
}

#[test]
fn an_async_handler_outside_a_runtime_is_refused() {
    let bus = Bus::volatile();
    let refused = bus.subscribe("x").on_async(|_: Delivery<Tick>| async {}).start();
    assert!(matches!(refused, Err(SubscribeError::NoTokio)));
}

#[test]
fn pulled_events_are_settled_one_by_one() {
    let (sim, bus) = simulated(1);
    let retry = Backoff::constant(SECOND).max_attempts(2);
    let mut events = bus.subscribe("pull").retry(retry).stream::<Placed>().unwrap();
    bus.publish_all([placed(1, 0), placed(1, 1), placed(2, 0)]).unwrap();
    let first = events.next().unwrap();
    assert_eq!((first.order, first.step, first.attempt()), (1, 0, 1));
    let other = events.next().unwrap();
    assert_eq!((other.order, other.step), (2, 0), "the key of the first is busy");
    first.retry(HandlerError::retry("not yet"));
    other.reject("wrong address");
    let again = events.next().unwrap();
    assert_eq!((again.order, again.step, again.attempt()), (1, 0, 2));
    assert_eq!(sim.elapsed(), SECOND);
    again.ack();
    drop(events.next().unwrap()); // undecided: a failed attempt
    let last = events.next().unwrap();
    assert_eq!((last.order, last.step, last.attempt()), (1, 1, 2));
    last.ack();
    assert!(events.next_within(60 * SECOND).is_none());
    assert_eq!(bus.dead_letters("pull").list().unwrap().len(), 1);
    assert_eq!(events.subscription().lag(), 0);
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "orders.told", version = 3)]
struct Told {
    id: MessageId,
    key: String,
}

#[test]
fn what_is_pulled_knows_what_came_with_it() {
    let (sim, bus) = simulated(1);
    bus.subscribe("shipping")
        .on(|placed: &Placed, ctx: &mut Context| {
            let (id, key) = (ctx.id(), ctx.idempotency_key("ship"));
            ctx.publish(Message::new(Told { id, key }).header("order", &placed.order.to_string()))
        })
        .start()
        .unwrap();
    let mut told = bus.subscribe("pull").stream::<Told>().unwrap();
    let placed = bus.publish(placed(7, 0)).unwrap();
    let event = told.next_within(SECOND).unwrap();
    assert_eq!(event.id, placed.id);
    assert_eq!(event.causation_id(), Some(placed.id));
    assert_eq!(event.headers().get("order"), Some("7"));
    assert_eq!(event.context().event_version(), 3);
    assert_eq!(event.context().event_name(), "orders.told");
    let key = event.idempotency_key("mail");
    assert_eq!(key, event.context().idempotency_key("mail"));
    assert!(key != event.idempotency_key("letter") && key != event.key, "{key}");
    event.ack();
    sim.run_until_idle();
}

#[test]
fn pulled_events_publish_with_their_acknowledgement() {
    let bus = Bus::volatile();
    let mut orders = bus.subscribe("pull").stream::<Placed>().unwrap();
    let mut ships = bus.subscribe("ships").stream::<Shipped>().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    let mut order = orders.next().unwrap();
    order.publish(Shipped { order: 1 }).unwrap();
    assert!(ships.next_within(Duration::from_millis(20)).is_none(), "not before the ack");
    order.ack();
    assert_eq!(ships.next().unwrap().order, 1);
}

#[test]
fn a_pull_ends_with_the_bus_and_frees_its_name_when_dropped() {
    let bus = Bus::volatile();
    let pull = bus.subscribe("pull").stream::<Tick>().unwrap();
    drop(pull);
    let pull = bus.subscribe("pull").stream::<Tick>().unwrap();
    let waiting = std::thread::spawn(move || pull.count());
    std::thread::sleep(Duration::from_millis(20));
    bus.shutdown(SECOND).unwrap();
    assert_eq!(waiting.join().unwrap(), 0);
}

#[tokio::test]
async fn a_pull_is_a_stream() {
    use std::pin::Pin;

    use futures_core::Stream;

    let bus = Bus::volatile();
    let mut pull = bus.subscribe("pull").stream::<Tick>().unwrap();
    let publisher = bus.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        publisher.publish(Tick(7)).unwrap();
    });
    let next = std::future::poll_fn(|cx| Pin::new(&mut pull).poll_next(cx)).await.unwrap();
    assert_eq!(next.0, 7);
    next.ack();
    assert!(bus.wait_idle(SECOND));
}
