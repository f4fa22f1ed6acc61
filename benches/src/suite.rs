//! A comparison as a program: its workloads, and what they need to know of the run.

use std::{cell::OnceCell, process::ExitCode, time::Duration};

use crate::{Arguments, Comparison, Contender, Directory, Samples, Unit, rounds};

/// What is measured, under the name that `--only` chooses it by.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs)] // a table's row
pub struct Workload {
    /// The name.
    pub name: &'static str,
    /// Measures, and shows the figures.
    pub run: fn(&Bench, &'static str),
}

/// What a workload needs to know of the run.
#[derive(Debug)]
pub struct Bench {
    directory: OnceCell<Directory>,
    quick: bool,
}

impl Bench {
    /// Runs the workloads that the command line asks for.
    #[must_use]
    pub fn run(workloads: &[Workload]) -> ExitCode {
        let names: Vec<&str> = workloads.iter().map(|workload| workload.name).collect();
        let arguments = match Arguments::of_process(&names) {
            Ok(arguments) => arguments,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        };
        let bench = Self { directory: OnceCell::new(), quick: arguments.quick };
        for workload in workloads.iter().filter(|workload| arguments.wants(workload.name)) {
            (workload.run)(&bench, workload.name);
        }
        ExitCode::SUCCESS
    }

    /// Where files go.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        #[allow(clippy::expect_used)] // nothing can be measured without
        self.directory.get_or_init(|| Directory::new().expect("a directory for files"))
    }

    /// How many of something, depending on the time there is.
    #[must_use]
    pub fn many<T>(&self, all: T, quick: T) -> T {
        if self.quick { quick } else { all }
    }

    /// The same as a time.
    #[must_use]
    pub fn milliseconds(&self, all: u64, quick: u64) -> Duration {
        Duration::from_millis(self.many(all, quick))
    }

    /// Everyone's figures from all rounds.
    #[must_use]
    pub fn rounds(&self, contenders: Vec<Contender<'_>>) -> Vec<Samples> {
        rounds(self.many(7, 3), contenders)
    }

    /// Runs all rounds, and shows the figures.
    pub fn compare(&self, workload: &str, unit: Unit, contenders: Vec<Contender<'_>>) {
        show(workload, unit, self.rounds(contenders));
    }
}

/// Prints the figures of one workload.
pub fn show(workload: &str, unit: Unit, samples: Vec<Samples>) {
    println!("{}", Comparison::new(workload, unit, samples));
}
