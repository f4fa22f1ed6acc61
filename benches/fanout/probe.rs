//! How long events are under way.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::event::Measured;

/// Takes the time of each event from publish to handler.
pub(crate) struct Probe {
    begun: Instant,
    taken: Mutex<Vec<Duration>>,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), taken: Mutex::default() }
    }

    /// An event that carries the time, to be published now.
    pub(crate) fn event(&self) -> Measured {
        Measured::new(u64::try_from(self.begun.elapsed().as_nanos()).unwrap())
    }

    pub(crate) fn arrived(&self, event: &Measured) {
        let now = self.begun.elapsed();
        self.taken.lock().unwrap().push(now.saturating_sub(Duration::from_nanos(event.number)));
    }

    /// So many in a hundred were as fast as this, in nanoseconds.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut taken = self.taken.lock().unwrap();
        taken.sort_unstable();
        taken[(taken.len() - 1) * percent / 100].as_nanos() as f64
    }
}
