//! Keys that name no field.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order")]
struct OrderPlaced {
    order_id: u64,
    total_cents: u64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.moved", key = "parcel")]
struct OrderMoved {
    order_id: u64,
    to: String,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.cancelled", key = "1")]
struct OrderCancelled(u64);

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.nested", key = "order.id")]
struct OrderNested {
    order: u64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "shop.opened", key = "shop")]
struct ShopOpened;

fn main() {}
