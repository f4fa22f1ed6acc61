//! The attribute on a field or on a variant.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed")]
struct OrderPlaced {
    #[event(key)]
    order_id: u64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.moved")]
enum OrderMoved {
    #[event(name = "orders.sent")]
    Sent,
}

fn main() {}
