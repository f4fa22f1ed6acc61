//! The saga that most tests run: an order is paid, reserved and shipped, or everything is undone.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{
    Backoff, Event,
    saga::{Define, Elsewhere, Missing, Saga, SagaState},
};

macro_rules! events {
    ($($name:ident = $text:literal),* $(,)?) => {
        $(
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
            #[event(name = $text, key = "order")]
            pub(crate) struct $name {
                pub(crate) order: u64,
            }
        )*
    };
}

events! {
    OrderPlaced = "orders.placed",
    TakePayment = "payments.take",
    PaymentTaken = "payments.taken",
    PaymentRefused = "payments.refused",
    RefundPayment = "payments.refund",
    PaymentRefunded = "payments.refunded",
    ReserveStock = "stock.reserve",
    StockReserved = "stock.reserved",
    OutOfStock = "stock.out",
    ReleaseStock = "stock.release",
    ShipOrder = "orders.ship",
    OrderShipped = "orders.shipped",
    AddressChecked = "addresses.checked",
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AwaitingPayment {
    pub(crate) reminders: u32,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AwaitingStock;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shipping;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shipped;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cancelled {
    pub(crate) why: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, SagaState)]
pub(crate) enum Fulfilment {
    AwaitingPayment(AwaitingPayment),
    AwaitingStock(AwaitingStock),
    Shipping(Shipping),
    #[saga(terminal)]
    Shipped(Shipped),
    #[saga(terminal)]
    Cancelled(Cancelled),
}

pub(crate) const PAYMENT_TIMEOUT: Duration = Duration::from_mins(15);

fn cancelled(why: &str) -> Cancelled {
    Cancelled { why: why.into() }
}

impl Saga for Fulfilment {
    const NAME: &'static str = "fulfilment";

    fn define(saga: &mut Define<Self>) {
        saga.start(|placed: &OrderPlaced, turn| {
            let order = placed.order;
            turn.send(TakePayment { order })
                .compensate_with("payment", RefundPayment { order })
                .timer("payment", PAYMENT_TIMEOUT)
                .enter(AwaitingPayment { reminders: 0 })
        })
        .to::<AwaitingPayment>()
        .sets("payment");

        saga.state::<AwaitingPayment>()
            .on(|_, taken: &PaymentTaken, turn| {
                let order = taken.order;
                turn.clear("payment")
                    .send(ReserveStock { order })
                    .compensate_with("stock", ReleaseStock { order })
                    .enter(AwaitingStock)
            })
            .to::<AwaitingStock>()
            .on(|_, _: &PaymentRefused, turn| {
                turn.forget_compensation("payment").clear("payment").enter(cancelled("refused"))
            })
            .to::<Cancelled>()
            .on_timer("payment", |state, turn| match state.reminders {
                0 => turn.timer("payment", PAYMENT_TIMEOUT).enter(AwaitingPayment { reminders: 1 }),
                _ => turn.compensate_then(cancelled("not paid")),
            })
            .to::<AwaitingPayment>()
            .sets("payment")
            .compensates_to::<Cancelled>()
            .defer::<StockReserved>()
            .defer::<OutOfStock>()
            .reject::<OrderShipped>();

        saga.state::<AwaitingStock>()
            .on(|_, reserved: &StockReserved, turn| {
                turn.pivot().send(ShipOrder { order: reserved.order }).enter(Shipping)
            })
            .to::<Shipping>()
            .pivots()
            .on(|_, _: &OutOfStock, turn| turn.compensate_then(cancelled("out of stock")))
            .compensates_to::<Cancelled>()
            .reject::<OrderShipped>();

        saga.state::<Shipping>()
            .on(|_, _: &OrderShipped, turn| turn.enter(Shipped))
            .to::<Shipped>()
            .ignore::<StockReserved>()
            .ignore::<OutOfStock>();

        saga.event::<OrderPlaced>().elsewhere(Elsewhere::Ignore);
        saga.event::<PaymentTaken>().elsewhere(Elsewhere::Ignore);
        saga.event::<PaymentRefused>().elsewhere(Elsewhere::Ignore);
        saga.event::<AddressChecked>().elsewhere(Elsewhere::Ignore).missing(Missing::Ignore);
        saga.compensation::<RefundPayment>()
            .undone_by(|refund, refunded: &PaymentRefunded| refund.order == refunded.order)
            .retry(Backoff::constant(Duration::from_secs(10)).max_attempts(3));
        saga.compensation::<ReleaseStock>();
    }
}
