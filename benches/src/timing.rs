//! Counting what is done in a window of time.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// When is counted: from `begin` to `end`. What comes before warms up.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    begin: Instant,
    end: Instant,
}

impl Window {
    /// Of this length, after a fifth of it to warm up.
    #[must_use]
    pub fn starting_now(length: Duration) -> Self {
        let begin = Instant::now() + length / 5;
        Self { begin, end: begin + length }
    }

    /// Runs steps, which return how many events they have done, and counts those that end inside.
    pub fn count(self, mut step: impl FnMut() -> u64) -> u64 {
        let mut counted = 0;
        loop {
            let done = step();
            let now = Instant::now();
            if now >= self.end {
                return counted;
            }
            if now >= self.begin {
                counted += done;
            }
        }
    }

    /// So many in the window, a second.
    #[must_use]
    pub fn rate(self, counted: u64) -> f64 {
        rate(counted, self.end - self.begin)
    }
}

/// So many in that time, a second.
#[must_use]
#[allow(clippy::cast_precision_loss)] // far below 2^52 events
pub fn rate(events: u64, taken: Duration) -> f64 {
    events as f64 / taken.as_secs_f64()
}

/// Begins something so that `in_flight` are under way, and finishes the oldest ones. Returns how
/// many were finished in the window. The clock is read for a few at a time.
pub fn keep_in_flight<T>(
    in_flight: usize,
    window: Window,
    mut begin: impl FnMut(usize) -> T,
    mut finish: impl FnMut(T),
) -> u64 {
    const STEP: usize = 16;
    let mut number = 0;
    let mut next = || {
        number += 1;
        begin(number)
    };
    let mut under_way: VecDeque<T> = (0..in_flight).map(|_| next()).collect();
    let counted = window.count(|| {
        for _ in 0..STEP {
            if let Some(oldest) = under_way.pop_front() {
                finish(oldest);
            }
            under_way.push_back(next());
        }
        STEP as u64
    });
    under_way.into_iter().for_each(finish);
    counted
}
