//! A derive without its attribute.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
struct OrderPlaced {
    order_id: u64,
}

fn main() {}
