//! From publish to handler, one event at a time.

use std::{
    cell::RefCell,
    hint, iter,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tidings_bench::{Bench, Contender, OURS, Samples, Unit, show};

use crate::{event::Measured, ours, peers::crossbeam, probe::Probe};

/// Publishes all events of an exchange, and returns when they have arrived.
pub(crate) type Run = fn(&Arc<Probe>, &Exchange);

/// So many events, and what the publisher does before each.
pub(crate) struct Exchange {
    events: usize,
    pause: fn(),
}

impl Exchange {
    pub(crate) fn publish(&self, probe: &Probe, mut publish: impl FnMut(Measured)) {
        for _ in 0..self.events {
            (self.pause)();
            publish(probe.event());
        }
    }
}

/// Both sides sleep in between, as in a service with little to do.
pub(crate) fn idle(bench: &Bench, name: &str) {
    let exchange = Exchange {
        events: bench.many(1000, 200),
        pause: || thread::sleep(Duration::from_millis(1)),
    };
    compare(bench, name, &exchange, &[(OURS, ours::sleeping), ("crossbeam", crossbeam::sleeping)]);
}

/// The subscriber is awake and looks for events all the time.
pub(crate) fn spin(bench: &Bench, name: &str) {
    let exchange = Exchange { events: bench.many(10_000, 2000), pause: stay_awake };
    let ours = ours::SPINNING.map(|run| (OURS, run));
    let participants: Vec<_> =
        ours.into_iter().chain(iter::once(("crossbeam", crossbeam::spinning as Run))).collect();
    compare(bench, name, &exchange, &participants);
}

fn stay_awake() {
    let until = Instant::now() + Duration::from_micros(20);
    while Instant::now() < until {
        hint::spin_loop();
    }
}

/// Shows the median and the slowest hundredth.
fn compare(bench: &Bench, name: &str, exchange: &Exchange, participants: &[(&'static str, Run)]) {
    let slow: Vec<RefCell<Vec<f64>>> = participants.iter().map(|_| RefCell::default()).collect();
    let contenders = participants.iter().zip(&slow).map(|((name, run), slow)| {
        Contender::new(name, move || {
            let probe = Arc::new(Probe::new());
            run(&probe, exchange);
            slow.borrow_mut().push(probe.percentile(99));
            probe.percentile(50)
        })
    });
    show(&format!("{name}/p50"), Unit::Nanoseconds, bench.rounds(contenders.collect()));
    let slow = participants.iter().zip(slow);
    let slow = slow.map(|((name, _), figures)| Samples::new(name, figures.into_inner()));
    show(&format!("{name}/p99"), Unit::Nanoseconds, slow.collect());
}
