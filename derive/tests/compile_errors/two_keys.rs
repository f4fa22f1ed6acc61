//! Two ways to say what the key is.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order_id", key_with = "number")]
struct OrderPlaced {
    order_id: u64,
}

fn number(event: &OrderPlaced) -> u64 {
    event.order_id
}

fn main() {}
