//! What is done around handlers, and handlers that are made when they are needed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tidings::{
    Backoff, Batched, Bus, CircuitBreaker, Context, Handler, HandlerError, Next, Rate, RetryBudget,
    SubscribeError, Window, made_by,
};

use crate::events::{Placed, SECOND, Seen, Tick, placed, seen, simulated};

fn logging(
    log: &Seen<String>,
    name: &'static str,
) -> impl Fn(&mut Context, Next<'_>) -> Result<(), HandlerError> + use<> {
    let log = Arc::clone(log);
    move |ctx, next| {
        log.lock().push(format!("{name} begins {}", ctx.position()));
        let result = next.run(ctx);
        log.lock().push(format!("{name} ends {}", if result.is_ok() { "well" } else { "badly" }));
        result
    }
}

#[test]
fn layers_are_around_the_handler_the_first_one_outermost() {
    let (sim, bus) = simulated(1);
    let log = seen();
    let handled = Arc::clone(&log);
    bus.subscribe("reader")
        .layer(logging(&log, "outer"))
        .retry(Backoff::constant(SECOND))
        .on(move |_: &Tick, ctx: &mut Context| {
            handled.lock().push("handler".into());
            if ctx.attempt() == 1 { Err(HandlerError::retry("first")) } else { Ok(()) }
        })
        .layer(logging(&log, "inner"))
        .start()
        .unwrap();
    bus.publish(Tick(1)).unwrap();
    sim.run_until_idle();
    let attempt = |how: &str| {
        let begins = ["outer begins 1", "inner begins 1", "handler"].map(str::to_owned);
        begins.into_iter().chain([format!("inner ends {how}"), format!("outer ends {how}")])
    };
    assert_eq!(*log.lock(), attempt("badly").chain(attempt("well")).collect::<Vec<_>>());
}

#[test]
fn f20_a_layer_may_fail_panic_or_leave_the_rest_out() {
    let (sim, bus) = simulated(1);
    let handled = seen();
    let orders = Arc::clone(&handled);
    let guard =
        |ctx: &mut Context, next: Next<'_>| match ctx.key().map(|key| key.as_str().to_owned()) {
            Some(key) if key == "1" => Err(HandlerError::reject("not today")),
            Some(key) if key == "2" => std::panic::resume_unwind(Box::new("a layer")),
            Some(key) if key == "3" => Ok(()),
            _ => next.run(ctx),
        };
    let reader = bus
        .subscribe("reader")
        .retry(Backoff::never())
        .layer(guard)
        .on(move |event: &Placed| orders.lock().push(event.order))
        .start()
        .unwrap();
    bus.publish_all((1..=4).map(|order| placed(order, 0))).unwrap();
    sim.run_until_idle();
    assert_eq!(*handled.lock(), [4]);
    assert_eq!(reader.ledger().to_string(), "4 matched = 2 acknowledged + 2 dead");
}

#[test]
fn the_bus_describes_the_order() {
    fn audited(ctx: &mut Context, next: Next<'_>) -> Result<(), HandlerError> {
        next.run(ctx)
    }
    let (_sim, bus) = simulated(1);
    bus.subscribe("reader")
        .lanes(4)
        .on(|_: &Placed| ())
        .on(|_: &Tick, _: &mut Context| ())
        .layer(audited)
        .filter(|_: &Placed| true)
        .idempotent_by(Window::default(), |event: &Placed| event.order)
        .start()
        .unwrap();
    let module = module_path!();
    let layer = format!("layer {module}::the_bus_describes_the_order::audited");
    let text = format!(
        "reader (4 lanes, leaves nothing behind)\n  \
         orders.placed v1 > idempotency > filter > {layer} > handler\n  \
         ticks v1 > {layer} > handler\n"
    );
    assert_eq!(bus.describe().to_string(), text);
}

