//! What is published.

use serde::{Deserialize, Serialize};
use tidings::Event;

/// How many events publishers may be ahead of the slowest subscriber.
pub(crate) const RING: usize = 1024;

/// How many events a batch has.
pub(crate) const BATCH: u64 = 64;

/// 32 bytes, as in a feed of measurements.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, Event)]
#[event(name = "bench.measured")]
pub(crate) struct Measured {
    pub(crate) number: u64,
    values: [u64; 3],
}

const _: () = assert!(size_of::<Measured>() == 32);

/// What makes a sum of values count them, too.
const ONE: u64 = 1 << 36;

impl Measured {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, values: [ONE + number % 128; 3] }
    }

    /// What subscribers add up.
    pub(crate) fn value(&self) -> u64 {
        self.values[2]
    }

    /// The values of so many events, which are a multiple of 128 and below 2^28.
    pub(crate) fn total(events: u64) -> u64 {
        assert!(events.is_multiple_of(128) && events < 1 << 28);
        events * ONE + events / 128 * (127 * 128 / 2)
    }
}

/// The same under other names, for subscriptions to other events.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Other<const KIND: usize>(pub(crate) Measured);

/// How many kinds of [`Other`] there are.
pub(crate) const KINDS: usize = 10;

impl<const KIND: usize> Event for Other<KIND> {
    const NAME: &'static str = [
        "bench.other-0",
        "bench.other-1",
        "bench.other-2",
        "bench.other-3",
        "bench.other-4",
        "bench.other-5",
        "bench.other-6",
        "bench.other-7",
        "bench.other-8",
        "bench.other-9",
    ][KIND];
}
