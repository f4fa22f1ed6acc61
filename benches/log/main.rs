//! The durable log beside other embedded stores, on one disk, in one run.
//!
//! `cargo bench -p tidings-bench --bench log [-- --quick] [-- --only NAME]`
//!
//! Synced means that a publish returns after `fdatasync`; buffered, that it survives the end of the
//! process. `commitlog` cannot sync and is measured buffered only; redb has nothing in between
//! synced and in-memory, and is measured synced only. `raw` is what the machine can do at best.
//! Files go below `TIDINGS_BENCH_DIR`, else below the system's directory for temporary files.
#![allow(clippy::unwrap_used)]

mod killed;
mod ours;
mod participants;
mod peers;
mod store;
mod timing;
mod workloads;

use std::{process::ExitCode, time::Duration};

use tidings_bench::{Arguments, Comparison, Contender, Directory, Samples, Unit, rounds};

/// What a workload needs to know of the run.
struct Bench {
    directory: Directory,
    quick: bool,
}

impl Bench {
    /// How long one figure is measured.
    fn length(&self) -> Duration {
        Duration::from_millis(if self.quick { 70 } else { 400 })
    }

    /// How many of something, depending on the time there is.
    fn many(&self, all: usize, quick: usize) -> usize {
        if self.quick { quick } else { all }
    }

    /// Runs all rounds, and shows the figures.
    fn compare(&self, workload: &str, unit: Unit, contenders: Vec<Contender<'_>>) -> Vec<Samples> {
        let samples = rounds(self.many(7, 3), contenders);
        show(workload, unit, samples.clone());
        samples
    }
}

fn show(workload: &str, unit: Unit, samples: Vec<Samples>) {
    println!("{}", Comparison::new(workload, unit, samples));
}

fn main() -> ExitCode {
    if killed::fill_if_told_to() {
        return ExitCode::SUCCESS;
    }
    let names: Vec<&str> = workloads::ALL.iter().map(|workload| workload.name).collect();
    let arguments = match Arguments::of_process(&names) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let bench = Bench { directory: Directory::new().unwrap(), quick: arguments.quick };
    for workload in workloads::ALL.iter().filter(|workload| arguments.wants(workload.name)) {
        (workload.run)(&bench, workload.name);
    }
    ExitCode::SUCCESS
}
