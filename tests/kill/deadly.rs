//! An event whose handler ends the process, each time that a process begins.

use std::{
    env,
    path::Path,
    process::{self, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tidings::{Bus, DeadLetterReason, Event};

use crate::DIRECTORY;

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "kill.handled", key_with = "number_of")]
struct Handled(u64);

fn number_of(handled: &Handled) -> u64 {
    handled.0
}

const DEADLY: u64 = 7;

fn handle(dir: &Path) {
    let bus = Bus::open(dir).unwrap();
    let handler = |handled: &Handled| {
        if handled.0 == DEADLY {
            process::abort();
        }
    };
    bus.subscribe("reader").lanes(2).on(handler).start().unwrap();
    assert!(bus.wait_idle(Duration::from_mins(1)));
    bus.shutdown(Duration::from_secs(10)).unwrap();
}

#[test]
fn f3_an_event_that_ends_its_process_becomes_a_dead_letter() {
    let dir = TempDir::new().unwrap();
    let bus = Bus::open(dir.path()).unwrap();
    bus.publish_all((0..20).map(Handled)).unwrap();
    bus.shutdown(Duration::from_secs(10)).unwrap();
    let mut deaths = 0;
    while !run(&dir) {
        deaths += 1;
        assert!(deaths < 10, "no process gets past it");
    }
    assert_eq!(deaths, 4, "one that was not careful, and three that were");
    let bus = Bus::open(dir.path()).unwrap();
    let letters = bus.dead_letters("reader").list().unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason(), DeadLetterReason::Crashed);
    assert_eq!(letters[0].payload(), DEADLY.to_string().as_bytes());
}

/// Whether a process handles everything.
fn run(dir: &TempDir) -> bool {
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["--exact", "deadly::handle_until_aborted", "--nocapture", "--ignored"]);
    process.env(DIRECTORY, dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
    process.status().unwrap().success()
}

#[test]
#[ignore = "the process that ends"]
fn handle_until_aborted() {
    if let Ok(dir) = env::var(DIRECTORY) {
        handle(dir.as_ref());
    }
}
