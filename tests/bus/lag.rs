//! How far a subscription is behind, and what comes of that.

use std::time::Duration;

use tidings::{
    Backoff, Bus, HandlerError, LagObjective, Overflow, Rate, Retention, storage::Storage,
};

use crate::{
    events::{Placed, SECOND, Seen, Tick, placed, seen, simulated},
    store::Store,
};

/// An objective that notes when it was missed and met.
fn objective(within: Duration, told: &Seen<(&'static str, String, Duration)>) -> LagObjective {
    let (misses, meets) = (told.clone(), told.clone());
    LagObjective::within(within)
        .on_miss(move |name, forecast| misses.lock().push(("missed", name.into(), forecast.wait)))
        .on_meet(move |name, forecast| meets.lock().push(("met", name.into(), forecast.wait)))
}

#[test]
fn a_forecast_says_how_long_events_wait_and_when_all_is_handled() {
    let (sim, bus) = simulated(1);
    let slow = bus.subscribe("slow").rate_limit(Rate::per_second(10)).on(|_: &Placed| ());
    let slow = slow.start().unwrap();
    sim.run_until_idle();
    assert_eq!(slow.forecast().time_to_catch_up, Some(Duration::ZERO));
    bus.publish_all((0..100).map(|order| placed(order, 0))).unwrap();
    sim.advance(2 * SECOND);
    let _first = slow.forecast();
    sim.advance(2 * SECOND);
    let forecast = slow.forecast();
    // 10 a second of the 60 that are left; then while 5 a second come.
    assert_eq!((forecast.lag, forecast.wait), (59, Duration::from_millis(5900)));
    assert_eq!(forecast.time_to_catch_up, Some(forecast.wait));
    assert_eq!(forecast.time_to_loss, None);
    for _ in 0..4 {
        sim.advance(SECOND / 2);
        bus.publish_all((0..3).map(|order| placed(order, 0))).unwrap();
    }
    let forecast = slow.forecast();
    assert_eq!((forecast.lag, forecast.wait), (51, Duration::from_millis(5100)));
    assert_eq!(forecast.time_to_catch_up.unwrap().as_millis(), 12750);
    sim.run_until_idle();
    assert_eq!(slow.forecast().lag, 0);
}

#[test]
fn an_objective_tells_when_it_is_missed_and_when_it_is_met_again() {
    let (sim, bus) = simulated(2);
    let told = seen();
    let slow = bus.subscribe("slow").rate_limit(Rate::per_second(10));
    let slow = slow.lag_objective(objective(5 * SECOND, &told)).on(|_: &Placed| ());
    let slow = slow.start().unwrap();
    bus.publish_all((0..20).map(|order| placed(order, 0))).unwrap();
    sim.run_until_idle();
    assert!(told.lock().is_empty());
    bus.publish_all((0..100).map(|order| placed(order, 0))).unwrap();
    sim.advance(2 * SECOND);
    assert!(slow.status().late);
    sim.run_until_idle();
    assert!(!slow.status().late);
    let told: Vec<_> = told.lock().iter().map(|(what, name, _)| (*what, name.clone())).collect();
    assert_eq!(told, [("missed", "slow".to_owned()), ("met", "slow".to_owned())]);
}

#[test]
fn a_handler_that_gets_nowhere_misses_its_objective_once_that_has_lasted() {
    let (sim, bus) = simulated(3);
    let told = seen();
    let down = sim.clone();
    let rows = bus
        .subscribe("rows")
        .retry(Backoff::constant(SECOND).max_attempts(100))
        .lag_objective(objective(5 * SECOND, &told))
        .on(move |_: &Placed| {
            let is_up = down.elapsed() >= 20 * SECOND;
            is_up.then_some(()).ok_or_else(|| HandlerError::retry("the database is down"))
        })
        .start()
        .unwrap();
    bus.publish(placed(1, 0)).unwrap();
    sim.advance(4 * SECOND);
    assert!(!rows.status().late);
    sim.advance(4 * SECOND);
    assert!(rows.status().late);
    sim.run_until_idle();
    let told = told.lock();
    assert_eq!((told.len(), told[0].0, told[1].0), (2, "missed", "met"));
    assert!(told[0].2 > 5 * SECOND && told[0].2 <= 6 * SECOND, "{:?}", told[0].2);
}

#[test]
fn a_rest_between_events_is_no_delay_and_a_hook_that_panics_harms_nobody() {
    let (sim, bus) = simulated(4);
    let told = seen();
    let quick = bus.subscribe("quick").lag_objective(objective(SECOND, &told)).on(|_: &Placed| ());
    quick.start().unwrap();
    let panics = LagObjective::within(SECOND).on_miss(|_, _| panic!("no"));
    let slow = bus.subscribe("slow").rate_limit(Rate::per_second(1)).lag_objective(panics);
    let slow = slow.on(|_: &Placed| ()).start().unwrap();
    for _ in 0..20 {
        bus.publish(placed(1, 0)).unwrap();
        sim.advance(3600 * SECOND);
    }
    assert!(told.lock().is_empty());
    bus.publish_all((0..20).map(|order| placed(order, 0))).unwrap();
    sim.run_until_idle();
    assert_eq!(slow.status().handled, 40);
}

/// How fast it was before it rested says nothing of how fast it is.
#[test]
fn what_comes_after_a_long_rest_is_not_late_for_that() {
    let (sim, bus) = simulated(9);
    let told = seen();
    let rows = bus.subscribe("rows").rate_limit(Rate::per_second(10));
    let rows = rows.lag_objective(objective(30 * SECOND, &told)).on(|_: &Placed| ());
    let rows = rows.start().unwrap();
    for _ in 0..3 {
        bus.publish_all((0..100).map(|order| placed(order, 0))).unwrap();
        sim.advance(3600 * SECOND);
    }
    assert_eq!((rows.status().handled, told.lock().len()), (300, 0));
}

#[test]
fn a_pause_is_no_failure_to_keep_up() {
    let (sim, bus) = simulated(5);
    let told = seen();
    let rows = bus.subscribe("rows").lag_objective(objective(SECOND, &told)).on(|_: &Placed| ());
    let rows = rows.start().unwrap();
    rows.pause();
    bus.publish_all((0..5).map(|order| placed(order, 0))).unwrap();
    sim.advance(60 * SECOND);
    rows.resume();
    sim.run_until_idle();
    assert!(told.lock().is_empty() && rows.status().handled == 5);
}

#[test]
fn a_pause_does_not_make_an_objective_met() {
    let (sim, bus) = simulated(8);
    let told = seen();
    let slow = bus.subscribe("slow").rate_limit(Rate::per_second(10));
    let slow = slow.lag_objective(objective(2 * SECOND, &told)).on(|_: &Placed| ());
    let slow = slow.start().unwrap();
    bus.publish_all((0..100).map(|order| placed(order, 0))).unwrap();
    for _ in 0..3 {
        sim.advance(2 * SECOND);
        slow.pause();
        sim.advance(2 * SECOND);
        assert!(slow.status().late);
        slow.resume();
    }
    assert_eq!(told.lock().len(), 1);
    sim.run_until_idle();
    assert_eq!((told.lock().len(), slow.status().late), (2, false));
}

#[test]
fn a_forecast_says_when_the_ring_will_skip_events() {
    let (sim, _) = simulated(6);
    let bus = Bus::builder().runtime(sim.runtime()).ring(100).build().unwrap();
    let slow = bus.subscribe("slow").rate_limit(Rate::per_second(10)).on_lag(Overflow::Skip);
    let slow = slow.on(|_: &Tick| ()).start().unwrap();
    for second in 0..4 {
        bus.publish_all((0..20).map(Tick)).unwrap();
        sim.advance(SECOND);
        let forecast = slow.forecast();
        assert_eq!(forecast.time_to_loss.is_some(), second > 0, "{forecast:?}");
    }
    // 10 a second more are there than go, and 61 of 100 places are free.
    let forecast = slow.forecast();
    assert_eq!((forecast.lag, forecast.time_to_catch_up), (39, None));
    assert_eq!(forecast.time_to_loss, Some(Duration::from_millis(6100)));
}

#[test]
fn a_forecast_says_when_the_log_will_drop_what_is_unread() {
    let hour = 3600 * SECOND;
    for waits in [true, false] {
        let mut store = Store::in_small_segments();
        let retention = Retention::forever().max_age(hour);
        store.retention = if waits { retention } else { retention.drop_unread() };
        let bus = store.open();
        let slow = bus.subscribe("slow").rate_limit(Rate::per_minute(1)).on(|_: &Tick| ());
        let slow = slow.start().unwrap();
        bus.publish_all((0..1000).map(Tick)).unwrap();
        store.sim.advance(600 * SECOND);
        let _first = slow.forecast();
        store.sim.advance(600 * SECOND);
        let forecast = slow.forecast();
        // All came at once, so that their time is over at once.
        assert_eq!(forecast.time_to_loss, (!waits).then_some(2400 * SECOND), "{forecast:?}");
    }
}

#[test]
fn a_forecast_says_when_the_log_will_be_too_large_for_what_is_unread() {
    for waits in [true, false] {
        let mut store = Store::in_small_segments();
        let retention = Retention::forever().max_bytes(1_000_000);
        store.retention = if waits { retention } else { retention.drop_unread() };
        let bus = store.open();
        let slow = bus.subscribe("slow").rate_limit(Rate::per_second(1)).on(|_: &Tick| ());
        let slow = slow.start().unwrap();
        let mut lags = Vec::new();
        for _ in 0..2 {
            bus.publish_all((0..1000).map(Tick)).unwrap();
            store.sim.advance(100 * SECOND);
            lags.push(slow.forecast().lag);
        }
        let forecast = slow.forecast();
        if waits {
            assert_eq!(forecast.time_to_loss, None);
            continue;
        }
        store.kill(bus);
        let bytes = store.storage().log_bytes();
        // All are about as large, and 900 more in 100 s are unread.
        let (each, more) = (bytes / 2000, lags[1] - lags[0]);
        let left = (1_000_000 / each - lags[1]) * 100 / more;
        let said = forecast.time_to_loss.unwrap().as_secs();
        assert!(said.abs_diff(left) <= left / 10, "{said} s of {left} s, {bytes} bytes");
    }
}
