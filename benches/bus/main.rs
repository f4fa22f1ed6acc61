//! The durable bus from publish to cursor, beside queues made by hand and beside servers.
//!
//! `cargo bench -p tidings-bench --bench bus [-- --quick] [-- --only NAME]`
//!
//! An event of 124 bytes is published, stored, handled by one handler, and the handler's cursor
//! kept. `bus/end-to-end` publishes from one thread with up to 4,096 in flight; the figure is
//! events a second until the cursor of the last one is kept. Its `/low-load` publishes one every
//! five milliseconds, and takes the time from before the publish to the handler. An acknowledged
//! event survives a power loss everywhere but in `JetStream`, whose server syncs every two minutes
//! unless its configuration says otherwise; cursors may be a little behind after one, and the
//! events behind them come again.
//!
//! `bus/projection` builds the rows of a projection from a whole log, beside the same by hand.
//!
//! `bus/saga` is transitions of a saga a second: events published in the same way, each of which loads an
//! instance, moves it on, and stores it with a line of its history.
//!
//! `redis-always` is measured where `TIDINGS_BENCH_REDIS` is the URL of a server, which is then set
//! to `appendfsync always`, and `jetstream` where `TIDINGS_BENCH_NATS` is the address of one. Both
//! should be on this machine, and their data on the disk of `TIDINGS_BENCH_DIR`.
#![allow(clippy::unwrap_used)]

mod handler;
mod order;
mod ours;
mod participants;
mod peers;
mod progress;
mod projection;
mod queue;
mod saga;
mod workloads;

use std::process::ExitCode;

use tidings_bench::Bench;

fn main() -> ExitCode {
    Bench::run(workloads::ALL)
}
