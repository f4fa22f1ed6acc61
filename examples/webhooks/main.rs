//! Takes in real GitHub webhooks, one `{"event": .., "action": .., "payload": ..}` a line, as typed
//! events on a durable log, and has several subscribers make something of them. A line that cannot
//! be read becomes an event too, so that nothing is lost. At the end it counts whether that is so.
//!
//! ```text
//! cargo run --release --example webhooks                              # a built-in sample
//! cargo run --release --example webhooks -- FILE.ndjson               # or - for standard input
//! cargo run --release --example webhooks -- FILE.ndjson --data DIR    # keeps the log; resumes it
//! ```

mod desks;
mod events;
mod ingest;
mod report;

use std::{
    error::Error,
    fs::File,
    io::{self, BufRead, BufReader},
    process::ExitCode,
    time::{Duration, Instant},
};

use desks::Desks;
use report::Run;
use tidings::Bus;

const SAMPLE: &[u8] = include_bytes!("sample.ndjson");
const PATIENCE: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args = Args::parse(std::env::args().skip(1))?;
    let temporary = tempfile::tempdir()?;
    let bus = match &args.data {
        Some(folder) => Bus::open(folder)?,
        None => Bus::open(temporary.path())?,
    };
    let desks = Desks::open(&bus)?;
    // Events of an earlier run that the audit has not seen yet.
    let resumed = desks.audit.lag();

    let start = Instant::now();
    let ingested = ingest::ingest(&bus, args.input()?)?;
    let ingest_time = start.elapsed();
    if !bus.wait_idle(PATIENCE) {
        return Err("the subscribers did not come to an end".into());
    }
    let run = Run { resumed, ingested, ingest_time, total_time: start.elapsed() };
    bus.shutdown(PATIENCE)?;
    report::print(&mut io::stdout().lock(), &run, &desks)?;
    run.check(&desks)
}

#[derive(Debug, Default)]
struct Args {
    input: Option<String>,
    data: Option<String>,
}

impl Args {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut parsed = Self::default();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--data" => parsed.data = Some(args.next().ok_or("--data needs a folder")?),
                option if option.starts_with("--") => {
                    return Err(
                        format!("`{option}` is not known; use [FILE|-] [--data DIR]").into()
                    );
                }
                _ if parsed.input.is_some() => return Err("one file at a time".into()),
                _ => parsed.input = Some(arg),
            }
        }
        Ok(parsed)
    }

    fn input(&self) -> Result<Box<dyn BufRead>, String> {
        Ok(match self.input.as_deref() {
            None => Box::new(SAMPLE),
            Some("-") => Box::new(io::stdin().lock()),
            Some(path) => {
                let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
                Box::new(BufReader::new(file))
            }
        })
    }
}
