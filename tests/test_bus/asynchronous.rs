//! Async handlers, by the virtual clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidings::{
    Backoff, Bus, BusBuilder, Delivery, Error, HandlerError,
    testing::{CallOutcome, TestBus},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::shop::{OrderPlaced, PaymentTaken, SECOND, assert_contains, message_of, order};

const HOUR: Duration = Duration::from_hours(1);

/// Takes an hour for each order, and fails the first time.
async fn slowly(mut delivery: Delivery<OrderPlaced>) -> Result<(), HandlerError> {
    let began = Instant::now();
    sleep(HOUR).await;
    assert!(began.elapsed() >= HOUR);
    if delivery.attempt() == 1 {
        return Err(HandlerError::retry("too slow"));
    }
    let OrderPlaced { order, customer, .. } = *delivery;
    delivery.publish(PaymentTaken { order, customer })?;
    Ok(())
}

fn start(bus: BusBuilder) -> Result<Bus, Error> {
    let bus = bus.build()?;
    bus.subscribe("billing").retry(Backoff::constant(60 * SECOND)).on_async(slowly).start()?;
    Ok(bus)
}

/// Timers of the handler are late by no more than `late`.
fn assert_times(bus: &TestBus, late: Duration) {
    let calls = bus.handler_calls("billing");
    let [first, second] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(first.began, Duration::ZERO);
    let took = [first.ended.unwrap(), second.ended.unwrap().saturating_sub(second.began)];
    assert!(took.iter().all(|took| *took >= HOUR && *took <= HOUR + late), "{took:?}");
    assert_eq!(second.began, first.ended.unwrap() + 60 * SECOND);
    bus.assert_published_times::<PaymentTaken>(1);
}

#[test]
fn a_plain_test_runs_async_handlers_and_their_timers_by_the_virtual_clock() {
    let bus = TestBus::start(start).unwrap();
    bus.publish(order(1)).unwrap();
    bus.run_until_idle();
    assert_times(&bus, Duration::ZERO);
}

