//! The events of the runs.

use serde::{Deserialize, Serialize};
use tidings::{DeadLetter, Event};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "model.source", key_with = "Source::route")]
pub(crate) struct Source {
    pub(crate) event: u64,
    pub(crate) key: u64,
    /// The first event that stands for the same.
    pub(crate) thing: u64,
}

impl Source {
    /// Key 0 stands for no key.
    fn route(&self) -> Option<u64> {
        (self.key > 0).then_some(self.key)
    }
}

/// What the counting subscription publishes for each source that it handles, and its answer.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "model.counted", key = "key")]
pub(crate) struct Counted {
    pub(crate) source: u64,
    pub(crate) key: u64,
    /// How many of the key came before, from the subscription's state. 0 without a key.
    pub(crate) count: u64,
}

impl Counted {
    /// The number of the event that comes of a source.
    pub(crate) fn event(source: u64) -> u64 {
        1_000_000 + source
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "model.noise")]
pub(crate) struct Noise;

/// The number of the event in a dead letter.
pub(crate) fn event_of(letter: &DeadLetter) -> u64 {
    let (name, payload) = (letter.event(), letter.payload());
    match name {
        Counted::NAME => Counted::event(serde_json::from_slice::<Counted>(payload).unwrap().source),
        _ => serde_json::from_slice::<Source>(payload).unwrap().event,
    }
}
