//! The one handler that everyone calls.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::order::Ordered;

/// Counts, and takes the time of events that carry one.
pub(crate) struct Handler {
    begun: Instant,
    handled: AtomicU64,
    sum: AtomicU64,
    taken: Mutex<Vec<Duration>>,
}

impl Handler {
    pub(crate) fn new() -> Self {
        let (handled, sum) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { begun: Instant::now(), handled, sum, taken: Mutex::default() }
    }

    pub(crate) fn now_nanos(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap()
    }

    pub(crate) fn handle(&self, order: &Ordered) {
        self.handled.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(order.number, Ordering::Relaxed);
        if order.at_nanos > 0 {
            let taken = self.begun.elapsed().saturating_sub(Duration::from_nanos(order.at_nanos));
            self.taken.lock().unwrap().push(taken);
        }
    }

    /// Panics unless every event from the first to this one was handled once.
    pub(crate) fn verify(&self, published: u64) {
        assert_eq!(self.handled.load(Ordering::Relaxed), published, "events were lost or repeated");
        let sum = published * (published + 1) / 2;
        assert_eq!(self.sum.load(Ordering::Relaxed), sum, "other events were handled");
    }

    /// The time in the middle, in nanoseconds.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub(crate) fn median(&self) -> f64 {
        let mut taken = self.taken.lock().unwrap();
        taken.sort_unstable();
        taken[taken.len() / 2].as_nanos() as f64
    }
}
