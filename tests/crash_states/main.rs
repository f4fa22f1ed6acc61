//! Every crash of every short run of operations: each I/O step, each state that a power loss may
//! leave, and crashes while the crash is recovered from.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod check;
mod damage;
mod enumeration;
mod failures;
mod golden;
mod hooked;
mod losses;
mod mistakes;
mod model;
mod panics;
mod room;
mod run;
mod setup;
mod suspicions;
mod swarm;
mod sweep;
mod threads;
mod together;
