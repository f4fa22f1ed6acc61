//! What a subscription costs that protects what its handler calls, beside a plain one.

use std::sync::Arc;

use tidings::{
    Backoff, Bus, CircuitBreaker, Context, SubscriptionBuilder, idempotent, idempotent_by,
};
use tidings_bench::{Bench, Contender, Curve, Unit};

use crate::{
    contest::{Load, batches},
    event::Measured,
    ours,
    pace::Pace,
    tally::{Subscriber, Tally},
    workloads::{length, nanoseconds_each},
};

type Subscribe = fn(SubscriptionBuilder, Subscriber) -> SubscriptionBuilder;

const CURVE: [(&str, Subscribe); 5] = [
    ("cost/protected-not", plain),
    ("cost/protected-context", with_context),
    ("cost/protected-retried", retried),
    ("cost/protected-idempotent", idempotent_too),
    ("cost/protected-idempotent-by", idempotent_by_key),
];

/// Each event through one subscription, published in batches.
pub(crate) fn curve(bench: &Bench, name: &str) {
    let contender = |(name, subscribe): (&'static str, Subscribe)| {
        let mut pace = Pace::new(length(bench));
        Contender::new(name, move || {
            let (events, taken) = pace.run(|events| {
                let load = Load { publishers: 1, subscribers: 1, events };
                let tally = Tally::new(&load);
                run(&load, &tally, subscribe);
                tally.taken()
            });
            nanoseconds_each(events, taken)
        })
    };
    let samples = bench.rounds(CURVE.into_iter().map(contender).collect());
    println!("{}", Curve::new(name, Unit::Nanoseconds, samples));
}

fn run(load: &Load, tally: &Arc<Tally>, subscribe: Subscribe) {
    let bus = Bus::builder().ring(1 << 16).build().unwrap();
    let subscriber = tally.subscribers().next().unwrap();
    subscribe(bus.subscribe("reader"), subscriber).start().unwrap();
    let publisher = bus.publisher::<Measured>().unwrap();
    let publish = |numbers| {
        for batch in batches(numbers) {
            publisher.publish_batch(&mut batch.map(Measured::new).collect()).unwrap();
        }
    };
    load.publish(tally, [publish]);
    tally.wait();
    ours::shut_down(&bus);
}

fn handler(subscriber: Subscriber) -> impl Fn(&Measured) + Send + Sync + 'static {
    move |event| {
        subscriber.handle(event);
    }
}

fn protected(builder: SubscriptionBuilder) -> SubscriptionBuilder {
    builder.retry(Backoff::default()).circuit_breaker(CircuitBreaker::new())
}

fn plain(builder: SubscriptionBuilder, subscriber: Subscriber) -> SubscriptionBuilder {
    builder.on(handler(subscriber))
}

fn with_context(builder: SubscriptionBuilder, subscriber: Subscriber) -> SubscriptionBuilder {
    let handle = handler(subscriber);
    builder.on(move |event: &Measured, _: &mut Context| handle(event))
}

fn retried(builder: SubscriptionBuilder, subscriber: Subscriber) -> SubscriptionBuilder {
    protected(builder).on(handler(subscriber))
}

/// Copies are known by the ids of their messages.
fn idempotent_too(builder: SubscriptionBuilder, subscriber: Subscriber) -> SubscriptionBuilder {
    protected(builder).on(idempotent(handler(subscriber)))
}

/// Copies are known by a key of the event's, as text.
fn idempotent_by_key(builder: SubscriptionBuilder, subscriber: Subscriber) -> SubscriptionBuilder {
    protected(builder).on(idempotent_by(|event: &Measured| event.number, handler(subscriber)))
}
