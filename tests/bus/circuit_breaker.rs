//! What a circuit breaker does with a subscription whose handlers fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tidings::{
    Backoff, BreakerState, Bus, CircuitBreaker, Context, Delivery, HandlerError, Subscription,
    testing::Simulator,
};

use crate::events::{Placed, SECOND, Seen, Tick, placed, seen, simulated};

/// Something that handlers call.
#[derive(Clone, Default)]
struct Dependency {
    is_up: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
}

impl Dependency {
    fn call(&self) -> Result<(), HandlerError> {
        self.calls.fetch_add(1, SeqCst);
        if self.is_up.load(SeqCst) { Ok(()) } else { Err(HandlerError::retry("down")) }
    }

    fn calls(&self) -> u64 {
        self.calls.swap(0, SeqCst)
    }
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::new().window(10).min_calls(5).open_for(60 * SECOND).probes(2)
}

/// A subscription that calls it for every event.
fn start(bus: &Bus, breaker: CircuitBreaker, dependency: &Dependency) -> Subscription {
    let dependency = dependency.clone();
    let builder = bus.subscribe("calls").circuit_breaker(breaker);
    let builder = builder.retry(Backoff::constant(SECOND).max_attempts(3));
    builder.on(move |_: &Placed| dependency.call()).start().unwrap()
}

fn publish(bus: &Bus, orders: std::ops::Range<u64>) {
    bus.publish_all(orders.map(|order| placed(order, 0))).unwrap();
}

fn state(subscription: &Subscription) -> BreakerState {
    subscription.status().breaker.unwrap()
}

fn is_open(subscription: &Subscription) -> bool {
    matches!(state(subscription), BreakerState::Open { .. })
}

#[test]
fn it_opens_probes_and_closes_and_nothing_is_lost() {
    let (sim, bus) = simulated(1);
    let dependency = Dependency::default();
    let told: Seen<String> = seen();
    let (opened, closed) = (told.clone(), told.clone());
    let breaker = breaker()
        .on_open(move |name| opened.lock().push(format!("{name} open")))
        .on_close(move |name| closed.lock().push(format!("{name} closed")));
    let calls = start(&bus, breaker, &dependency);
    assert_eq!(state(&calls), BreakerState::Closed);
    publish(&bus, 0..20);
    sim.advance(59 * SECOND);
    assert_eq!(dependency.calls(), 5, "then it is open");
    assert!(is_open(&calls));
    assert!(calls.lag() > 0 && calls.status().dead_lettered == 0);

    sim.advance(2 * SECOND);
    assert_eq!(dependency.calls(), 1, "a probe that fails");
    assert!(is_open(&calls));
    dependency.is_up.store(true, SeqCst);
    assert!(bus.wait_idle(120 * SECOND));
    assert_eq!((dependency.calls(), state(&calls)), (20, BreakerState::Closed));
    assert_eq!(*told.lock(), ["calls open", "calls open", "calls closed"]);
    let status = calls.status();
    assert_eq!((status.handled, status.dead_lettered, calls.lag()), (20, 0, 0));
}

#[test]
fn failed_probes_are_no_attempts_however_long_it_takes() {
    let (sim, bus) = simulated(2);
    let dependency = Dependency::default();
    let calls = start(&bus, breaker(), &dependency);
    publish(&bus, 0..8);
    sim.advance(3600 * SECOND);
    assert!(dependency.calls() <= 5 + 60, "one probe a minute");
    assert_eq!(calls.status().dead_lettered, 0, "though each has three attempts only");
    dependency.is_up.store(true, SeqCst);
    sim.run_until_idle();
    assert_eq!((calls.status().handled, calls.lag()), (8, 0));
}

#[test]
fn one_poisonous_event_does_not_keep_it_open_while_others_come() {
    for lanes in [1, 3] {
        let (sim, bus) = simulated(3);
        let down = Arc::new(AtomicBool::new(true));
        let is_down = down.clone();
        let builder =
            bus.subscribe("calls").lanes(lanes).circuit_breaker(breaker().failure_rate(0.9));
        let builder = builder.retry(Backoff::constant(20 * SECOND));
        let handler = move |event: &Placed| {
            let fails = event.order == 0 || is_down.load(SeqCst);
            if fails { Err(HandlerError::retry("poison")) } else { Ok(()) }
        };
        let calls = builder.on(handler).start().unwrap();
        publish(&bus, 0..5);
        sim.advance(90 * SECOND);
        assert!(is_open(&calls), "also after a probe");
        down.store(false, SeqCst);
        for order in 5..7 {
            publish(&bus, order..order + 1);
            sim.advance(65 * SECOND);
        }
        assert_eq!(state(&calls), BreakerState::Closed, "{lanes} lanes");
        assert_eq!(calls.status().handled, 6, "{lanes} lanes: all but the poison");
    }
}

#[test]
fn rejected_events_say_nothing_of_the_dependency() {
    let (sim, bus) = simulated(4);
    let builder = bus.subscribe("calls").circuit_breaker(breaker());
    let reject = |_: &Placed| -> Result<(), HandlerError> { Err(HandlerError::reject("no order")) };
    let calls = builder.on(reject).start().unwrap();
    publish(&bus, 0..50);
    sim.run_until_idle();
    assert_eq!((state(&calls), calls.status().dead_lettered), (BreakerState::Closed, 50));
}

/// A handler that takes so long for an order of that number.
fn slow(sim: &Simulator, from: u64) -> impl Fn(&Placed) + use<> {
    let sim = sim.clone();
    move |event| sim.advance(if event.order >= from { 3 * SECOND } else { Duration::ZERO })
}

