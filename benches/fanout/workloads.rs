//! What is measured.

use std::time::Duration;

use tidings_bench::{Bench, Contender, Unit, Workload, timing::rate};

use crate::{
    contest::{Load, Participant, measure},
    idle, latency, memory,
    pace::Pace,
    participants::{FAN_IN, FAN_OUT, FAN_OUT_BATCHES, INLINE},
    protected,
};

pub(crate) const ALL: &[Workload] = &[
    Workload { name: "fanout/1-to-1", run: |bench, name| fan_out(bench, name, 1, 1, FAN_OUT) },
    Workload { name: "fanout/1-to-4", run: |bench, name| fan_out(bench, name, 1, 4, FAN_OUT) },
    Workload { name: "fanout/1-to-8", run: |bench, name| fan_out(bench, name, 1, 8, FAN_OUT) },
    Workload { name: "fanout/1-to-1/batch", run: |bench, name| batches(bench, name, 1) },
    Workload { name: "fanout/1-to-4/batch", run: |bench, name| batches(bench, name, 4) },
    Workload { name: "fanout/1-to-8/batch", run: |bench, name| batches(bench, name, 8) },
    Workload { name: "fanout/4-to-1", run: |bench, name| fan_out(bench, name, 4, 1, FAN_IN) },
    Workload { name: "inline/1", run: |bench, name| call(bench, name, 1) },
    Workload { name: "inline/8", run: |bench, name| call(bench, name, 8) },
    Workload { name: "latency/idle", run: latency::idle },
    Workload { name: "latency/spin", run: latency::spin },
    Workload { name: "cost/idle", run: idle::curve },
    Workload { name: "cost/protected", run: protected::curve },
    Workload { name: "memory/subscriptions", run: memory::subscriptions },
    Workload { name: "memory/parked", run: memory::parked },
    Workload { name: "memory/scheduled", run: memory::scheduled },
    Workload { name: "memory/scheduled-durable", run: memory::scheduled_durably },
];

/// Deliveries a second from so many publishers to so many subscribers.
fn fan_out(
    bench: &Bench,
    name: &str,
    publishers: usize,
    subscribers: usize,
    participants: &[Participant],
) {
    let contender = |participant: &Participant| {
        let (run, mut pace) = (participant.run, Pace::new(length(bench)));
        Contender::new(participant.name, move || {
            let load = |events| Load { publishers, subscribers, events };
            let (events, taken) = pace.run(|events| measure(run, &load(events)));
            rate(events * subscribers as u64, taken)
        })
    };
    bench.compare(name, Unit::EventsPerSecond, participants.iter().map(contender).collect());
}

fn batches(bench: &Bench, name: &str, subscribers: usize) {
    fan_out(bench, name, 1, subscribers, FAN_OUT_BATCHES);
}

/// The time that a publish takes that calls so many handlers.
fn call(bench: &Bench, name: &str, handlers: usize) {
    let contender = |participant: &Participant| {
        let (run, mut pace) = (participant.run, Pace::new(length(bench)));
        Contender::new(participant.name, move || {
            let load = |events| Load { publishers: 1, subscribers: handlers, events };
            let (events, taken) = pace.run(|events| measure(run, &load(events)));
            nanoseconds_each(events, taken)
        })
    };
    bench.compare(name, Unit::Nanoseconds, INLINE.iter().map(contender).collect());
}

/// How long one figure is measured, about.
pub(crate) fn length(bench: &Bench) -> Duration {
    bench.milliseconds(250, 60)
}

pub(crate) fn nanoseconds_each(events: u64, taken: Duration) -> f64 {
    1e9 / rate(events, taken)
}
