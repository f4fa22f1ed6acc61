//! The events of the flow. Each says in its name what has happened.

use serde::{Deserialize, Serialize};
use tidings::Event;

/// One order: one product, some pieces of it, paid at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: u64,
    pub product: u32,
    pub pieces: u32,
    pub cents: u64,
    /// Minute of the day at which the customer clicked.
    pub minute: u32,
    /// When it was published, in microseconds since 1970, to measure how long orders take.
    pub sent: u64,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key_with = "OrderPlaced::id")]
pub struct OrderPlaced(pub Order);

impl OrderPlaced {
    fn id(&self) -> u64 {
        self.0.id
    }
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "payments.taken", key = "order")]
pub struct PaymentTaken {
    pub order: u64,
    pub cents: u64,
}

/// Keyed by product, not by order: whoever keeps the stock of a product sees one request at a time.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "stock.requested", key_with = "StockRequested::product")]
pub struct StockRequested(pub Order);

impl StockRequested {
    fn product(&self) -> u32 {
        self.0.product
    }
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "stock.reserved", key_with = "StockReserved::id")]
pub struct StockReserved(pub Order);

impl StockReserved {
    fn id(&self) -> u64 {
        self.0.id
    }
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "stock.short", key_with = "StockShort::id")]
pub struct StockShort(pub Order);

impl StockShort {
    fn id(&self) -> u64 {
        self.0.id
    }
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "orders.shipped", key = "order")]
pub struct OrderShipped {
    pub order: u64,
    pub cents: u64,
    pub sent: u64,
}

/// The compensation of [`PaymentTaken`].
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "payments.refunded", key = "order")]
pub struct PaymentRefunded {
    pub order: u64,
    pub cents: u64,
    pub sent: u64,
}
