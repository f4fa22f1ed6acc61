//! A key field whose type cannot be a key.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize)]
struct Money {
    cents: u64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "total")]
struct OrderPlaced {
    order_id: u64,
    total: Money,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.packed", key = "0")]
struct OrderPacked(Vec<u8>);

fn main() {}
