//! An attribute without a name.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(key = "order_id")]
struct OrderPlaced {
    order_id: u64,
}

fn main() {}