#[tokio::test]
async fn an_async_test_does_the_same_on_its_own_runtime() {
    let bus = TestBus::start(start).unwrap();
    bus.publish(order(1)).unwrap();
    bus.run_until_idle_async().await;
    assert_times(&bus, Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_an_async_test_may_be_paused_already() {
    let bus = TestBus::start(start).unwrap();
    bus.publish(order(1)).unwrap();
    bus.run_until_idle_async().await;
    assert_times(&bus, Duration::ZERO);
}

#[test]
fn advancing_lets_handlers_go_on_as_far_as_that() {
    let bus = TestBus::start(start).unwrap();
    bus.publish(order(1)).unwrap();
    bus.advance(3599 * SECOND);
    assert_eq!(bus.handler_calls("billing")[0].outcome, CallOutcome::Running);
    bus.advance(SECOND);
    assert_eq!(bus.handler_calls("billing")[0].outcome.error(), Some("too slow"));
    assert_eq!(bus.elapsed(), HOUR);
}

#[tokio::test(start_paused = true)]
async fn advancing_in_an_async_test_does_the_same() {
    let bus = TestBus::start(start).unwrap();
    bus.publish(order(1)).unwrap();
    bus.advance_async(3599 * SECOND).await;
    assert_eq!(bus.handler_calls("billing")[0].outcome, CallOutcome::Running);
    bus.advance_async(SECOND).await;
    assert_eq!(bus.handler_calls("billing")[0].outcome.error(), Some("too slow"));
    assert_eq!(bus.elapsed(), HOUR);
}

#[test]
fn the_bus_sees_the_time_at_which_a_handler_goes_on() {
    let bus = TestBus::start(start).unwrap();
    let placed = bus.publish(order(1)).unwrap();
    bus.run_until_idle();
    let payment = bus.published_messages::<PaymentTaken>().remove(0);
    let order = bus.published_messages::<OrderPlaced>().remove(0);
    assert_eq!(order.position, placed.position);
    let between = payment.envelope.published_at.since(order.envelope.published_at);
    assert_eq!(between, 2 * HOUR + 60 * SECOND);
}

#[test]
fn a_killed_process_takes_its_handlers_with_it() {
    let mut bus = TestBus::start(start).unwrap();
    bus.publish(order(1)).unwrap();
    bus.advance(SECOND);
    bus.kill();
    assert_eq!(bus.handler_calls("billing")[0].outcome, CallOutcome::Abandoned);
    bus.run_until_idle();
    bus.assert_published_times::<PaymentTaken>(1);
}

#[test]
fn a_restart_gives_handlers_time_to_finish() {
    let quick = |bus: BusBuilder| -> Result<Bus, Error> {
        let bus = bus.build()?;
        bus.subscribe("quick")
            .on_async(|_: Delivery<OrderPlaced>| async { sleep(10 * SECOND).await })
            .start()?;
        Ok(bus)
    };
    let mut bus = TestBus::start(quick).unwrap();
    bus.publish(order(1)).unwrap();
    let report = bus.restart();
    assert_eq!((report.delivered, report.left, bus.elapsed()), (1, 0, 10 * SECOND));
}

#[tokio::test]
async fn a_restart_in_an_async_test_gives_them_time_too() {
    let quick = |bus: BusBuilder| -> Result<Bus, Error> {
        let bus = bus.build()?;
        bus.subscribe("quick")
            .on_async(|_: Delivery<OrderPlaced>| async { sleep(10 * SECOND).await })
            .start()?;
        Ok(bus)
    };
    let mut bus = TestBus::start(quick).unwrap();
    bus.publish(order(1)).unwrap();
    bus.advance_async(SECOND).await;
    let report = bus.restart_async().await;
    assert_eq!((report.abandoned, report.left), (0, 0));
    bus.run_until_idle_async().await;
    assert_eq!(bus.handler_calls("quick").len(), 1);
}

#[test]
fn a_handler_that_waits_for_nothing_is_told() {
    let bus = TestBus::start(|bus| {
        let bus = bus.build()?;
        bus.subscribe("waiting")
            .on_async(|_: Delivery<OrderPlaced>| std::future::pending::<()>())
            .start()?;
        Ok::<_, Error>(bus)
    });
    let bus = bus.unwrap();
    bus.publish(order(1)).unwrap();
    let message = message_of(|| bus.run_until_idle());
    let call = "waiting: orders.placed #1 key 11, attempt 1 at 0ns: is running";
    assert_contains(&message, &["nothing is left that would have these handlers end", call]);
    assert!(bus.elapsed() < SECOND, "looking for what may come takes no time");
    bus.advance(SECOND);
}

#[tokio::test]
async fn a_test_that_blocks_inside_a_runtime_is_told_what_to_call() {
    let bus = TestBus::start(start).unwrap();
    bus.publish(order(1)).unwrap();
    assert_contains(&message_of(|| bus.run_until_idle()), &["`run_until_idle_async`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_of_several_threads_is_refused() {
    assert_contains(&message_of(|| TestBus::start(start)), &["flavor `current_thread`"]);
}

#[test]
fn a_handler_that_looks_again_and_again_for_ever_is_told() {
    let bus = TestBus::start(|bus| {
        let bus = bus.build()?;
        bus.subscribe("polling")
            .on_async(|delivery: Delivery<OrderPlaced>| async move {
                while delivery.key().is_some() {
                    sleep(60 * SECOND).await;
                }
            })
            .start()?;
        Ok::<_, Error>(bus)
    });
    let bus = bus.unwrap();
    bus.publish(order(1)).unwrap();
    let message = message_of(|| bus.run_until_idle());
    assert_contains(&message, &["would have these handlers end", "polling: orders.placed #1"]);
}

#[test]
fn what_runs_beside_the_handlers_goes_on_and_is_not_waited_for() {
    let ticks = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&ticks);
    let bus = TestBus::start(move |bus| {
        let counter = Arc::clone(&counter);
        tokio::spawn(async move {
            loop {
                sleep(SECOND).await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        bus.build()
    });
    let bus = bus.unwrap();
    bus.run_until_idle();
    assert_eq!(ticks.load(Ordering::Relaxed), 0);
    bus.advance(10 * SECOND);
    assert_eq!(ticks.load(Ordering::Relaxed), 10);
}

#[test]
fn a_test_may_release_a_handler() {
    let gate = Arc::new(Notify::new());
    let open = Arc::clone(&gate);
    let bus = TestBus::start(move |bus| {
        let bus = bus.build()?;
        let gate = Arc::clone(&gate);
        bus.subscribe("gated")
            .on_async(move |_: Delivery<OrderPlaced>| {
                let gate = Arc::clone(&gate);
                async move { gate.notified().await }
            })
            .start()?;
        Ok::<_, Error>(bus)
    });
    let bus = bus.unwrap();
    bus.publish(order(1)).unwrap();
    bus.advance(SECOND);
    assert_eq!(bus.handler_calls("gated")[0].outcome, CallOutcome::Running);
    open.notify_one();
    bus.run_until_idle();
    assert_eq!(bus.handler_calls("gated")[0].outcome, CallOutcome::Succeeded);
}

#[test]
fn a_handler_may_have_blocking_work_done_elsewhere() {
    let bus = TestBus::start(|bus| {
        let bus = bus.build()?;
        bus.subscribe("blocking")
            .on_async(|_: Delivery<OrderPlaced>| async {
                let sum = tokio::task::spawn_blocking(|| (1..=10_u64).sum::<u64>()).await;
                assert_eq!(sum.unwrap(), 55);
            })
            .start()?;
        Ok::<_, Error>(bus)
    });
    let bus = bus.unwrap();
    bus.publish(order(1)).unwrap();
    bus.run_until_idle();
    assert_eq!(bus.handler_calls("blocking")[0].outcome, CallOutcome::Succeeded);
}

#[test]
fn a_question_to_an_async_handler_is_answered_while_the_test_waits() {
    let bus = TestBus::start(start).unwrap();
    let answer = bus.request::<_, PaymentTaken>(order(1), 5 * HOUR).unwrap();
    assert_eq!(answer.order, 1);
}

#[test]
fn a_bus_that_is_dropped_leaves_nothing_behind() {
    let alive = Arc::new(());
    for _ in 0..2000 {
        // More than a process may have open.
        let kept = Arc::clone(&alive);
        let bus = TestBus::start(move |bus| {
            let bus = bus.build()?;
            let kept = Arc::clone(&kept);
            bus.subscribe("kept")
                .on_async(move |_: Delivery<OrderPlaced>| {
                    let kept = Arc::clone(&kept);
                    async move { drop(kept) }
                })
                .start()?;
            Ok::<_, Error>(bus)
        });
        let bus = bus.unwrap();
        bus.publish(order(1)).unwrap();
        bus.run_until_idle();
    }
    assert_eq!(Arc::strong_count(&alive), 1);
}
