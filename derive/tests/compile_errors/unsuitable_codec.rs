//! A codec that is not one.

use serde::{Deserialize, Serialize};
use tidings::Event;

struct Xml;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", codec = "Xml")]
struct OrderPlaced;

fn main() {}
