//! What a store must do to be measured.

use std::{path::Path, sync::Arc};

use tidings_bench::{
    Answer, Batcher,
    timing::{Window, keep_in_flight},
};

/// An open store that events go into. It is as durable as it was opened for.
pub(crate) trait Publish: Send + Sync {
    /// Appends one event, and waits until it is stored.
    fn append(&self, payload: &[u8]);

    /// Appends several events as one, and waits until they are stored.
    fn append_all(&self, payloads: &[&[u8]]);
}

/// A store that takes an event while others are still on their way.
pub(crate) trait Pipeline: Publish {
    /// Appends from one thread, with so many under way. Returns how many were stored in the window.
    fn pipeline(&self, in_flight: usize, payloads: &Payloads, window: Window) -> u64;
}

/// A store behind a batcher.
pub(crate) fn batched(store: impl Publish + 'static) -> Batcher {
    Batcher::around(move |payloads| store.append_all(payloads))
}

impl Publish for Batcher {
    fn append(&self, payload: &[u8]) {
        self.begin(payload).wait();
    }

    fn append_all(&self, payloads: &[&[u8]]) {
        let answers: Vec<_> = payloads.iter().map(|payload| self.begin(*payload)).collect();
        for answer in answers {
            answer.wait();
        }
    }
}

impl Pipeline for Batcher {
    fn pipeline(&self, in_flight: usize, payloads: &Payloads, window: Window) -> u64 {
        let begin = |number| self.begin(payloads.get(number));
        keep_in_flight(in_flight, window, begin, |answer: Arc<Answer>| answer.wait())
    }
}

/// An open store that events are read from.
pub(crate) trait Replay {
    /// How many events there are.
    fn events(&self) -> u64;

    /// Reads everything in order, verified where the store can. Returns the bytes of all payloads.
    fn replay(&self) -> u64;
}

/// How a store that events go into is opened on an empty directory.
pub(crate) struct Writer {
    pub(crate) name: &'static str,
    pub(crate) open: fn(&Path) -> Box<dyn Publish>,
}

/// How a store that takes events ahead is opened on an empty directory.
pub(crate) struct Pipeliner {
    pub(crate) name: &'static str,
    pub(crate) open: fn(&Path) -> Box<dyn Pipeline>,
}

/// How a store is filled, and opened again.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    pub(crate) fill: fn(&Path) -> Box<dyn Publish>,
    pub(crate) open: fn(&Path) -> Box<dyn Replay>,
}

/// Payloads that differ, so that nothing gains by compressing them together.
pub(crate) struct Payloads {
    pool: Vec<u8>,
    size: usize,
}

const POOL: usize = 1 << 18;

impl Payloads {
    pub(crate) fn of(size: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        Self { pool: (0..POOL + size).map(|_| byte()).collect(), size }
    }

    /// The payload of the event with this number.
    pub(crate) fn get(&self, number: usize) -> &[u8] {
        let at = (number * self.size) % POOL;
        &self.pool[at..at + self.size]
    }

    pub(crate) fn batch(&self, count: usize) -> Vec<&[u8]> {
        (0..count).map(|number| self.get(number)).collect()
    }
}

/// Appends so many batches.
pub(crate) fn fill(store: &dyn Publish, payloads: &Payloads, batches: usize, batch: usize) {
    let batch = payloads.batch(batch);
    (0..batches).for_each(|_| store.append_all(&batch));
}
