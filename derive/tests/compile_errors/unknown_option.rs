//! Options that do not exist.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(nmae = "orders.placed")]
struct Swapped;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", retention = 3)]
struct Unheard;

fn main() {}
