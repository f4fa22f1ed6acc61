//! What subscriptions cost that want other events.

use std::sync::Arc;

use tidings::Bus;
use tidings_bench::{Bench, Contender, Curve, Unit};

use crate::{
    contest::Load,
    event::{KINDS, Measured, Other},
    ours,
    pace::Pace,
    tally::Tally,
    workloads::{length, nanoseconds_each},
};

const CURVE: [(&str, usize); 4] =
    [("cost/idle-1", 1), ("cost/idle-4", 4), ("cost/idle-16", 16), ("cost/idle-64", 64)];

/// Each publish with one reader and so many idle subscriptions.
pub(crate) fn curve(bench: &Bench, name: &str) {
    let contender = |(name, idle)| {
        let mut pace = Pace::new(length(bench));
        Contender::new(name, move || {
            let (events, taken) = pace.run(|events| {
                let load = Load { publishers: 1, subscribers: 1, events };
                let tally = Tally::new(&load);
                run(&load, &tally, idle);
                tally.taken()
            });
            nanoseconds_each(events, taken)
        })
    };
    let samples = bench.rounds(CURVE.into_iter().map(contender).collect());
    println!("{}", Curve::new(name, Unit::Nanoseconds, samples));
}

fn run(load: &Load, tally: &Arc<Tally>, idle: usize) {
    let bus = ours::bus();
    (0..idle).for_each(|at| subscribe_to_other(&bus, at));
    ours::subscribe(&bus, "reader", tally.subscribers().next().unwrap());
    let publisher = bus.publisher::<Measured>().unwrap();
    let publish = |numbers| {
        for number in numbers {
            publisher.publish(Measured::new(number)).unwrap();
        }
    };
    load.publish(tally, [publish]);
    tally.wait();
    ours::shut_down(&bus);
}

fn subscribe_to_other(bus: &Bus, at: usize) {
    fn start<const KIND: usize>(bus: &Bus, at: usize) {
        bus.subscribe(&format!("other-{at}")).on(|_: &Other<KIND>| ()).start().unwrap();
    }
    const START: [fn(&Bus, usize); KINDS] = [
        start::<0>, start::<1>, start::<2>, start::<3>, start::<4>, start::<5>, start::<6>,
        start::<7>, start::<8>, start::<9>,
    ];
    START[at % KINDS](bus, at);
}
