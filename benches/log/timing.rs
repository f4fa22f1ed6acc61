//! Counting what is done in a window of time.

use std::{
    collections::VecDeque,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use crate::store::{Payloads, Publish};

/// When is counted: from `begin` to `end`. What comes before warms up.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    begin: Instant,
    end: Instant,
}

impl Window {
    pub(crate) fn starting_now(length: Duration) -> Self {
        let begin = Instant::now() + length / 5;
        Self { begin, end: begin + length }
    }

    /// Runs steps, which return how many events they have done, and counts those that end inside.
    pub(crate) fn count(self, mut step: impl FnMut() -> u64) -> u64 {
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

    #[allow(clippy::cast_precision_loss)] // far below 2^52 events
    pub(crate) fn rate(self, counted: u64) -> f64 {
        counted as f64 / (self.end - self.begin).as_secs_f64()
    }
}

/// Events a second of threads that each wait for their own append.
pub(crate) fn blocking_rate(
    store: &dyn Publish,
    threads: usize,
    payloads: &Payloads,
    length: Duration,
) -> f64 {
    let ready = Barrier::new(threads);
    let publish = |thread: usize| {
        ready.wait();
        let window = Window::starting_now(length);
        let mut number = thread << 8;
        window.rate(window.count(|| {
            number += 1;
            store.append(payloads.get(number));
            1
        }))
    };
    thread::scope(|scope| {
        let publish = &publish;
        let start = |thread| scope.spawn(move || publish(thread));
        let running: Vec<_> = (0..threads).map(start).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

/// Events a second of one thread that appends so many at a time.
pub(crate) fn batch_rate(
    store: &dyn Publish,
    batch: usize,
    payloads: &Payloads,
    length: Duration,
) -> f64 {
    let window = Window::starting_now(length);
    if batch == 1 {
        let mut number = 0;
        let append = || {
            number += 1;
            store.append(payloads.get(number));
            1
        };
        return window.rate(window.count(append));
    }
    let batch = payloads.batch(batch);
    let append = || {
        store.append_all(&batch);
        batch.len() as u64
    };
    window.rate(window.count(append))
}

/// Begins appends so that `in_flight` are under way, and finishes the oldest ones. Returns how many
/// were finished in the window. The clock is read for a few at a time.
pub(crate) fn keep_in_flight<T>(
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

/// How long a step takes, in milliseconds, and what it returns.
pub(crate) fn milliseconds<T>(step: impl FnOnce() -> T) -> (f64, T) {
    let begun = Instant::now();
    let done = step();
    (begun.elapsed().as_secs_f64() * 1000.0, done)
}
