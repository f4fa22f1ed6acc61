//! Tests of one projection.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidings::{Bus, Event, Late, Message, ProjectionBuilder, Timestamp, testing::ProjectionTest};

use crate::shop::assert_contains;

const HOUR: Duration = Duration::from_hours(1);

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "accounts.moved", key = "account")]
struct Moved {
    account: u64,
    cents: i64,
    hour: u64,
}

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(name = "accounts.closed", key = "account")]
struct Closed {
    account: u64,
}

fn moved(account: u64, cents: i64) -> Moved {
    Moved { account, cents, hour: 0 }
}

/// Cents, and how often they have changed.
type Balance = (i64, u32);

fn balances(bus: &Bus) -> ProjectionBuilder<Balance> {
    bus.project::<Balance>("balances", 1)
        .on(|moved: &Moved, rows| {
            let row = rows.at(moved.account);
            *row = (row.0 + moved.cents, row.1 + 1);
            assert!(row.0 >= 0, "account {} has nothing left", moved.account);
        })
        .on(|closed: &Closed, rows| {
            rows.remove(closed.account);
        })
}

/// What a failed expectation says.
fn complaint(test: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)).unwrap_err();
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_projection_is_tested_by_what_events_make_of_its_rows() {
    ProjectionTest::of(balances)
        .then_rows::<u64>([])
        .when(moved(1, 50))
        .when(moved(2, 7))
        .when(moved(1, -20))
        .then_row(1, &(30, 2))
        .then_no_row(3)
        .then_rows([(2, (7, 1)), (1, (30, 2))])
        .when(Closed { account: 1 })
        .then_rows([(2, (7, 1))])
        .then_rebuilds_alike()
        .when(moved(2, 1))
        .then_row(2, &(8, 2));
}

#[test]
fn what_is_not_as_expected_is_shown() {
    let test = || ProjectionTest::of(balances).when(moved(1, 50));
    let row = complaint(|| drop(test().then_row(1, &(51, 1))));
    assert_contains(&row, &["the row `1` was to be [51,1], but it is [50,1]"]);
    let none = complaint(|| drop(test().then_row(2, &(51, 1))));
    assert_contains(&none, &["the row `2` was to be [51,1], but there is none"]);
    let some = complaint(|| drop(test().then_no_row(1)));
    assert_contains(&some, &["there was to be no row `1`, but it is [50,1]"]);
    let all = complaint(|| drop(test().then_rows([(1, (50, 1)), (2, (0, 0))])));
    assert_contains(&all, &["were to be\n  1: [50,1]\n  2: [0,0]\nbut they are\n  1: [50,1]"]);
}

#[test]
fn a_handler_that_fails_is_called_once_and_changes_nothing() {
    ProjectionTest::of(balances)
        .when(moved(1, 50))
        .when(moved(1, -51))
        .then_fails_with("account 1 has nothing left")
        .then_row(1, &(50, 1))
        .when(moved(1, -50))
        .then_row(1, &(0, 2));
}

#[test]
fn a_failure_that_nobody_expects_fails_the_test() {
    let test = || ProjectionTest::of(balances).when(moved(1, -1));
    let says = "the handler of the last event has failed: the handler panicked: account 1";
    assert_contains(&complaint(|| drop(test().then_no_row(1))), &[says]);
    assert_contains(&complaint(|| drop(test().when(moved(1, 5)))), &[says]);
    let other = complaint(|| drop(test().then_fails_with("on fire")));
    assert_contains(&other, &["was to fail with `on fire`, but it failed: the handler panicked"]);
    let none = complaint(|| drop(ProjectionTest::of(balances).then_fails_with("on fire")));
    assert_contains(&none, &["was to fail with `on fire`, but it succeeded"]);
}

#[test]
fn a_handler_that_looks_at_more_than_its_event_is_not_built_anew_alike() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let numbered = |bus: &Bus| {
        bus.project::<u64>("numbered", 1).on(|moved: &Moved, rows| {
            *rows.at(moved.account) = CALLS.fetch_add(1, Ordering::Relaxed);
        })
    };
    let test = || ProjectionTest::of(numbered).when(moved(1, 50));
    let says = complaint(|| drop(test().then_rebuilds_alike()));
    assert_contains(&says, &["were to be as before:\n  1: 0\nbut they are\n  1: 1"]);
}

#[test]
fn late_events_and_the_time_of_publishing_are_as_in_production() {
    let hours = |bus: &Bus| {
        bus.project::<Vec<u64>>("hours", 1)
            .event_time(|moved: &Moved| Timestamp::from_nanos(moved.hour * 3_600_000_000_000))
            .late(Late::Ignore)
            .on(|moved: &Moved, rows| {
                let published = rows.published_at().as_nanos() / 1_000_000_000;
                rows.at(moved.hour).push(published);
            })
    };
    let at = |hour| Message::new(Moved { hour, ..moved(1, 0) });
    let test = ProjectionTest::of(hours).when(at(2)).after(HOUR).when(at(2)).when(at(1));
    let test = test.then_no_row(1).then_rebuilds_alike();
    let stamps = test.view().get(2).unwrap().unwrap();
    assert_eq!(stamps[1] - stamps[0], 3600);
    assert_eq!(test.view().status().unwrap().late.ignored, 1);
}

#[test]
fn a_projection_that_cannot_start_says_why() {
    let nothing = |bus: &Bus| bus.project::<u64>("", 1).on(|_: &Moved, _| {});
    let says = complaint(|| drop(ProjectionTest::of(nothing)));
    assert_contains(&says, &["the projection could not be started: "]);
}
