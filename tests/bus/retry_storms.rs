//! Retries that would keep down what they call: F11 and F12 of the failure modes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use tidings::{
    Backoff, Bus, CircuitBreaker, HandlerError, OpenError, RetryBudget, Runtime,
    SubscriptionBuilder, testing::Simulator,
};

use crate::{
    events::{Placed, SECOND, Tick, placed, seen, simulated},
    store::Store,
};

const HOUR: u64 = 3600;

/// Published in the storm of an hour.
const EVENTS: u64 = HOUR / 10;

/// Always fails, and counts how often it is called.
fn failing(builder: SubscriptionBuilder) -> Arc<AtomicU64> {
    let calls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&calls);
    let handler = move |_: &Placed| -> Result<(), HandlerError> {
        count.fetch_add(1, SeqCst);
        Err(HandlerError::retry("down"))
    };
    builder.on(handler).start().unwrap();
    calls
}

/// One event every ten seconds, for an hour.
fn publish_for_an_hour(sim: &Simulator, bus: &Bus) {
    for order in 0..EVENTS {
        bus.publish(placed(order, 0)).unwrap();
        sim.advance(10 * SECOND);
    }
}

#[test]
fn f11_an_hour_of_failures_costs_no_more_calls_than_the_budget() {
    let (sim, bus) = simulated(1);
    let impatient = Backoff::constant(SECOND / 10);
    let budget = RetryBudget::new(3.0).min_per_second(0);
    let builder = bus.subscribe("storm").lanes(2).retry(impatient);
    let calls = failing(builder.retry_budget(budget));
    publish_for_an_hour(&sim, &bus);
    let calls = calls.load(SeqCst);
    let most = EVENTS + 3 * EVENTS;
    assert!(calls <= most, "{calls} calls, {most} are paid for");
    assert!(calls > most * 9 / 10, "{calls} calls: what is paid for is made");
    assert_eq!(bus.dead_letters("storm").list().unwrap().len(), 0);
}

#[test]
fn f11_a_breaker_leaves_a_probe_now_and_then() {
    let (sim, bus) = simulated(2);
    let breaker = CircuitBreaker::new().window(20).min_calls(10).open_for(30 * SECOND);
    let calls = failing(bus.subscribe("storm").circuit_breaker(breaker));
    publish_for_an_hour(&sim, &bus);
    let calls = calls.load(SeqCst);
    assert!((100..=20 + HOUR / 30).contains(&calls), "{calls} calls");
    assert_eq!(bus.dead_letters("storm").list().unwrap().len(), 0);
}

#[test]
fn a_retry_that_is_put_off_is_no_attempt_and_comes_when_it_is_paid_for() {
    let (sim, bus) = simulated(3);
    let budget = RetryBudget::new(1.0).min_per_second(0);
    let builder = bus.subscribe("poor").retry(Backoff::constant(SECOND).max_attempts(2));
    let fails = move |event: &Placed| match event.order {
        1 => Err(HandlerError::retry("down")),
        _ => Ok(()),
    };
    let poor = builder.retry_budget(budget).on(fails).start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    sim.advance(60 * SECOND);
    let status = poor.status();
    assert_eq!((status.retried, status.dead_lettered), (1, 1), "its first attempt has paid");

    let (sim, bus) = simulated(4);
    let budget = RetryBudget::new(0.5).min_per_second(0);
    let builder = bus.subscribe("poor").retry(Backoff::constant(20 * SECOND).max_attempts(2));
    let poor = builder.retry_budget(budget).on(fails).start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    sim.advance(HOUR as u32 * SECOND);
    assert_eq!(poor.status().dead_lettered, 0, "what was paid in is forgotten");
    bus.publish(placed(2, 0)).unwrap();
    sim.advance(5 * SECOND);
    assert_eq!(poor.status().dead_lettered, 0, "half of a retry");
    bus.publish(placed(3, 0)).unwrap();
    sim.advance(5 * SECOND);
    assert_eq!(poor.status().dead_lettered, 1);
}

#[test]
fn subscriptions_of_a_pool_share_its_budget() {
    let sim = Simulator::new(5);
    let builder = Bus::builder().runtime(sim.runtime()).pool("payments", 2);
    let budget = RetryBudget::new(0.0).min_per_second(1);
    let bus = builder.pool_retry_budget("payments", budget).build().unwrap();
    let on = |name: &str, pool| {
        failing(bus.subscribe(name).pool(pool).retry(Backoff::constant(SECOND / 10)))
    };
    let shared = [on("first", "payments"), on("second", "payments")];
    let other = on("other", Runtime::DEFAULT_POOL);
    for order in 0..20 {
        bus.publish(placed(order, 0)).unwrap();
    }
    sim.advance(100 * SECOND);
    let calls: u64 = shared.iter().map(|calls| calls.load(SeqCst)).sum();
    assert!((120..=2 * 20 + 110).contains(&calls), "{calls} calls");
    assert!(other.load(SeqCst) > 10_000);
}

#[test]
fn a_budget_for_a_pool_that_is_not_there_is_refused() {
    let build = |pool| Bus::builder().pool_retry_budget(pool, RetryBudget::new(0.1)).build();
    assert!(
        matches!(build("nowhere").unwrap_err(), OpenError::UnknownPool { name } if name == "nowhere")
    );
    assert!(build(Runtime::DEFAULT_POOL).is_ok());
}

#[test]
fn f12_retries_that_a_restart_finds_overdue_do_not_run_at_one_moment() {
    let store = Store::new();
    let times = seen();
    let start = |bus: &Bus| {
        let (sim, list) = (store.sim.clone(), times.clone());
        let builder = bus.subscribe("herd").lanes(2);
        let handler = move |_: &Tick| -> Result<(), HandlerError> {
            list.lock().push(sim.elapsed());
            Err(HandlerError::retry("down"))
        };
        builder.retry(Backoff::constant(100 * SECOND)).on(handler).start().unwrap();
    };
    let bus = store.open();
    start(&bus);
    bus.publish_all((0..1000).map(Tick)).unwrap();
    store.sim.advance(SECOND);
    assert_eq!(times.lock().len(), 1000);
    store.kill(bus);
    times.lock().clear();

    store.sim.advance(HOUR as u32 * SECOND);
    let bus = store.open();
    start(&bus);
    let restart = store.sim.elapsed();
    store.sim.advance(100 * SECOND);
    let mut in_second: BTreeMap<u64, u64> = BTreeMap::new();
    for at in &*times.lock() {
        *in_second.entry(at.as_secs() - restart.as_secs()).or_default() += 1;
    }
    assert_eq!(in_second.values().sum::<u64>(), 1000);
    let most = *in_second.values().max().unwrap();
    assert!(most < 30, "{most} in one second");
}