#[test]
fn calls_that_take_too_long_open_it() {
    let (sim, bus) = simulated(5);
    let breaker = breaker().slow_calls(2 * SECOND, 0.5);
    let builder = bus.subscribe("calls").circuit_breaker(breaker);
    let calls = builder.on(slow(&sim, 5)).start().unwrap();
    publish(&bus, 0..9);
    sim.advance(Duration::ZERO);
    assert_eq!(state(&calls), BreakerState::Closed, "four of nine");
    publish(&bus, 9..20);
    sim.advance(Duration::ZERO);
    assert!(is_open(&calls));
    assert_eq!(calls.status().handled, 10);
}

#[test]
fn a_hook_that_panics_changes_nothing() {
    let (sim, bus) = simulated(6);
    let dependency = Dependency::default();
    let breaker = breaker().on_open(|_| panic!("hook")).on_close(|_| panic!("hook"));
    let calls = start(&bus, breaker, &dependency);
    publish(&bus, 0..20);
    sim.advance(SECOND);
    assert!(is_open(&calls));
    dependency.is_up.store(true, SeqCst);
    sim.run_until_idle();
    assert_eq!((state(&calls), calls.status().handled), (BreakerState::Closed, 20));
}

#[test]
fn good_calls_and_all_lanes_count() {
    let (sim, bus) = simulated(7);
    let builder = bus.subscribe("calls").lanes(4).circuit_breaker(breaker().failure_rate(0.5));
    let builder = builder.retry(Backoff::constant(SECOND));
    let calls = builder.on(|event: &Placed, ctx: &mut Context| {
        let fails = event.order.is_multiple_of(3) && ctx.attempt() == 1;
        if fails { Err(HandlerError::retry("a third")) } else { Ok(()) }
    });
    let calls = calls.start().unwrap();
    for order in 0..60 {
        publish(&bus, order..order + 1);
        sim.advance(Duration::ZERO);
    }
    assert_eq!(state(&calls), BreakerState::Closed);
    sim.run_until_idle();
    assert_eq!(calls.status().handled, 60);
}

#[test]
fn a_pulled_event_that_nobody_looked_at_is_no_probe() {
    let (sim, bus) = simulated(8);
    let builder = bus.subscribe("pull").circuit_breaker(breaker());
    let mut events = builder.retry(Backoff::constant(SECOND)).stream::<Placed>().unwrap();
    publish(&bus, 0..5);
    for _ in 0..5 {
        events.next().unwrap().retry(HandlerError::retry("down"));
    }
    sim.advance(SECOND);
    assert!(is_open(events.subscription()));
    publish(&bus, 5..9);
    assert!(events.next_within(58 * SECOND).is_none(), "it rests");
    for _ in 0..2 {
        events.next().unwrap().ack();
    }
    sim.advance(SECOND);
    assert_eq!(state(events.subscription()), BreakerState::Closed);
}

#[test]
fn an_open_breaker_does_not_hold_up_a_shutdown() {
    let (sim, bus) = simulated(9);
    let calls = start(&bus, breaker(), &Dependency::default());
    publish(&bus, 0..20);
    sim.advance(SECOND);
    assert!(is_open(&calls));
    let before = sim.elapsed();
    let report = bus.shutdown(30 * SECOND).unwrap();
    assert_eq!(sim.elapsed(), before);
    assert_eq!(report.subscriptions[0].left, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_handlers_open_and_close_it_too() {
    let bus = Bus::volatile();
    let dependency = Dependency::default();
    let in_handler = dependency.clone();
    let builder = bus.subscribe("calls").max_in_flight(3);
    let breaker = breaker().open_for(Duration::from_millis(40));
    let calls = builder
        .circuit_breaker(breaker)
        .retry(Backoff::constant(Duration::from_millis(1)))
        .on_async(move |_: Delivery<Tick>| {
            let dependency = in_handler.clone();
            async move { dependency.call() }
        })
        .start()
        .unwrap();
    bus.publish_all((0..50).map(Tick)).unwrap();
    while !is_open(&calls) {
        tokio::task::yield_now().await;
    }
    dependency.is_up.store(true, SeqCst);
    let idle = tokio::task::spawn_blocking(move || bus.wait_idle(30 * SECOND));
    assert!(idle.await.unwrap());
    assert_eq!((calls.status().handled, state(&calls)), (50, BreakerState::Closed));
}

#[test]
fn calls_are_timed_one_by_one_however_many_come_together() {
    let (sim, bus) = simulated(9);
    let millisecond = Duration::from_millis(1);
    let builder = bus.subscribe("calls").circuit_breaker(breaker().slow_calls(millisecond, 0.5));
    let time = sim.clone();
    let calls = builder.on(move |_: &Placed| time.advance(millisecond / 10)).start().unwrap();
    publish(&bus, 0..500);
    sim.advance(SECOND);
    assert_eq!((state(&calls), calls.status().handled), (BreakerState::Closed, 500));
}

#[test]
fn a_dependency_that_fails_after_a_long_good_time_opens_it() {
    let (sim, bus) = simulated(10);
    let dependency = Dependency::default();
    dependency.is_up.store(true, SeqCst);
    let calls = start(&bus, breaker().failure_rate(0.5), &dependency);
    publish(&bus, 0..200);
    sim.advance(SECOND);
    dependency.is_up.store(false, SeqCst);
    publish(&bus, 200..220);
    sim.advance(SECOND);
    assert!(is_open(&calls));
    assert_eq!(calls.status().handled, 200);
}
