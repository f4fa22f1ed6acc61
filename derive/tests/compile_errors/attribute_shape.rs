//! Attributes that are not a list of options.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event]
struct NoList;

#[derive(Serialize, Deserialize, Event)]
#[event = "orders.placed"]
struct Assigned;

#[derive(Serialize, Deserialize, Event)]
#[event("orders.placed")]
struct OnlyText;

#[derive(Serialize, Deserialize, Event)]
#[event(name)]
struct NoValue;

fn main() {}
