//! What a bus keeps in memory, each in a process of its own so that nothing else is counted.

use std::{
    env, fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tidings::{Backoff, Bus, Context, HandlerError, Message, Publisher};
use tidings_bench::{Bench, Contender, OURS, Unit, rounds, show};

use crate::event::{KINDS, Measured, Other};

const MEASURE: &str = "--measure-memory";

/// Takes a number of events, and gives a figure.
type Measure = fn(u64) -> f64;

const MEASURES: [(&str, Measure); 4] = [
    ("subscriptions", resident_after),
    ("parked", bytes_each_parked),
    ("scheduled", bytes_each_scheduled),
    ("scheduled-durable", bytes_each_scheduled_durably),
];

/// Resident memory of a bus with 100 subscriptions that many events have passed.
pub(crate) fn subscriptions(bench: &Bench, name: &str) {
    compare(name, Unit::Mebibytes, "subscriptions", bench.many(10_000_000, 1_000_000));
}

/// Memory for each event that waits for a retry.
pub(crate) fn parked(bench: &Bench, name: &str) {
    compare(name, Unit::BytesPerEvent, "parked", bench.many(1_000_000, 100_000));
}

/// Memory for each event that waits for its time on a volatile bus.
pub(crate) fn scheduled(bench: &Bench, name: &str) {
    compare(name, Unit::BytesPerEvent, "scheduled", bench.many(1_000_000, 100_000));
}

/// The same on a durable bus, which keeps such events in its state.
pub(crate) fn scheduled_durably(bench: &Bench, name: &str) {
    compare(name, Unit::BytesPerEvent, "scheduled-durable", bench.many(1_000_000, 100_000));
}

fn compare(name: &str, unit: Unit, measure: &str, events: u64) {
    if resident().is_none() {
        return println!("{name}: skipped, since only Linux tells\n");
    }
    let ours = Contender::new(OURS, || in_another_process(measure, events));
    show(name, unit, rounds(1, vec![ours]));
}

fn in_another_process(measure: &str, events: u64) -> f64 {
    let mut command = Command::new(env::current_exe().unwrap());
    let output = command.args([MEASURE, measure, &events.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Does what [`in_another_process`] asks of the other process. False in the process that asks.
pub(crate) fn measure_if_told_to() -> bool {
    let arguments: Vec<String> = env::args().collect();
    let [_, told, name, events] = &arguments[..] else { return false };
    if told != MEASURE {
        return false;
    }
    let (_, measure) = MEASURES.iter().find(|(known, _)| known == name).unwrap();
    println!("{}", measure(events.parse().unwrap()));
    true
}

/// The bytes of this process that are in memory. Only Linux tells.
fn resident() -> Option<f64> {
    const PAGE: f64 = 4096.0;
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    pages.split(' ').nth(1)?.parse::<f64>().ok().map(|pages| pages * PAGE)
}

/// Ten kinds of events, ten subscriptions to each.
fn resident_after(events: u64) -> f64 {
    let bus = Bus::volatile();
    let handled = Arc::new(AtomicU64::new(0));
    let publishers = EACH_KIND.map(|prepare| prepare(&bus, &handled));
    for number in 0..events {
        let kind = usize::try_from(number).unwrap() % KINDS;
        publishers[kind](Measured::new(number));
    }
    assert!(bus.wait_idle(Duration::from_mins(10)));
    assert_eq!(handled.load(Ordering::Relaxed), events * 10);
    resident().unwrap() / f64::from(1 << 20)
}

type Publish = Box<dyn Fn(Measured)>;

const EACH_KIND: [fn(&Bus, &Arc<AtomicU64>) -> Publish; KINDS] = [
    prepare::<0>,
    prepare::<1>,
    prepare::<2>,
    prepare::<3>,
    prepare::<4>,
    prepare::<5>,
    prepare::<6>,
    prepare::<7>,
    prepare::<8>,
    prepare::<9>,
];

/// Subscribes ten times to a kind of event, which can then be published.
fn prepare<const KIND: usize>(bus: &Bus, handled: &Arc<AtomicU64>) -> Publish {
    for at in 0..10 {
        let handled = Arc::clone(handled);
        let handle = move |_: &Other<KIND>| {
            handled.fetch_add(1, Ordering::Relaxed);
        };
        bus.subscribe(&format!("reader-{KIND}-{at}")).on(handle).start().unwrap();
    }
    let publisher: Publisher<Other<KIND>> = bus.publisher().unwrap();
    Box::new(move |event| {
        publisher.publish(Other(event)).unwrap();
    })
}

/// Every event fails once, and then waits for an hour. A lane parks at most 20,000.
#[allow(clippy::cast_precision_loss)] // far below 2^52 events
fn bytes_each_parked(events: u64) -> f64 {
    let bus = Bus::volatile();
    let failed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&failed);
    let fail = move |_: &Measured| -> Result<(), HandlerError> {
        count.fetch_add(1, Ordering::Relaxed);
        Err(HandlerError::retry("not yet"))
    };
    let policy = Backoff::constant(Duration::from_hours(1));
    let described = bus.subscribe("reader").lanes(64).max_parked(20_000).retry(policy);
    described.on(fail).start().unwrap();
    let publisher = bus.publisher::<Measured>().unwrap();
    let before = resident().unwrap();
    for number in 0..events {
        publisher.publish(Measured::new(number)).unwrap();
    }
    let deadline = Instant::now() + Duration::from_mins(5);
    while failed.load(Ordering::Relaxed) < events {
        assert!(Instant::now() < deadline, "events were not parked");
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(100)); // for the last ones to be parked
    (resident().unwrap() - before) / events as f64
}

fn bytes_each_scheduled(events: u64) -> f64 {
    bytes_each_waiting(&Bus::volatile(), events)
}

fn bytes_each_scheduled_durably(events: u64) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    bytes_each_waiting(&Bus::open(directory.path()).unwrap(), events)
}

/// A handler schedules a thousand events at a time, each for an hour later.
#[allow(clippy::cast_precision_loss)] // far below 2^52 events
fn bytes_each_waiting(bus: &Bus, events: u64) -> f64 {
    const AT_ONCE: u64 = 1000;
    let schedule = |begin: &Other<0>, ctx: &mut Context| -> Result<(), HandlerError> {
        for number in 0..AT_ONCE {
            let event = Other::<1>(Measured::new(begin.0.number * AT_ONCE + number));
            ctx.schedule(Message::new(event).delay(Duration::from_hours(1)))?;
        }
        Ok(())
    };
    bus.subscribe("scheduler").on(schedule).start().unwrap();
    let before = resident().unwrap();
    for number in 0..events / AT_ONCE {
        bus.publish(Other::<0>(Measured::new(number))).unwrap();
    }
    assert!(bus.wait_idle(Duration::from_mins(10)));
    thread::sleep(Duration::from_secs(2)); // for what is done beside commits
    (resident().unwrap() - before) / events as f64
}
