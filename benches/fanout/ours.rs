//! tidings, as a user has it: a whole bus with subscriptions and handlers.

use std::{sync::Arc, time::Duration};

use tidings::{Bus, Publisher};

use crate::{
    contest::{Load, batches},
    event::{Measured, RING},
    latency::Exchange,
    probe::Probe,
    tally::{Subscriber, Tally},
};

/// A bus that keeps nothing, with a ring as large as the others' channels.
pub(crate) fn bus() -> Bus {
    Bus::builder().ring(RING).build().unwrap()
}

pub(crate) fn shut_down(bus: &Bus) {
    let report = bus.shutdown(Duration::from_mins(1)).unwrap();
    assert_eq!(report.left, 0, "events are left");
}

pub(crate) fn one_by_one(load: &Load, tally: &Arc<Tally>) {
    fan_out(load, tally, |publisher, numbers| {
        for number in numbers {
            publisher.publish(Measured::new(number)).unwrap();
        }
    });
}

pub(crate) fn in_batches(load: &Load, tally: &Arc<Tally>) {
    fan_out(load, tally, |publisher, numbers| {
        for batch in batches(numbers) {
            publish_batch(publisher, batch.map(Measured::new));
        }
    });
}

fn publish_batch(publisher: &Publisher<Measured>, events: impl Iterator<Item = Measured>) {
    publisher.publish_batch(&mut events.collect()).unwrap();
}

fn fan_out(
    load: &Load,
    tally: &Arc<Tally>,
    publish: impl Fn(&Publisher<Measured>, std::ops::Range<u64>) + Copy + Send,
) {
    let bus = bus();
    for (at, subscriber) in tally.subscribers().enumerate() {
        subscribe(&bus, &format!("reader-{at}"), subscriber);
    }
    let publisher = bus.publisher::<Measured>().unwrap();
    let publishers = (0..load.publishers).map(|_| {
        let publisher = publisher.clone();
        move |numbers| publish(&publisher, numbers)
    });
    load.publish(tally, publishers);
    tally.wait();
    shut_down(&bus);
}

pub(crate) fn subscribe(bus: &Bus, name: &str, subscriber: Subscriber) {
    let handle = move |event: &Measured| {
        subscriber.handle(event);
    };
    bus.subscribe(name).on(handle).start().unwrap();
}

/// Handlers that run on the publishing thread.
pub(crate) fn inline(load: &Load, tally: &Arc<Tally>) {
    let bus = bus();
    for (at, subscriber) in tally.subscribers().enumerate() {
        let handle = move |event: &Measured| {
            subscriber.handle(event);
        };
        bus.subscribe(&format!("inline-{at}")).on_inline(handle).start().unwrap();
    }
    let publisher = bus.publisher::<Measured>().unwrap();
    load.publish(
        tally,
        [|numbers| {
            for number in numbers {
                publisher.publish(Measured::new(number)).unwrap();
            }
        }],
    );
    shut_down(&bus);
}

/// One event at a time to a subscription that sleeps.
pub(crate) fn sleeping(probe: &Arc<Probe>, exchange: &Exchange) {
    one_at_a_time(probe, exchange, Duration::ZERO);
}

/// One event at a time to a subscription that spins.
pub(crate) const SPINNING: Option<crate::latency::Run> =
    Some(|probe, exchange| one_at_a_time(probe, exchange, Duration::from_secs(1)));

fn one_at_a_time(probe: &Arc<Probe>, exchange: &Exchange, spin: Duration) {
    let bus = bus();
    let arrived = Arc::clone(probe);
    let handle = move |event: &Measured| arrived.arrived(event);
    bus.subscribe("reader").spin(spin).on(handle).start().unwrap();
    let publisher = bus.publisher::<Measured>().unwrap();
    exchange.publish(probe, |event| {
        publisher.publish(event).unwrap();
    });
    shut_down(&bus);
}
