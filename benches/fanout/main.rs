//! Events in memory, from publishers to handlers, beside other ways to bring them there.
//!
//! `cargo bench -p tidings-bench --bench fanout [-- --quick] [-- --only NAME]`
//!
//! `fanout/P-to-S` is P threads publishing events of 32 bytes and S subscribers, each of which adds
//! a field into a counter of its own. Nothing is lost: publishers wait for the slowest subscriber,
//! at most 1,024 events ahead. The figure is deliveries a second, events times subscribers, from
//! the first publish until the last subscriber has handled its last event; that each one got every
//! event is verified in every run. `/batch` publishes 64 at a time, for those who can. Ours is a
//! whole bus with subscriptions and handlers, the others are channels or rings with a thread or a
//! task for each subscriber.
#![allow(clippy::unwrap_used)]

mod contest;
mod event;
mod idle;
mod latency;
mod memory;
mod ours;
mod pace;
mod participants;
mod peers;
mod probe;
mod protected;
mod tally;
mod workloads;

use std::process::ExitCode;

use tidings_bench::Bench;

fn main() -> ExitCode {
    if memory::measure_if_told_to() {
        return ExitCode::SUCCESS;
    }
    Bench::run(workloads::ALL)
}