#[test]
fn the_bus_describes_what_protects_handlers() {
    let sim = tidings::testing::Simulator::new(1);
    let bus = Bus::builder().runtime(sim.runtime());
    let bus = bus.pool_retry_budget("default", RetryBudget::new(0.1)).build().unwrap();
    bus.subscribe("mails")
        .timeout(SECOND)
        .circuit_breaker(CircuitBreaker::new())
        .rate_limit(Rate::per_second(4))
        .rate_limit_per_key(Rate::per_minute(6))
        .retry_budget(RetryBudget::new(0.25))
        .max_concurrency(3)
        .on_batch(50, SECOND, |_: &mut [Batched<'_, Placed>]| ())
        .start()
        .unwrap();
    let text = "mails (1 lanes, leaves nothing behind)\n  \
         protected: 3 at work > retry budget of 25% > retry budget of its pool > \
         each key once in 10s > once in 250ms > circuit breaker at 50% of 100 > timeout of 1s\n  \
         orders.placed v1 > handler of up to 50 within 1s\n";
    assert_eq!(bus.describe().to_string(), text);
}

#[test]
fn layers_need_handlers_that_run_in_a_lane() {
    let (_sim, bus) = simulated(1);
    let layered = || bus.subscribe("x").layer(|ctx: &mut Context, next: Next<'_>| next.run(ctx));
    let inline = layered().on_inline(|_: &Tick| ()).start();
    assert!(matches!(inline, Err(SubscribeError::Layer { .. })));
    assert!(matches!(layered().stream::<Tick>(), Err(SubscribeError::Layer { .. })));
}

/// A handler whose state is spoilt by a panic midway.
struct Fragile {
    number: u64,
    spoilt: Mutex<bool>,
    log: Seen<(u64, u64)>,
}

impl Handler<Tick> for Fragile {
    fn handle(&self, tick: &Tick, ctx: &mut Context) -> Result<(), HandlerError> {
        assert!(!*self.spoilt.lock(), "an instance that has panicked is used again");
        self.log.lock().push((self.number, tick.0));
        if tick.0 == 2 && ctx.attempt() == 1 {
            *self.spoilt.lock() = true;
            std::panic::resume_unwind(Box::new("midway"));
        }
        Ok(())
    }
}

/// An instance that has panicked is not used again.
#[test]
fn f2_a_handler_that_panics_is_made_anew() {
    let (sim, bus) = simulated(1);
    let (log, count) = (seen(), AtomicU64::new(0));
    let instances = Arc::clone(&log);
    let make = move || Fragile {
        number: count.fetch_add(1, Relaxed),
        spoilt: Mutex::new(false),
        log: Arc::clone(&instances),
    };
    let retry = Backoff::constant(SECOND);
    let reader = bus.subscribe("reader").retry(retry).on::<Tick, _>(made_by(make)).start().unwrap();
    bus.publish_all((1..=4).map(Tick)).unwrap();
    sim.run_until_idle();
    assert_eq!(*log.lock(), [(0, 1), (0, 2), (1, 3), (1, 4), (1, 2)]);
    assert_eq!(reader.ledger().acknowledged, 4);
}

#[test]
fn each_lane_has_a_handler_of_its_own() {
    let bus = Bus::builder().pool("four", 4).build().unwrap();
    let made = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&made);
    let together = Arc::new(std::sync::Barrier::new(4));
    let instance = move || {
        count.fetch_add(1, Relaxed);
        let together = Arc::clone(&together);
        move |_: &Placed| _ = together.wait()
    };
    let handler = made_by::<Placed, _, _, _>(instance);
    bus.subscribe("reader").lanes(4).pool("four").on(handler).start().unwrap();
    let orders: Vec<_> = (0..100).map(|order| placed(order, 0)).collect();
    let mut on_lanes: Vec<_> = Vec::new();
    for event in orders {
        if on_lanes.iter().all(|other: &Placed| lane(other) != lane(&event)) {
            on_lanes.push(event);
        }
    }
    assert_eq!(on_lanes.len(), 4);
    bus.publish_all(on_lanes).unwrap();
    assert!(bus.wait_idle(20 * SECOND), "all four are at work at once");
    assert_eq!(made.load(Relaxed), 4);
}

/// As the bus does it, by the key's checksum.
fn lane(event: &Placed) -> u64 {
    (u64::from(crc32c::crc32c(event.order.to_string().as_bytes())) * 4) >> 32
}
