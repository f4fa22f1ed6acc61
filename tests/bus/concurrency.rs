//! How many handlers of a subscription are at work at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use tidings::{Bus, Delivery, HandlerError, Lanes};

use crate::events::{Placed, SECOND, placed, seen, simulated};

/// How many there are at once, and how many there ever were.
#[derive(Clone, Default)]
struct Gauge {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Gauge {
    fn begin(&self) {
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
    }

    fn end(&self) {
        self.now.fetch_sub(1, SeqCst);
    }
}

#[test]
fn pulled_events_of_all_lanes_count_together_and_one_that_is_settled_makes_room() {
    let (sim, bus) = simulated(1);
    let builder = bus.subscribe("pull").lanes(4).max_concurrency(3);
    let mut events = builder.stream::<Placed>().unwrap();
    bus.publish_all((0..20).map(|order| placed(order, 0))).unwrap();
    let mut pulled: Vec<_> = (0..3).map(|_| events.next().unwrap()).collect();
    assert!(events.next_within(SECOND).is_none(), "no fourth one");
    let mut order = vec![];
    while let Some(event) = pulled.pop() {
        order.push(event.order);
        match order.len() % 3 {
            0 => drop(event),
            1 => event.ack(),
            _ => event.retry(HandlerError::retry("later")),
        }
        pulled.extend(events.next_within(60 * SECOND));
        assert!(pulled.len() <= 3);
    }
    sim.run_until_idle();
    assert_eq!(events.subscription().lag(), 0);
    order.sort_unstable();
    order.dedup();
    assert_eq!(order.len(), 20);
}

#[test]
fn lanes_on_threads_take_turns() {
    let bus = Bus::builder().pool("wide", 8).build().unwrap();
    let gauge = Gauge::default();
    let in_handler = gauge.clone();
    let lanes = seen();
    let list = lanes.clone();
    let builder = bus.subscribe("calls").pool("wide").lanes(8).max_concurrency(2);
    let calls = builder.on(move |event: &Placed| {
        in_handler.begin();
        thread::sleep(Duration::from_micros(200));
        list.lock().push(event.order);
        in_handler.end();
    });
    let calls = calls.start().unwrap();
    bus.publish_all((0..400).map(|order| placed(order, 0))).unwrap();
    assert!(bus.wait_idle(60 * SECOND), "{:?}", calls.status());
    assert_eq!((calls.status().handled, gauge.most.load(SeqCst)), (400, 2));
    bus.shutdown(30 * SECOND).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_handlers_count_too_also_while_lanes_change() {
    let bus = Bus::builder().ring(256).build().unwrap();
    let gauge = Gauge::default();
    let in_handler = gauge.clone();
    let builder = bus.subscribe("calls").lanes(Lanes::adaptive(1..=8)).max_concurrency(3);
    let calls = builder
        .on_async(move |event: Delivery<Placed>| {
            let gauge = in_handler.clone();
            async move {
                gauge.begin();
                tokio::task::yield_now().await;
                gauge.end();
                drop(event);
                Ok::<(), HandlerError>(())
            }
        })
        .start()
        .unwrap();
    let publishing = tokio::task::spawn_blocking(move || {
        for round in 0..200_u64 {
            bus.publish_all((0..20).map(|order| placed(order, round))).unwrap();
            calls.ask_for_lanes(1 + round as u32 * 5 % 8);
        }
        assert!(bus.wait_idle(60 * SECOND), "{:?}", calls.status());
        calls.status().handled
    });
    assert_eq!(publishing.await.unwrap(), 4000);
    assert!((2..=3).contains(&gauge.most.load(SeqCst)));
}
