//! disruptor, a ring with a thread for each subscriber. Where there is nothing to do, both sides
//! yield: with more threads than cores, its busy spinning is ten times slower.

use std::{ops::Range, sync::Arc, thread};

use disruptor::{
    Producer, Sequence, build_multi_producer, build_single_producer, wait_strategies::WaitStrategy,
};

use crate::{
    contest::{Load, batches},
    event::{BATCH, Measured, RING},
    tally::{Subscriber, Tally},
};

#[derive(Clone, Copy)]
struct Yield;

impl WaitStrategy for Yield {
    fn wait_for(&self, _: Sequence) {
        thread::yield_now();
    }
}

/// What its thread runs for each event.
fn handler(subscriber: Subscriber) -> impl FnMut(&Measured, Sequence, bool) + Send + 'static {
    move |event, _, _| {
        subscriber.handle(event);
    }
}

pub(crate) fn one_by_one(load: &Load, tally: &Arc<Tally>) {
    with_one_producer(load, tally, false);
}

pub(crate) fn in_batches(load: &Load, tally: &Arc<Tally>) {
    with_one_producer(load, tally, true);
}

/// Dropping the producer lets the subscribers finish. One subscriber and several have producers of different types.
fn with_one_producer(load: &Load, tally: &Arc<Tally>, batched: bool) {
    let builder = build_single_producer(RING, Measured::default, Yield);
    let mut handlers = tally.subscribers().map(handler);
    if load.subscribers == 1 {
        let producer = builder.handle_events_with(handlers.next().unwrap()).build();
        load.publish(tally, [publisher(producer, batched)]);
    } else {
        let mut builder = builder.with_multi_consumer();
        for handler in handlers {
            builder = builder.handle_events_with(handler);
        }
        load.publish(tally, [publisher(builder.build(), batched)]);
    }
}

pub(crate) fn several_producers(load: &Load, tally: &Arc<Tally>) {
    let subscriber = tally.subscribers().next().unwrap();
    let producer = build_multi_producer(RING, Measured::default, Yield)
        .handle_events_with(handler(subscriber))
        .build();
    let producers = vec![producer; load.publishers].into_iter();
    load.publish(tally, producers.map(|producer| publisher(producer, false)));
}

fn publisher(
    mut producer: impl Producer<Measured> + Send,
    batched: bool,
) -> impl FnOnce(Range<u64>) + Send {
    move |numbers| {
        if batched {
            batches(numbers).for_each(|batch| publish_batch(&mut producer, batch));
        } else {
            numbers.for_each(|number| publish(&mut producer, number));
        }
    }
}

fn publish(producer: &mut impl Producer<Measured>, number: u64) {
    while producer.try_publish(|slot| *slot = Measured::new(number)).is_err() {
        thread::yield_now();
    }
}

fn publish_batch(producer: &mut impl Producer<Measured>, numbers: Range<u64>) {
    let count = usize::try_from(BATCH).unwrap();
    loop {
        let filled = producer.try_batch_publish(count, |slots| {
            for (slot, number) in slots.zip(numbers.clone()) {
                *slot = Measured::new(number);
            }
        });
        if filled.is_ok() {
            return;
        }
        thread::yield_now();
    }
}
