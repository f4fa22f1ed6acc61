//! What is measured.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tidings_bench::{
    Bench, Contender, Unit, Workload,
    timing::{Window, rate},
};

use crate::{
    handler::Handler,
    order::Ordered,
    participants::present,
    queue::{Participant, Queue},
};

pub(crate) const ALL: &[Workload] = &[
    Workload { name: "bus/end-to-end", run: pipelined },
    Workload { name: "bus/end-to-end/low-load", run: low_load },
    Workload { name: "bus/projection", run: crate::projection::build },
    Workload { name: "bus/saga", run: crate::saga::transitions },
];

const IN_FLIGHT: usize = 4096;

/// Events a second, from the first publish until the last one's cursor is kept.
fn pipelined(bench: &Bench, name: &str) {
    let length = bench.milliseconds(400, 100);
    let figure = |queue: &dyn Queue, _: &Handler| {
        let mut published = 0;
        let begun = Instant::now();
        queue.pipeline(IN_FLIGHT, Window::starting_now(length), &mut || {
            published += 1;
            Ordered::new(published, 0)
        });
        queue.settle(published);
        (published, rate(published, begun.elapsed()))
    };
    compare(bench, name, Unit::EventsPerSecond, &figure);
}

/// The median of the time from publish to handler.
fn low_load(bench: &Bench, name: &str) {
    let events = bench.many(200, 50);
    let figure = |queue: &dyn Queue, handler: &Handler| {
        for number in 1..=events {
            thread::sleep(Duration::from_millis(5));
            queue.publish(Ordered::new(number, handler.now_nanos()));
        }
        queue.settle(events);
        (events, handler.median())
    };
    compare(bench, name, Unit::Nanoseconds, &figure);
}

/// Takes a queue and its handler, and gives the number of events and the figure.
type Figure<'a> = &'a dyn Fn(&dyn Queue, &Handler) -> (u64, f64);

fn compare(bench: &Bench, name: &str, unit: Unit, figure: Figure<'_>) {
    let contender = |participant: Participant| {
        Contender::new(participant.name, move || {
            let dir = bench.directory().fresh().unwrap();
            let handler = Arc::new(Handler::new());
            let queue = (participant.open)(dir.path(), Arc::clone(&handler));
            let (published, figure) = figure(&*queue, &handler);
            handler.verify(published);
            figure
        })
    };
    bench.compare(name, unit, present().into_iter().map(contender).collect());
}
