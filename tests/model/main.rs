//! The promises of a durable bus, checked on random runs of the simulator.
//!
//! Each seed decides everything: the subscriptions, what is published and when, which handlers
//! fail, panic or reject, when the process is killed, the power fails or the disk breaks, and in
//! which order tasks run. At the end the faults stop, the bus runs to its rest, and the whole
//! history is checked against the promises.
//!
//! `TIDINGS_SEEDS=100000` runs more seeds; `TIDINGS_SEED=17` runs one, and prints what happened.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

mod check;
mod flow;
mod history;
mod run;

use std::env;

use run::{Outcome, run};

fn seeds() -> Vec<u64> {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("TIDINGS_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("TIDINGS_SEEDS").unwrap_or(2500)).collect(),
    }
}

#[test]
fn every_promise_holds_whatever_happens() {
    let mut total = Outcome::default();
    for seed in seeds() {
        let outcome = run(seed);
        if let Err(broken) = check::promises(&outcome.history) {
            let story = outcome.history.story();
            panic!("seed {seed}: {broken}\n{story}\nrun it again with TIDINGS_SEED={seed}");
        }
        total.add(&outcome);
    }
    println!("{total}");
    if seeds().len() >= 1000 {
        total.assert_that_everything_happened();
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in seeds().into_iter().step_by(25) {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.history.story(), second.history.story(), "seed {seed}");
    }
}
