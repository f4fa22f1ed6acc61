//! A union cannot be an event.

use tidings::Event;

#[derive(Event)]
#[event(name = "bits.set")]
union Bits {
    whole: u32,
    half: u16,
}

fn main() {}
