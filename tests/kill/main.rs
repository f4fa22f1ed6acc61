//! A publishing process, killed again and again: nothing that it was told is safe is missing.
//!
//! `TIDINGS_KILLS` says how often; 60 times without it, more in CI.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

mod child;
mod deadly;
mod ledger;

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use ledger::Ledger;
use tempfile::TempDir;
use tidings::storage::FileStorage;

/// Tells a process of this program that it is the one to be killed.
const DIRECTORY: &str = "TIDINGS_KILL_DIRECTORY";

#[test]
fn no_kill_takes_what_was_acknowledged() {
    let kills: u64 = env::var("TIDINGS_KILLS").map_or(60, |text| text.parse().unwrap());
    let dir = TempDir::new().unwrap();
    let mut ledger = Ledger::default();
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 1..=kills {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let acknowledged = run_and_kill(&dir, Duration::from_millis(5 + dice % 60));
        ledger.acknowledge(&acknowledged);
        let storage = FileStorage::builder(dir.path()).segment_bytes(child::SEGMENT).open();
        let storage = storage.unwrap_or_else(|error| panic!("after kill {kill}: {error}"));
        ledger.check(&storage, kill);
        // Sometimes the next process finds a closed store, sometimes one that was killed twice.
        if dice.is_multiple_of(3) {
            tidings::storage::Storage::close(&storage).unwrap();
        }
    }
    child::drain(dir.path());
    let storage = FileStorage::builder(dir.path()).segment_bytes(child::SEGMENT).open().unwrap();
    ledger.check(&storage, kills);
    ledger.check_effects();
    println!("{kills} kills: {ledger}");
    assert!(ledger.acknowledged() > kills, "the processes got nothing done");
}

/// Runs the publishing process for a while. Returns the lines that it wrote.
fn run_and_kill(dir: &TempDir, time: Duration) -> Vec<String> {
    let mut process = Command::new(env::current_exe().unwrap())
        .args(["--exact", "publish_until_killed", "--nocapture", "--ignored"])
        .env(DIRECTORY, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        if line == child::READY {
            break;
        }
    }
    thread::sleep(time);
    process.kill().unwrap();
    process.wait().unwrap();
    acknowledged.extend(lines.map_while(Result::ok));
    acknowledged
}

#[test]
#[ignore = "the process that is killed"]
fn publish_until_killed() {
    if let Ok(dir) = env::var(DIRECTORY) {
        child::publish(dir.as_ref());
    }
}
