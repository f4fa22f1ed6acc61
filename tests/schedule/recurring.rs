//! What recurs by a calendar: each time once, whatever happens.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::{
    Bus, BusBuilder, CatchUp, Context, Cron, Error, Event, RecurringError, Timestamp,
    testing::{
        TestBus,
        sim::{self, Faults, Run},
    },
};

use crate::events::HOUR;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "reports.due")]
struct ReportDue {
    minute: u64,
}

type Minutes = Arc<Mutex<Vec<u64>>>;

fn minute(time: Timestamp) -> u64 {
    time.as_nanos() / 60_000_000_000
}

fn hourly() -> Cron {
    "0 * * * *".parse().unwrap()
}

/// A report is due each hour; `seen` notes them by the hour that they are for.
fn reporting(
    seen: &Minutes,
    catch_up: CatchUp,
) -> impl Fn(BusBuilder) -> Result<Bus, Error> + use<> {
    let seen = Arc::clone(seen);
    move |builder| {
        let (bus, seen) = (builder.build()?, Arc::clone(&seen));
        bus.subscribe("reports")
            .on(move |due: &ReportDue, ctx: &mut Context| {
                assert_eq!(minute(ctx.published_at()), due.minute);
                seen.lock().push(due.minute);
            })
            .start()?;
        let hourly = bus.every("hourly", hourly()).catch_up(catch_up);
        hourly.publish(|due| ReportDue { minute: minute(due) })?;
        Ok(bus)
    }
}

fn hours(seen: &Minutes) -> Vec<u64> {
    let seen = seen.lock();
    assert!(seen.iter().all(|minute| minute.is_multiple_of(60)), "{seen:?}");
    let first = seen.first().map_or(0, |minute| minute / 60);
    seen.iter().map(|minute| minute / 60 - first).collect()
}

#[test]
fn it_is_published_each_time_that_it_is_due() {
    let seen = Minutes::default();
    let bus = TestBus::start(reporting(&seen, CatchUp::Latest)).unwrap();
    bus.advance(5 * HOUR);
    assert_eq!(hours(&seen), [0, 1, 2, 3, 4]);
}

/// Three hours pass between two processes.
#[test]
fn what_was_due_while_nothing_ran_is_made_up_for_as_it_is_said() {
    for (catch_up, expected) in [
        (CatchUp::Latest, vec![0, 1, 4, 5]),
        (CatchUp::All, vec![0, 1, 2, 3, 4, 5]),
        (CatchUp::Skip, vec![0, 1, 5]),
    ] {
        let seen = Minutes::default();
        let is_down = Arc::new(Mutex::new(false));
        let (start, down) = (reporting(&seen, catch_up), Arc::clone(&is_down));
        let mut bus = TestBus::start(move |builder| {
            let is_down = *down.lock();
            if is_down { Ok::<_, Error>(builder.build()?) } else { start(builder) }
        })
        .unwrap();
        bus.advance(2 * HOUR + Duration::from_mins(10));
        *is_down.lock() = true;
        bus.kill();
        bus.advance(3 * HOUR);
        *is_down.lock() = false;
        bus.restart();
        bus.advance(HOUR);
        assert_eq!(hours(&seen), expected, "{catch_up:?}");
    }
}

#[test]
fn it_can_be_stopped_and_forgotten() {
    let seen = Minutes::default();
    let (start, handles) = (reporting(&seen, CatchUp::All), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&handles);
    let bus = TestBus::start(move |builder| {
        let bus = start(builder)?;
        let second = bus.every("second", hourly()).publish(|due| ReportDue { minute: minute(due) });
        kept.lock().push(second.unwrap());
        Ok::<_, Error>(bus)
    })
    .unwrap();
    let second = handles.lock()[0].clone();
    second.stop();
    bus.advance(2 * HOUR);
    assert_eq!(hours(&seen).len(), 2, "the other one goes on");
    second.forget().unwrap();
    let again = bus.bus().every("second", hourly());
    again.publish(|due| ReportDue { minute: minute(due) }).unwrap();
    bus.advance(HOUR);
    assert_eq!(seen.lock().len(), 4, "nothing is made up for");
}

#[test]
fn a_name_is_good_and_nobody_elses() {
    let bus = Bus::volatile();
    let due = |_| ReportDue { minute: 0 };
    bus.every("hourly", hourly()).publish(due).unwrap();
    let error = bus.every("hourly", hourly()).publish(due).unwrap_err();
    assert!(matches!(error, RecurringError::DuplicateName { .. }), "{error}");
    let error = bus.every("each hour", hourly()).publish(due).unwrap_err();
    assert!(matches!(error, RecurringError::InvalidName { .. }), "{error}");
}

/// Twelve hours, through whatever goes wrong: each hour has one report.
fn a_day(sim: &Run) {
    let seen = Minutes::default();
    let start = reporting(&seen, CatchUp::All);
    sim.process(start);
    sim.advance(12 * HOUR);
    let bus = sim.bus();
    let past = bus.history().of::<ReportDue>().into_iter();
    let minutes: Vec<_> = past.map(|one| one.unwrap().minute).collect();
    assert!(minutes.windows(2).all(|pair| pair[1] == pair[0] + 60), "{minutes:?}");
    assert!(minutes.len() >= 11, "{minutes:?}");
}

#[test]
fn each_time_comes_once_whatever_goes_wrong() {
    let faults = Faults::all().clock_jumps(0.0).disk_failures(0.0);
    sim::explore(1..=100, faults, a_day);
}
