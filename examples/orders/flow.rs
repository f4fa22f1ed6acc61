//! The flow, choreographed: nobody directs, each subscription knows what it answers to.
//!
//! ```text
//! orders.placed ─► payments ─► payments.taken, stock.requested
//!                              stock.requested ─► stock ─► stock.reserved ─► shipping ─► orders.shipped
//!                                                       └► stock.short ────► refunds ──► payments.refunded
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidings::{Backoff, Bus, Context, HandlerError, Start, SubscribeError, Subscription};

use crate::{
    day,
    events::{
        Order, OrderPlaced, OrderShipped, PaymentRefunded, PaymentTaken, StockRequested,
        StockReserved, StockShort,
    },
    latency::Latencies,
};

/// How many orders of the day there are in all, which decides the stock and the poison.
pub type Total = u64;

/// Starts the shop. On a log that has been used before, each subscription resumes where it was.
pub fn start(bus: &Bus, total: Total) -> Result<Vec<Subscription>, SubscribeError> {
    let retry = Backoff::exponential(Duration::from_millis(20)).jitter().max_attempts(6);
    let payments = bus
        .subscribe("payments")
        .lanes(4)
        .retry(retry)
        .on(move |OrderPlaced(order): &OrderPlaced, ctx: &mut Context| take(order, total, ctx));
    let stock = bus.subscribe("stock").lanes(4).on(
        move |StockRequested(order): &StockRequested, ctx: &mut Context| reserve(order, total, ctx),
    );
    let shipping = bus.subscribe("shipping").lanes(2).on(ship);
    let refunds = bus.subscribe("refunds").on(refund);
    [payments, stock, shipping, refunds]
        .into_iter()
        .map(tidings::SubscriptionBuilder::start)
        .collect()
}

fn take(order: &Order, total: Total, ctx: &mut Context) -> Result<(), HandlerError> {
    // The message itself is broken, so every attempt fails, and the last one makes a dead letter.
    if day::is_poison(order.id, total) {
        return Err(HandlerError::retry("the order cannot be priced"));
    }
    if day::payment_times_out(order.id, ctx.attempt()) {
        return Err(HandlerError::retry("the payment provider timed out"));
    }
    // A real provider gets `ctx.idempotency_key("charge")`, and so charges once.
    ctx.publish(PaymentTaken { order: order.id, cents: order.cents })?;
    ctx.publish(StockRequested(*order))?;
    Ok(())
}

fn reserve(order: &Order, total: Total, ctx: &mut Context) -> Result<(), HandlerError> {
    // The state belongs to the event's key, which is the product.
    let left = ctx.state().get("left")?;
    let left = left.unwrap_or_else(|| day::stock(order.product, total));
    match left.checked_sub(order.pieces) {
        Some(left) => {
            ctx.state().put("left", &left)?;
            ctx.publish(StockReserved(*order))?;
        }
        None => ctx.publish(StockShort(*order))?,
    }
    Ok(())
}

fn ship(StockReserved(order): &StockReserved, ctx: &mut Context) -> Result<(), HandlerError> {
    let Order { id, cents, sent, .. } = *order;
    Ok(ctx.publish(OrderShipped { order: id, cents, sent })?)
}

fn refund(StockShort(order): &StockShort, ctx: &mut Context) -> Result<(), HandlerError> {
    let Order { id, cents, sent, .. } = *order;
    Ok(ctx.publish(PaymentRefunded { order: id, cents, sent })?)
}

/// Orders that are through, counted as they come. Leaves nothing on the log.
#[derive(Clone, Default)]
pub struct Finished {
    count: Arc<AtomicU64>,
    pub latencies: Latencies,
}

impl Finished {
    pub fn watch(bus: &Bus) -> Result<Self, SubscribeError> {
        let finished = Self::default();
        let (shipped, refunded) = (finished.clone(), finished.clone());
        bus.subscribe("finished")
            .ephemeral()
            .start_at(Start::Latest)
            .on(move |event: &OrderShipped| shipped.add(event.sent))
            .on(move |event: &PaymentRefunded| refunded.add(event.sent))
            .start()?;
        Ok(finished)
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn add(&self, sent: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.latencies.add(Duration::from_micros(day::now().saturating_sub(sent)));
    }
}
