//! What a run draws: which features it uses, and which faults it meets.
//!
//! Each is on in some runs and off in others, so that they meet in every combination, and none of them
//! keeps others from happening. A new feature gets a field here, is used in `subscriptions.rs`,
//! `publishing.rs` or `run.rs`, and a line in `coverage.rs` for what is to happen because of it.

use std::time::Duration;

use tidings::{Durability, testing::Simulator};

use crate::protection::Protections;

#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // each is a switch of its own
pub(crate) struct Draws {
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    pub(crate) ring: usize,
    pub(crate) keys: u64,
    pub(crate) handlers: Faults,
    /// Messages are published again under their idempotency key, or under their id.
    pub(crate) republishes: Option<Mark>,
    /// Other events are published that stand for the same thing, to an idempotent handler.
    pub(crate) copies: bool,
    /// Handlers have effects outside.
    pub(crate) effects: bool,
    /// Some events expire.
    pub(crate) expiry: bool,
    /// A subscription passes over a third of the events.
    pub(crate) filter: bool,
    /// What stands between lanes and handlers.
    pub(crate) protections: Protections,
    /// Dead letters hold up their keys.
    pub(crate) holds_keys: bool,
    /// Dead letters that are older are given up.
    pub(crate) letters_kept: Option<Duration>,
    /// Dead letters are retried by filters, in runs of their own, and when a subscription starts.
    pub(crate) reruns: bool,
    /// Dead letters are tried without effect.
    pub(crate) dry_runs: bool,
    /// Dead letters are edited.
    pub(crate) edits: bool,
    /// Some handlers are async.
    pub(crate) async_handlers: bool,
    /// A subscription gets its events several at a time.
    pub(crate) batches: bool,
    /// A subscription's handlers are made when they are needed.
    pub(crate) made: bool,
    /// There are layers around handlers.
    pub(crate) layers: bool,
    /// A handler is idempotent because its subscription says so, and not the handler.
    pub(crate) builder_idempotency: bool,
    /// A subscription is pulled from, and takes its time.
    pub(crate) pulls: bool,
    /// The clock jumps by minutes.
    pub(crate) jumps: bool,
    /// Questions are asked and waited for.
    pub(crate) requests: bool,
    /// Processes may end with storage failing from some call on.
    pub(crate) broken_disks: bool,
    /// Processes may end by a power failure.
    pub(crate) power_losses: bool,
}

/// How a message says that it is the same again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Key,
    Id,
}

/// Out of 100 calls, how many fail, panic, reject, and end the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) fail: u64,
    pub(crate) panic: u64,
    pub(crate) reject: u64,
    pub(crate) die: u64,
}

impl Faults {
    pub(crate) const NONE: Self = Self { fail: 0, panic: 0, reject: 0, die: 0 };
}

impl Faults {
    fn new(draw: &impl Fn(u64) -> u64) -> Self {
        match draw(3) {
            0 => Self::NONE,
            1 => Self { fail: draw(50), ..Self::NONE },
            _ => Self { fail: draw(30), panic: draw(20), reject: draw(10), die: 0 },
        }
    }
}

impl Draws {
    pub(crate) fn new(sim: &Simulator) -> Self {
        let draw = |below| sim.random_below(below);
        let half = || draw(2) == 0;
        // What is only buffered may be lost with the power; then only kills are drawn.
        let durability = if draw(4) == 0 { Durability::Buffered } else { Durability::Synced };
        Self {
            durability,
            segment_bytes: 1024 << draw(5),
            ring: 1 + draw(24) as usize,
            keys: 1 + draw(5),
            handlers: Faults { die: if half() { draw(4) } else { 0 }, ..Faults::new(&draw) },
            republishes: half().then(|| if half() { Mark::Key } else { Mark::Id }),
            copies: half(),
            effects: half(),
            expiry: half(),
            filter: half(),
            protections: Protections::new(&half),
            holds_keys: half(),
            letters_kept: half().then(|| Duration::from_secs(1 + draw(100))),
            reruns: half(),
            dry_runs: half(),
            edits: half(),
            async_handlers: draw(3) == 0,
            batches: half(),
            made: half(),
            layers: half(),
            builder_idempotency: half(),
            pulls: half(),
            jumps: half(),
            requests: half(),
            broken_disks: half(),
            power_losses: half() && durability == Durability::Synced,
        }
    }
}
