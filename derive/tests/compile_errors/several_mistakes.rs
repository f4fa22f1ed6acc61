//! All mistakes are reported at once.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders placed", versoin = 1, key = "order")]
struct OrderPlaced {
    order_id: u64,
}

fn main() {}
