//! The same order fulfilment with nobody in charge: each service listens to what the others say, and does its part.
//! Less to write, and nobody knows where an order stands; compare `saga_orchestrated`.
//!
//! ```sh
//! cargo run --release --example saga_choreographed             # 1,000 orders, and the books
//! cargo run --release --example saga_choreographed -- --crash  # a process dies in the middle, another goes on
//! ```
#![allow(missing_docs, unreachable_pub)]

pub(crate) mod fulfilment_shop;

use std::process::ExitCode;

use fulfilment_shop::{
    OrderPlaced, OrderShipped, OutOfStock, PaymentRefunded, PaymentRefused, PaymentTaken, Problem,
    StockReserved, is_out_of_stock, is_refused,
};
use tidings::{Bus, Context, HandlerError, Window};

type Handled = Result<(), HandlerError>;

pub(crate) fn start(bus: &Bus) -> Result<(), Problem> {
    bus.subscribe("payments")
        .lanes(4)
        // An order that is sent twice is paid once.
        .idempotent_by(Window::default(), |placed: &OrderPlaced| placed.order)
        .on(|placed: &OrderPlaced, ctx: &mut Context| -> Handled {
            let order = placed.order;
            if is_refused(order) {
                ctx.publish(PaymentRefused { order })?;
                return Ok(());
            }
            ctx.state().put("paid", &true)?; // commits with what is published
            ctx.publish(PaymentTaken { order })?;
            Ok(())
        })
        // Compensation is one more thing that a service listens to.
        .on(|out: &OutOfStock, ctx: &mut Context| -> Handled {
            if ctx.state().get::<bool>("paid")?.unwrap_or(false) {
                ctx.state().put("paid", &false)?;
                ctx.publish(PaymentRefunded { order: out.order })?;
            }
            Ok(())
        })
        .start()?;
    bus.subscribe("stock")
        .on(|paid: &PaymentTaken, ctx: &mut Context| -> Handled {
            let order = paid.order;
            if is_out_of_stock(order) {
                ctx.publish(OutOfStock { order })?;
            } else {
                ctx.publish(StockReserved { order })?;
            }
            Ok(())
        })
        .start()?;
    bus.subscribe("shipping")
        .on(|reserved: &StockReserved, ctx: &mut Context| -> Handled {
            ctx.publish(OrderShipped { order: reserved.order })?;
            Ok(())
        })
        .start()?;
    Ok(())
}

fn main() -> ExitCode {
    fulfilment_shop::main(start)
}
