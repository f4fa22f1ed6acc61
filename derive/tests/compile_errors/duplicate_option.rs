//! Options given twice.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", version = 1, name = "orders.moved")]
#[event(version = 2)]
struct OrderPlaced;

fn main() {}
