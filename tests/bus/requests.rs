//! Asking, and waiting for the answer.

use std::{sync::Arc, thread, time::Duration};

use tidings::{Backoff, Bus, Context, HandlerError, RequestFailure};

use crate::{
    events::{Placed, SECOND, Shipped, Tick, placed, seen, simulated},
    store::Store,
};

/// Answers each order with a shipment of ten times its number, the second attempt if `fails`.
fn answer(bus: &Bus, fails: bool) {
    let retry = Backoff::constant(SECOND);
    let answer = move |event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
        ctx.publish(Tick(event.order))?;
        ctx.publish(Shipped { order: 10 * event.order })?;
        ctx.publish(Shipped { order: 999 })?;
        if fails && ctx.attempt() == 1 { Err(HandlerError::retry("first")) } else { Ok(()) }
    };
    bus.subscribe("answers").lanes(4).retry(retry).on(answer).start().unwrap();
}

#[test]
fn a_question_gets_its_answer() {
    let (_sim, volatile) = simulated(1);
    for bus in [volatile, Store::new().open()] {
        answer(&bus, false);
        // Answers to others are no answers.
        bus.publish(Shipped { order: 0 }).unwrap();
        for order in 1..20 {
            let reply = bus.request::<_, Shipped>(placed(order, 0), SECOND).unwrap();
            assert_eq!(reply.order, 10 * order, "the first one counts");
        }
        let asked: Vec<_> =
            (1..20).map(|order| (order, bus.ask::<_, Tick>(placed(order, 0)).unwrap())).collect();
        for (order, asked) in asked.into_iter().rev() {
            assert_eq!(asked.wait(SECOND).unwrap().0, order);
        }
    }
}

#[test]
fn an_answer_may_take_several_attempts_but_not_for_ever() {
    let (sim, bus) = simulated(1);
    answer(&bus, true);
    let reply = bus.request::<_, Shipped>(placed(7, 0), 2 * SECOND).unwrap();
    assert_eq!(reply.order, 70);
    let error = bus.request::<_, Shipped>(placed(8, 0), Duration::from_millis(10)).unwrap_err();
    assert_eq!(error.to_string(), "asking `orders.placed` failed: no answer came within 10ms");
    assert!(error.into_message().is_none(), "it is published");
    let start = sim.elapsed();
    drop(bus.ask::<_, Shipped>(placed(9, 0)).unwrap());
    sim.run_until_idle();
    assert!(sim.elapsed() > start, "answers that nobody waits for are fine");
}

#[test]
fn a_question_that_nobody_handles_is_handed_back() {
    let (_sim, bus) = simulated(1);
    let error = bus.request::<_, Shipped>(placed(1, 2), SECOND).unwrap_err();
    assert!(matches!(error.failure(), RequestFailure::Unhandled));
    assert_eq!(error.into_message().unwrap().into_event(), placed(1, 2));
    assert_eq!(bus.end().get(), 1, "and nothing is published");
}

#[test]
fn a_handler_cannot_wait_for_an_answer() {
    let (sim, bus) = simulated(1);
    answer(&bus, false);
    let (inner, errors) = (bus.clone(), seen());
    let noted = Arc::clone(&errors);
    let handler = move |_: &Tick| {
        let error = inner.request::<_, Shipped>(placed(1, 0), SECOND).unwrap_err();
        noted.lock().push(error.to_string());
    };
    let asking = bus.subscribe("asking").on(handler).start().unwrap();
    bus.publish(Tick(1)).unwrap();
    sim.run_until_idle();
    let text = "asking `orders.placed` failed: a handler cannot wait for an answer";
    assert_eq!(*errors.lock(), [text]);
    asking.stop(SECOND);
}

#[test]
fn a_shutdown_tells_whoever_waits_and_reports_no_subscription_of_the_bus() {
    let bus = Bus::volatile();
    bus.subscribe("slow")
        .on(|_: &Placed| thread::sleep(Duration::from_millis(200)))
        .start()
        .unwrap();
    let asking = bus.clone();
    let waits = thread::spawn(move || asking.request::<_, Shipped>(placed(1, 0), 60 * SECOND));
    while bus.end().get() == 1 {
        thread::yield_now();
    }
    let report = bus.shutdown(10 * SECOND).unwrap();
    let names: Vec<_> = report.subscriptions.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["slow"]);
    let error = waits.join().unwrap().unwrap_err();
    assert!(matches!(error.failure(), RequestFailure::Closed), "{error}");
}

#[tokio::test]
async fn async_code_awaits_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    for bus in [Bus::open(dir.path()).unwrap(), Bus::volatile()] {
        answer(&bus, false);
        let asked: Vec<_> = (1..50).map(|order| bus.ask::<_, Shipped>(placed(order, 0))).collect();
        for (order, asked) in (1..).zip(asked) {
            assert_eq!(asked.unwrap().await.unwrap().order, 10 * order);
        }
    }
}

#[test]
fn many_threads_ask_at_once() {
    let bus = Bus::volatile();
    answer(&bus, false);
    let ask = |thread: u64| {
        let bus = bus.clone();
        let ask = move |order: u64| {
            let order = thread * 1000 + order;
            let reply = bus.request::<_, Shipped>(placed(order, 0), 20 * SECOND).unwrap();
            assert_eq!(reply.order, 10 * order);
        };
        thread::spawn(move || (0..200).for_each(ask))
    };
    let threads: Vec<_> = (1..5).map(ask).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
