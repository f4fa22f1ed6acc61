//! What is measured.

use std::{
    cell::Cell,
    path::Path,
    time::{Duration, Instant},
};

use tidings_bench::{
    Bench, Contender, OURS, Unit, Workload, rounds, show,
    timing::{Window, rate},
};

use crate::{
    killed,
    ours::OpenBus,
    participants::{BUFFERED, GROUPED, KEPT, OPENED, PIPELINED, REPLAYED, SYNCED},
    rates::{batch_rate, blocking_rate},
    store::{self, Payloads, Pipeliner, Reader, Writer},
};

pub(crate) const ALL: &[Workload] = &[
    Workload { name: "log/sync-each", run: |bench, name| blocking(bench, name, 1, SYNCED) },
    Workload { name: "log/group-8", run: |bench, name| blocking(bench, name, 8, GROUPED) },
    Workload { name: "log/group-64", run: |bench, name| blocking(bench, name, 64, GROUPED) },
    Workload { name: "log/group-256", run: |bench, name| blocking(bench, name, 256, GROUPED) },
    Workload { name: "log/pipelined-64", run: |bench, name| pipelined(bench, name, 64) },
    Workload { name: "log/pipelined-256", run: |bench, name| pipelined(bench, name, 256) },
    Workload { name: "log/pipelined-1024", run: |bench, name| pipelined(bench, name, 1024) },
    Workload { name: "log/buffered/1", run: |bench, name| buffered(bench, name, 1) },
    Workload { name: "log/buffered/100", run: |bench, name| buffered(bench, name, 100) },
    Workload { name: "log/replay/100", run: |bench, name| replay(bench, name, 100) },
    Workload { name: "log/replay/1024", run: |bench, name| replay(bench, name, 1024) },
    Workload { name: "log/open/killed", run: open_killed },
    Workload { name: "log/open/sealed", run: open_sealed },
    Workload { name: "log/bytes/1", run: |bench, name| bytes(bench, name, 1) },
    Workload { name: "log/bytes/64", run: |bench, name| bytes(bench, name, 64) },
];

/// How long one figure is measured.
fn length(bench: &Bench) -> Duration {
    bench.milliseconds(400, 70)
}

/// So many threads, each of which waits until its event is stored.
fn blocking(bench: &Bench, name: &str, threads: usize, writers: &[Writer]) {
    let payloads = Payloads::of(100);
    let contender = |writer: &Writer| {
        let (open, payloads) = (writer.open, &payloads);
        Contender::new(writer.name, move || {
            let dir = bench.directory().fresh().unwrap();
            blocking_rate(&*open(dir.path()), threads, payloads, length(bench))
        })
    };
    bench.compare(name, Unit::EventsPerSecond, writers.iter().map(contender).collect());
}

/// One thread with so many events under way.
fn pipelined(bench: &Bench, name: &str, in_flight: usize) {
    let payloads = Payloads::of(100);
    let contender = |pipeliner: &Pipeliner| {
        let (open, payloads) = (pipeliner.open, &payloads);
        Contender::new(pipeliner.name, move || {
            let dir = bench.directory().fresh().unwrap();
            let store = open(dir.path());
            let window = Window::starting_now(length(bench));
            window.rate(store.pipeline(in_flight, payloads, window))
        })
    };
    bench.compare(name, Unit::EventsPerSecond, PIPELINED.iter().map(contender).collect());
}

/// One thread that waits for so many events at a time.
fn buffered(bench: &Bench, name: &str, batch: usize) {
    let payloads = Payloads::of(100);
    let contender = |writer: &Writer| {
        let (open, payloads) = (writer.open, &payloads);
        Contender::new(writer.name, move || {
            let dir = bench.directory().fresh().unwrap();
            batch_rate(&*open(dir.path()), batch, payloads, length(bench))
        })
    };
    bench.compare(name, Unit::EventsPerSecond, BUFFERED.iter().map(contender).collect());
}

