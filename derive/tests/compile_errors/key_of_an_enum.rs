//! An enum cannot have a key field.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "parcels.moved", key = "parcel")]
enum ParcelMoved {
    Loaded { parcel: u64 },
    Delivered { parcel: u64 },
}

fn main() {}
