//! Order fulfilment with somebody in charge: a saga tells each service what to do, waits for its answer, and has
//! everything undone where one fails.
//!
//! ```sh
//! cargo run --release --example saga_orchestrated             # 1,000 orders, and the books
//! cargo run --release --example saga_orchestrated -- --crash  # a process dies in the middle, another goes on
//! cargo run --release --example saga_orchestrated -- --draw   # the saga as Mermaid text
//! ```
#![allow(missing_docs, unreachable_pub)]

pub(crate) mod fulfilment_shop;

use std::{process::ExitCode, time::Duration};

use fulfilment_shop::{
    OrderPlaced, OrderShipped, OutOfStock, PaymentRefunded, PaymentRefused, PaymentTaken, Problem,
    StockReserved, is_out_of_stock, is_refused,
};
use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Context, Event, HandlerError,
    saga::{Define, Elsewhere, Saga, SagaState},
};

macro_rules! commands {
    ($($name:ident = $text:literal),* $(,)?) => { $(
        #[derive(Debug, Clone, Serialize, Deserialize, Event)]
        #[event(name = $text, key = "order")]
        struct $name { order: u64 }
    )* };
}

commands! {
    TakePayment = "payments.take",
    RefundPayment = "payments.refund",
    ReserveStock = "stock.reserve",
    ShipOrder = "orders.ship",
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AwaitingPayment;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AwaitingStock;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shipping;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shipped;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cancelled {
    why: String,
}

fn cancelled(why: &str) -> Cancelled {
    Cancelled { why: why.to_owned() }
}

#[derive(Debug, Serialize, Deserialize, SagaState)]
pub(crate) enum Fulfilment {
    AwaitingPayment(AwaitingPayment),
    AwaitingStock(AwaitingStock),
    Shipping(Shipping),
    #[saga(terminal)]
    Shipped(Shipped),
    #[saga(terminal)]
    Cancelled(Cancelled),
}

impl Saga for Fulfilment {
    const NAME: &'static str = "fulfilment";

    fn define(saga: &mut Define<Self>) {
        // What undoes a step is registered when the step is sent: nobody knows whether it will have run.
        saga.start(|placed: &OrderPlaced, turn| {
            let order = placed.order;
            turn.send(TakePayment { order })
                .compensate_with("payment", RefundPayment { order })
                .timer("payment", Duration::from_mins(15))
                .enter(AwaitingPayment)
        })
        .to::<AwaitingPayment>()
        .sets("payment");

        saga.state::<AwaitingPayment>()
            .on(|_, paid: &PaymentTaken, turn| {
                turn.clear("payment").send(ReserveStock { order: paid.order }).enter(AwaitingStock)
            })
            .to::<AwaitingStock>()
            .on(|_, _: &PaymentRefused, turn| {
                turn.clear("payment").forget_compensation("payment").enter(cancelled("refused"))
            })
            .to::<Cancelled>()
            .on_timer("payment", |_, turn| turn.compensate_then(cancelled("not paid in time")))
            .compensates_to::<Cancelled>();

        saga.state::<AwaitingStock>()
            .on(|_, reserved: &StockReserved, turn| {
                turn.pivot().send(ShipOrder { order: reserved.order }).enter(Shipping)
            })
            .to::<Shipping>()
            .pivots()
            .on(|_, _: &OutOfStock, turn| turn.compensate_then(cancelled("out of stock")))
            .compensates_to::<Cancelled>();

        saga.state::<Shipping>()
            .on(|_, _: &OrderShipped, turn| turn.enter(Shipped))
            .to::<Shipped>();

        saga.compensation::<RefundPayment>()
            .undone_by(|refund, refunded: &PaymentRefunded| refund.order == refunded.order);
        saga.event::<OrderPlaced>().elsewhere(Elsewhere::Ignore);
        saga.event::<PaymentTaken>().elsewhere(Elsewhere::Ignore);
        saga.event::<PaymentRefused>().elsewhere(Elsewhere::Ignore);
        saga.event::<StockReserved>().elsewhere(Elsewhere::Ignore);
        saga.event::<OutOfStock>().elsewhere(Elsewhere::Ignore);
        saga.event::<OrderShipped>().elsewhere(Elsewhere::Defer);
    }
}

type Handled = Result<(), HandlerError>;

/// The services do as they are told, and know nothing of each other.
pub(crate) fn start(bus: &Bus) -> Result<(), Problem> {
    bus.saga::<Fulfilment>().lanes(4).start()?;
    bus.subscribe("payments")
        .lanes(4)
        .on(|take: &TakePayment, ctx: &mut Context| -> Handled {
            let order = take.order;
            if is_refused(order) {
                ctx.publish(PaymentRefused { order })?;
            } else {
                ctx.publish(PaymentTaken { order })?;
            }
            Ok(())
        })
        .on(|refund: &RefundPayment, ctx: &mut Context| -> Handled {
            ctx.publish(PaymentRefunded { order: refund.order })?;
            Ok(())
        })
        .start()?;
    bus.subscribe("stock")
        .on(|reserve: &ReserveStock, ctx: &mut Context| -> Handled {
            let order = reserve.order;
            if is_out_of_stock(order) {
                ctx.publish(OutOfStock { order })?;
            } else {
                ctx.publish(StockReserved { order })?;
            }
            Ok(())
        })
        .start()?;
    bus.subscribe("shipping")
        .on(|ship: &ShipOrder, ctx: &mut Context| -> Handled {
            ctx.publish(OrderShipped { order: ship.order })?;
            Ok(())
        })
        .start()?;
    Ok(())
}

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--draw") {
        print!("{}", Fulfilment::graph().to_mermaid());
        return ExitCode::SUCCESS;
    }
    fulfilment_shop::main(start)
}
