//! Whether every subscriber got every event, and how long it took.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crate::{contest::Load, event::Measured};

/// How long a run may take before events count as lost.
const PATIENCE: Duration = Duration::from_mins(2);

/// What all subscribers of a run have handled.
pub(crate) struct Tally {
    counters: Vec<Arc<Counter>>,
    unfinished: AtomicUsize,
    begun: OnceLock<Instant>,
    ended: OnceLock<Instant>,
    waiter: Thread,
}

/// One subscriber's own, in cache lines of its own. Nobody else writes.
#[repr(align(128))]
struct Counter {
    total: AtomicU64,
    expected: u64,
}

/// What a subscriber does with its events.
pub(crate) struct Subscriber {
    counter: Arc<Counter>,
    tally: Arc<Tally>,
}

impl Tally {
    /// For a run that this thread waits for.
    pub(crate) fn new(load: &Load) -> Arc<Self> {
        let expected = Measured::total(load.events);
        let counter = |_| Arc::new(Counter { total: AtomicU64::new(0), expected });
        Arc::new(Self {
            counters: (0..load.subscribers).map(counter).collect(),
            unfinished: AtomicUsize::new(load.subscribers),
            begun: OnceLock::new(),
            ended: OnceLock::new(),
            waiter: thread::current(),
        })
    }

    pub(crate) fn subscribers(self: &Arc<Self>) -> impl Iterator<Item = Subscriber> {
        let subscriber = |counter| Subscriber { counter, tally: Arc::clone(self) };
        self.counters.clone().into_iter().map(subscriber)
    }

    /// The first event is about to be published.
    pub(crate) fn begin(&self) {
        self.begun.get_or_init(Instant::now);
    }

    /// Waits until every subscriber has handled as many events as there are.
    pub(crate) fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.ended.get().is_none() {
            assert!(Instant::now() < deadline, "events were lost");
            thread::park_timeout(PATIENCE);
        }
    }

    /// From the first publish to the last event's end, once all threads are done.
    pub(crate) fn taken(&self) -> Duration {
        for counter in &self.counters {
            let total = counter.total.load(Ordering::Relaxed);
            assert_eq!(total, counter.expected, "events were lost, or came twice");
        }
        *self.ended.get().unwrap() - *self.begun.get().unwrap()
    }

    fn finish_one(&self) {
        if self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.get_or_init(Instant::now);
            self.waiter.unpark();
        }
    }
}

impl Subscriber {
    /// Handles an event. True if it was the last one.
    #[inline]
    pub(crate) fn handle(&self, event: &Measured) -> bool {
        let Counter { total, expected } = &*self.counter;
        // A load and a store: nobody else writes, and nothing waits for this.
        let sum = total.load(Ordering::Relaxed) + event.value();
        total.store(sum, Ordering::Relaxed);
        let last = sum == *expected;
        if last {
            self.tally.finish_one();
        }
        last
    }
}
