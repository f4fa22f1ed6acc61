//! Publishers and subscriptions on threads, by the million, and every count exact.
//!
//! `TIDINGS_STRESS_EVENTS=50000000 cargo test --release --test ring_stress` runs for longer.
#![allow(missing_docs, clippy::unwrap_used)]

mod numbered;
mod watched;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use numbered::{Letter, Numbered, Order, PUBLISHERS, Parcel};
use tidings::{Bus, Publisher};
use watched::{Progress, Skipping, Watched};

const SUBSCRIPTIONS: usize = 16;
const MINUTE: Duration = Duration::from_mins(1);

struct Publishing<'a> {
    bus: &'a Bus,
    progress: &'a Progress,
    publisher: usize,
}

impl Publishing<'_> {
    /// Publishes so many of a type, with what `publish` does for those numbers.
    fn some<E: Numbered>(&self, count: u64, publish: impl FnOnce(Vec<E>)) {
        let begun = self.progress.begun.of(self.publisher, E::TYPE);
        let from = begun.fetch_add(count, Ordering::SeqCst);
        publish((from..from + count).map(|number| E::new(self.publisher, number)).collect());
        self.progress.done.of(self.publisher, E::TYPE).fetch_add(count, Ordering::SeqCst);
    }

    fn run(&self, events: u64) {
        let orders: Publisher<Order> = self.bus.publisher().unwrap();
        let parcels: Publisher<Parcel> = self.bus.publisher().unwrap();
        for round in 0..events / 8 {
            self.some(4, |mut events: Vec<Order>| match round % 3 {
                0 => {
                    for event in events {
                        orders.publish(event).unwrap();
                    }
                }
                1 => {
                    orders.publish_batch(&mut events).unwrap();
                }
                _ => {
                    self.bus.publish_all(events).unwrap();
                }
            });
            self.some(2, |mut events: Vec<Parcel>| {
                parcels.publish_batch(&mut events).unwrap();
            });
            self.some(2, |events: Vec<Letter>| {
                for event in events {
                    self.bus.publish(event).unwrap();
                }
            });
        }
    }
}

/// Starts and stops its share of the subscriptions for as long as events are published.
fn come_and_go(bus: &Bus, progress: &Progress, first: usize, over: &AtomicBool) -> u64 {
    let names: Vec<_> = (first..first + 4).map(|number| format!("visitor-{number}")).collect();
    let mut variant = first as u64;
    let mut watched: Vec<_> =
        names.iter().map(|name| Watched::start(bus, progress, name, variant)).collect();
    let mut handled = 0;
    while !over.load(Ordering::SeqCst) {
        for name in &names {
            thread::sleep(Duration::from_millis(variant % 7));
            handled += watched.remove(0).stop(progress);
            variant += 5;
            watched.push(Watched::start(bus, progress, name, variant));
        }
    }
    handled + watched.into_iter().map(|watched| watched.stop(progress)).sum::<u64>()
}

/// Publishes, and has visitors come and go. Returns how many events these have handled.
fn run(bus: &Bus, progress: &Progress, events: u64) -> u64 {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = &over;
        let visitors: Vec<_> = (0..SUBSCRIPTIONS)
            .step_by(4)
            .map(|first| scope.spawn(move || come_and_go(bus, progress, first, over)))
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let publishing = Publishing { bus, progress, publisher };
                scope.spawn(move || publishing.run(events / PUBLISHERS as u64))
            })
            .collect();
        for publisher in publishers {
            publisher.join().unwrap();
        }
        over.store(true, Ordering::SeqCst);
        visitors.into_iter().map(|visitor| visitor.join().unwrap()).sum()
    })
}

fn stress(bus: &Bus, events: u64) {
    let (progress, began) = (Progress::default(), Instant::now());
    let constant = Watched::start(bus, &progress, "everything", 3);
    let slow = Watched::start(bus, &progress, "everything-slowly", 19);
    let skipping = Skipping::start(bus);
    let visitors = run(bus, &progress, events);
    let done = progress.done.numbers();
    let published = done.iter().flatten().sum::<u64>();
    assert_eq!(bus.end().get(), 1 + published);
    assert_eq!(constant.stop(&progress), published);
    assert_eq!(slow.stop(&progress), published);
    assert!(bus.wait_idle(MINUTE));
    let (handled, missed) = skipping.stop();
    assert_eq!(handled + missed, done.iter().map(|types| types[Order::TYPE]).sum::<u64>());
    assert!(visitors > 0);
    let report = bus.shutdown(MINUTE).unwrap();
    assert_eq!((report.left, report.abandoned), (0, 0));
    eprintln!(
        "{published} events in {:?}: twice all of them, {handled} and {missed} missed where that \
         may be, {visitors} by subscriptions that came and went",
        began.elapsed()
    );
}

fn events() -> u64 {
    let set = std::env::var("TIDINGS_STRESS_EVENTS").ok();
    set.map_or(2_000_000, |events| events.parse().unwrap())
}

#[test]
fn a_ring_of_the_usual_size_under_stress() {
    stress(&Bus::volatile(), events());
}

/// Where everybody waits for everybody, and sleeps and wakes all the time.
#[test]
fn a_small_ring_under_stress() {
    stress(&Bus::builder().ring(8).build().unwrap(), events() / 40);
}
