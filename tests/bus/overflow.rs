//! What a full ring of a volatile bus does to publishers and to those who are behind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tidings::{Bus, Overflow, PublishFailure, testing::Simulator};

use crate::events::Tick;

#[test]
fn e6_a_subscription_may_have_publishing_fail() {
    let sim = Simulator::new(1);
    let bus = Bus::builder().runtime(sim.runtime()).ring(4).build().unwrap();
    let slow = bus.subscribe("slow").on_lag(Overflow::Fail).on(|_: &Tick| ()).start().unwrap();
    slow.pause();
    for n in 0..4 {
        bus.publish(Tick(n)).unwrap();
    }
    let full = bus.publish(Tick(4)).unwrap_err();
    assert!(matches!(full.failure(), PublishFailure::Full { capacity: 4 }));
    assert_eq!(full.into_event().0, 4);
    slow.resume();
    sim.run_until_idle();
    assert!(bus.publish(Tick(4)).is_ok(), "there is room again");
}

#[test]
fn f7_a_subscription_may_miss_events_and_counts_them() {
    let sim = Simulator::new(1);
    let bus = Bus::builder().runtime(sim.runtime()).ring(16).build().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    let handler = move |tick: &Tick| list.lock().push(tick.0);
    let slow = bus.subscribe("slow").on_lag(Overflow::Skip).on(handler).start().unwrap();
    slow.pause();
    for n in 0..100 {
        bus.publish(Tick(n)).unwrap();
    }
    slow.resume();
    sim.run_until_idle();
    let seen = seen.lock();
    assert_eq!(seen.last(), Some(&99), "the newest come");
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "in order");
    assert_eq!(seen.len() as u64 + slow.status().skipped, 100);
    assert!(slow.status().skipped >= 84);
}

#[test]
fn a_slow_handler_keeps_its_event_while_others_are_skipped() {
    let bus = Bus::builder().ring(8).build().unwrap();
    let (seen, wrong) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (count, bad) = (Arc::clone(&seen), Arc::clone(&wrong));
    let handler = move |tick: &Tick| {
        let before = tick.0;
        std::thread::sleep(Duration::from_micros(50));
        bad.fetch_add(u64::from(tick.0 != before), Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
    };
    let slow = bus.subscribe("slow").on_lag(Overflow::Skip).on(handler).start().unwrap();
    for n in 0..20_000 {
        bus.publish(Tick(n)).unwrap();
    }
    assert!(bus.wait_idle(Duration::from_secs(30)));
    assert_eq!(seen.load(Ordering::Relaxed) + slow.status().skipped, 20_000);
    assert!(slow.status().skipped > 0, "it was too slow");
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
}

#[test]
fn a_spinning_subscription_gets_everything() {
    let bus = Bus::volatile();
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    let handler = move |_: &Tick| {
        count.fetch_add(1, Ordering::Relaxed);
    };
    bus.subscribe("quick").spin(Duration::from_millis(5)).on(handler).start().unwrap();
    for n in 0..500 {
        bus.publish(Tick(n)).unwrap();
        if n % 100 == 0 {
            std::thread::sleep(Duration::from_millis(8));
        }
    }
    assert!(bus.wait_idle(Duration::from_secs(30)));
    assert_eq!(seen.load(Ordering::Relaxed), 500);
}

static ECHOED: std::sync::OnceLock<Bus> = std::sync::OnceLock::new();

/// Publishes when it is dropped, which it is by a publisher that comes round to its place.
#[derive(serde::Serialize, serde::Deserialize, tidings::Event)]
#[event(name = "tests.echo")]
struct Echo;

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(bus) = ECHOED.get() {
            bus.publish(Tick(0)).ok();
        }
    }
}

#[test]
fn an_event_that_publishes_when_it_is_dropped_holds_nobody_up() {
    let bus = Bus::builder().ring(4).build().unwrap();
    bus.subscribe("echoes").on(|_: &Echo| ()).start().unwrap();
    bus.subscribe("ticks").on(|_: &Tick| ()).start().unwrap();
    let bus = ECHOED.get_or_init(|| bus);
    for _ in 0..2000 {
        bus.publish(Echo).unwrap();
    }
    assert!(bus.wait_idle(Duration::from_secs(30)));
}
