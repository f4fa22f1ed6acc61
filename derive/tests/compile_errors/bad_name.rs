//! Names that are not made of the allowed characters.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "orders placed")]
struct Space;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "größe.geändert")]
struct Umlaut;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "")]
struct Empty;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.long.")]
struct Long;

fn main() {}
