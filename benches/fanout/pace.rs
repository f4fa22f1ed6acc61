//! How many events a run has, so that it lasts about as long as wanted.

use std::time::Duration;

/// Divides among four publishers of batches.
const STEP: u64 = 4 * crate::event::BATCH;

/// What a sum can count.
const MOST: u64 = 1 << 27;

pub(crate) struct Pace {
    wanted: Duration,
    events: Option<u64>,
}

impl Pace {
    pub(crate) fn new(wanted: Duration) -> Self {
        Self { wanted, events: None }
    }

    /// Runs with the right number of events. Returns them, and how long they took.
    pub(crate) fn run(&mut self, mut measure: impl FnMut(u64) -> Duration) -> (u64, Duration) {
        let events = match self.events {
            Some(events) => events,
            None => self.find(&mut measure),
        };
        let taken = measure(events);
        // A single slow run must not make the next one too short to tell.
        self.events = Some(self.scaled(events, taken, 0.5, 2.0));
        (events, taken)
    }

    /// Grows until a run lasts long enough to tell.
    fn find(&self, measure: &mut impl FnMut(u64) -> Duration) -> u64 {
        let mut events = 16 * STEP;
        loop {
            let taken = measure(events);
            if taken >= self.wanted / 10 {
                return self.scaled(events, taken, 0.1, 20.0);
            }
            events *= 8;
        }
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn scaled(&self, events: u64, taken: Duration, least: f64, most: f64) -> u64 {
        let times = self.wanted.as_secs_f64() / taken.as_secs_f64().max(1e-9);
        let scaled = (events as f64 * times.clamp(least, most)) as u64;
        (scaled.min(MOST) / STEP).max(1) * STEP
    }
}
