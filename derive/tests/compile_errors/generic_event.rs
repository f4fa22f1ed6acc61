//! A generic event would be many events under one name.

use serde::{Deserialize, Serialize};
use tidings::Event;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "things.changed")]
struct Changed<T> {
    before: T,
    after: T,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "texts.changed")]
struct Text<'a> {
    text: &'a str,
}

fn main() {}
