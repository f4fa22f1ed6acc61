//! How fast threads append.

use std::{sync::Barrier, thread, time::Duration};

use tidings_bench::timing::Window;

use crate::store::{Payloads, Publish};

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
