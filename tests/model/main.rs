//! The promises of a durable bus, checked on random runs of the simulator.
//!
//! Each seed decides everything: which features are used ([`draws`]), what is published and when, which
//! handlers fail, panic or reject, when the process is killed, the power fails or the disk breaks, and
//! in which order tasks run. At the end the faults stop, the bus runs to its rest, and what happened is
//! checked by [`tidings::testing::History`]. That this finds anything is shown by [`mistakes`] that are
//! planted in the bus.
//!
//! `TIDINGS_SEEDS=100000` runs more seeds, `TIDINGS_SEEDS=100000..200000` others; `TIDINGS_SEED=17` runs one, and
//! prints what happened.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

mod asynchronous;
mod audit;
mod batches;
mod breaker;
mod coverage;
mod draws;
mod fate;
mod flow;
mod letters;
mod meter;
mod mistakes;
mod notes;
mod protection;
mod publishing;
mod pulled;
mod run;
mod subscriptions;

use std::{env, ops::Range, thread};

use coverage::Coverage;
use run::{Run, run};

/// How many seeds are run unless `TIDINGS_SEEDS` says otherwise.
const SEEDS: u64 = 5000;

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

fn seeds() -> Range<u64> {
    if let Ok(seed) = env::var("TIDINGS_SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    let Ok(seeds) = env::var("TIDINGS_SEEDS") else { return 0..SEEDS };
    match seeds.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => 0..number(&seeds),
    }
}

#[test]
fn every_promise_holds_whatever_happens() {
    let threads = thread::available_parallelism().unwrap().get();
    let coverage = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|first| scope.spawn(move || checked(first, threads))).collect();
        workers.into_iter().fold(Coverage::default(), |mut total, worker| {
            total.add(&worker.join().expect("see above"));
            total
        })
    });
    println!("{coverage}");
    if seeds().end - seeds().start >= SEEDS {
        coverage.assert_that_everything_happened();
    }
}

/// Runs every `step`th seed, and checks its history.
fn checked(first: usize, step: usize) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds().skip(first).step_by(step) {
        let run = run(seed);
        if let Err(anomalies) = &run.checked {
            let history = &run.history;
            panic!("{history}\n{anomalies:#?}\nrun it again with TIDINGS_SEED={seed}");
        }
        coverage.add(&run.coverage);
    }
    coverage
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in seeds().step_by(50) {
        let [first, second]: [Run; 2] = [run(seed), run(seed)];
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.history.facts(), second.history.facts(), "seed {seed}");
    }
}
