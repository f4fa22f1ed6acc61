//! Ids of messages: UUIDs of version 7.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    message::MessageId,
    runtime::{Runtime, Timestamp},
};

/// Makes ids. An event of a volatile bus without an id of its own has one that follows from its time
/// and its position, so that nobody has to make or keep it: the random part is a random start that
/// counts up ([RFC 9562, section 6.2](https://www.rfc-editor.org/rfc/rfc9562#section-6.2), method 2).
#[derive(Debug)]
pub(super) struct Ids {
    runtime: Runtime,
    start: [u64; 2],
    /// Numbers of events without a position that were given to threads.
    numbers: AtomicU64,
}

/// Below it are positions; from it on, numbers of events that have none. Ids have room for 62 bits.
const APART: u64 = 1 << 61;

/// How many numbers a thread takes at once.
const NUMBERS: u64 = 1 << 16;

impl Ids {
    pub(super) fn new(runtime: &Runtime) -> Self {
        let start = [runtime.random(), runtime.random()];
        Self { start, runtime: runtime.clone(), numbers: AtomicU64::new(APART) }
    }

    /// Numbers for events that get no position, to be used instead of one.
    pub(super) fn take_numbers(&self) -> Range<u64> {
        let first = self.numbers.fetch_add(NUMBERS, Ordering::Relaxed);
        first..first + NUMBERS
    }

    /// The id of the event at this position.
    #[inline]
    pub(super) fn at(&self, position: u64, published_at: Timestamp) -> MessageId {
        let [first, second] = self.start;
        MessageId::v7(published_at, [first, second.wrapping_add(position << 2)])
    }

    /// An id that has nothing to do with any position.
    pub(super) fn fresh(&self, now: Timestamp) -> MessageId {
        MessageId::v7(now, [self.runtime.random(), self.runtime.random()])
    }
}
