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
mod rates;
mod store;
mod workloads;

use std::process::ExitCode;

use tidings_bench::Bench;

fn main() -> ExitCode {
    if killed::fill_if_told_to() {
        return ExitCode::SUCCESS;
    }
    Bench::run(workloads::ALL)
}
