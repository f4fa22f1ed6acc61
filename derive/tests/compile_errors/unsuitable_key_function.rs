//! Functions that cannot compute a key.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key_with = "number_of")]
struct OrderPlaced;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key_with = "ratio")]
struct Ratio;

fn ratio(_: &Ratio) -> f64 {
    0.5
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key_with = "length")]
struct Length;

fn length(text: &str) -> usize {
    text.len()
}

fn main() {}
