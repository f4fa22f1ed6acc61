//! Who takes part in what.

use tidings_bench::OURS;

use crate::{
    contest::Participant,
    ours,
    peers::{async_broadcast, broadcast_ring, crossbeam, direct, disruptor, tokio_broadcast},
};

pub(crate) const FAN_OUT: &[Participant] = &[
    Participant { name: OURS, run: ours::one_by_one },
    Participant { name: "crossbeam", run: crossbeam::channels },
    Participant { name: "bus", run: broadcast_ring::bus },
    Participant { name: "tokio-broadcast", run: tokio_broadcast },
    Participant { name: "async-broadcast", run: async_broadcast },
    Participant { name: "disruptor", run: disruptor::one_by_one },
];

pub(crate) const FAN_OUT_BATCHES: &[Participant] = &[
    Participant { name: OURS, run: ours::in_batches },
    Participant { name: "disruptor", run: disruptor::in_batches },
];

/// bus has one publisher only, and tokio's broadcast no way to hold up several.
pub(crate) const FAN_IN: &[Participant] = &[
    Participant { name: OURS, run: ours::one_by_one },
    Participant { name: "crossbeam", run: crossbeam::channels },
    Participant { name: "async-broadcast", run: async_broadcast },
    Participant { name: "disruptor", run: disruptor::several_producers },
];

/// What runs handlers on the publishing thread.
pub(crate) const INLINE: &[Participant] = &[
    Participant { name: OURS, run: ours::inline },
    Participant { name: "naive", run: direct::naive },
    Participant { name: "resolved", run: direct::resolved },
];