/// Everything in order, from the page cache.
fn replay(bench: &Bench, name: &str, size: usize) {
    let payloads = Payloads::of(size);
    let batches = bench.many(1_000_000, 200_000) / size;
    let events = batches * 100;
    let contender = |reader: &Reader| {
        let dir = bench.directory().fresh().unwrap();
        store::fill(&*(reader.fill)(dir.path()), &payloads, batches, 100);
        let store = (reader.open)(dir.path());
        Contender::new(reader.name, move || {
            let begun = Instant::now();
            let bytes = store.replay();
            let taken = begun.elapsed();
            assert_eq!(bytes, (events * size) as u64, "{}", dir.path().display());
            rate(events as u64, taken)
        })
    };
    bench.compare(name, Unit::EventsPerSecond, REPLAYED.iter().map(contender).collect());
}

/// How long opening takes until the number of events is known.
fn open(reader: &Reader, dir: &Path, events: usize) -> f64 {
    let begun = Instant::now();
    let store = (reader.open)(dir);
    assert_eq!(store.events(), events as u64, "{}", reader.name);
    begun.elapsed().as_secs_f64() * 1000.0
}

/// After the process ended without closing the store.
fn open_killed(bench: &Bench, name: &str) {
    let batches = bench.many(2000, 300);
    let tail = Cell::new(1.0);
    let contender = |reader: &'static Reader| {
        let (dir, tail) = (bench.directory().fresh().unwrap(), &tail);
        killed::fill(reader.name, dir.path(), batches);
        if reader.name == OURS {
            tail.set(used_bytes(dir.path()));
        }
        Contender::new(reader.name, move || {
            let copied = bench.directory().fresh().unwrap();
            killed::copy(dir.path(), copied.path()).unwrap();
            open(reader, copied.path(), batches * killed::BATCH)
        })
    };
    let samples = bench.rounds(OPENED.iter().map(contender).collect());
    show(name, Unit::Milliseconds, samples.clone());
    let mut ours = samples.into_iter().take(1).collect::<Vec<_>>();
    for figure in ours.iter_mut().flat_map(|ours| &mut ours.figures) {
        *figure *= f64::from(256 << 20) / tail.get();
    }
    show("log/open/killed-per-256-MiB", Unit::Milliseconds, ours);
}

/// After a clean close.
fn open_sealed(bench: &Bench, name: &str) {
    let batches = bench.many(10_000, 1000);
    let payloads = Payloads::of(100);
    let contender = |reader: &'static Reader| {
        let dir = bench.directory().fresh().unwrap();
        store::fill(&*(reader.fill)(dir.path()), &payloads, batches, killed::BATCH);
        Contender::new(reader.name, move || open(reader, dir.path(), batches * killed::BATCH))
    };
    bench.compare(name, Unit::Milliseconds, OPENED.iter().map(contender).collect());
}

/// Bytes on disk beyond the payload, committed so many at a time.
fn bytes(bench: &Bench, name: &str, batch: usize) {
    let batches = bench.many(500_000, 100_000) / batch;
    let contender = |writer: &'static Writer| {
        let size = if writer.name == OURS { 100 } else { 100 + OpenBus::METADATA };
        Contender::new(writer.name, move || {
            let dir = bench.directory().fresh().unwrap();
            let store = (writer.open)(dir.path());
            store::fill(&*store, &Payloads::of(size), batches, batch);
            drop(store);
            beyond_payload(used_bytes(dir.path()), batches * batch)
        })
    };
    let samples = KEPT.iter().map(contender).collect();
    show(name, Unit::BytesPerEvent, rounds(1, samples));
}

#[allow(clippy::cast_precision_loss)] // far below 2^52 bytes
fn used_bytes(dir: &Path) -> f64 {
    killed::used_bytes(dir).unwrap() as f64
}

#[allow(clippy::cast_precision_loss)] // far below 2^52 events
fn beyond_payload(bytes: f64, events: usize) -> f64 {
    bytes / events as f64 - 100.0
}
