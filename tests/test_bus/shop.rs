//! An application under test, and what a failed assertion says.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidings::{Backoff, Bus, BusBuilder, Context, Error, Event, HandlerError, testing::TestBus};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "customer")]
pub(crate) struct OrderPlaced {
    pub(crate) order: u64,
    pub(crate) customer: u64,
    pub(crate) cents: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "payments.taken", key = "customer")]
pub(crate) struct PaymentTaken {
    pub(crate) order: u64,
    pub(crate) customer: u64,
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn order(order: u64) -> OrderPlaced {
    OrderPlaced { order, customer: 10 + order % 3, cents: 100 }
}

/// Rejects orders of nothing, and fails three times for orders of less than that.
pub(crate) fn bill(order: &OrderPlaced, ctx: &mut Context) -> Result<(), HandlerError> {
    if order.cents == 0 {
        return Err(HandlerError::reject("an order of nothing"));
    }
    if order.cents < 0 && ctx.attempt() <= 3 {
        return Err(HandlerError::retry("the bank sleeps"));
    }
    let count: u64 = ctx.state().get("count")?.unwrap_or(0);
    ctx.state().put("count", &(count + 1))?;
    ctx.publish(PaymentTaken { order: order.order, customer: order.customer })?;
    Ok(())
}

/// The set-up of the application.
pub(crate) fn start(bus: BusBuilder) -> Result<Bus, Error> {
    let bus = bus.build()?;
    bus.subscribe("billing").lanes(2).retry(Backoff::constant(60 * SECOND)).on(bill).start()?;
    bus.subscribe("audit").on(|_: &PaymentTaken| ()).start()?;
    Ok(bus)
}

pub(crate) fn shop() -> TestBus {
    TestBus::start(start).unwrap()
}

/// One subscription with one handler.
pub(crate) fn with(set_up: impl Fn(&Bus) -> Result<(), Error> + 'static) -> TestBus {
    TestBus::start(move |bus: BusBuilder| -> Result<Bus, Error> {
        let bus = bus.build()?;
        set_up(&bus)?;
        Ok(bus)
    })
    .unwrap()
}

/// What a panic says.
pub(crate) fn message_of<R>(fails: impl FnOnce() -> R) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(fails)) else { return "no panic".into() };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[track_caller]
pub(crate) fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}
