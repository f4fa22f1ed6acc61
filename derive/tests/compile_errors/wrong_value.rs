//! Values of the wrong type.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = parcels.moved, version = "2", key = parcel_id)]
struct Quotes {
    parcel_id: u64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = 7, version = 1.5, codec = "not a path")]
struct Types;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "a", version = 0)]
struct Zero;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "b", version = -1)]
struct Negative;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "c", version = 5_000_000_000)]
struct Large;

fn main() {}
