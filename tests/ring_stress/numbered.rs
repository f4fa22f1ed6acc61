//! What is published: three types of events, numbered for each publisher.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tidings::Event;

pub(crate) const PUBLISHERS: usize = 8;

/// What one publisher publishes, numbered from 0 for each type.
pub(crate) trait Numbered: Event {
    const TYPE: usize;
    fn new(publisher: usize, number: u64) -> Self;
    fn publisher(&self) -> usize;
    fn number(&self) -> u64;
}

macro_rules! numbered {
    ($name:ident, $at:literal, $event:literal, $padding:ty) => {
        #[derive(Serialize, Deserialize, Event)]
        #[event(name = $event, key = "publisher")]
        pub(crate) struct $name {
            publisher: u64,
            number: u64,
            padding: $padding,
        }

        impl Numbered for $name {
            const TYPE: usize = $at;
            fn new(publisher: usize, number: u64) -> Self {
                Self { publisher: publisher as u64, number, padding: Default::default() }
            }
            fn publisher(&self) -> usize {
                usize::try_from(self.publisher).unwrap()
            }
            fn number(&self) -> u64 {
                self.number
            }
        }
    };
}

numbered!(Order, 0, "stress.order", ());
numbered!(Parcel, 1, "stress.parcel", [u64; 16]); // too large for a cell of the ring
numbered!(Letter, 2, "stress.letter", String);

pub(crate) const TYPES: usize = 3;

/// A count for each publisher and type.
#[derive(Default)]
pub(crate) struct Counts([[AtomicU64; TYPES]; PUBLISHERS]);

pub(crate) type Numbers = [[u64; TYPES]; PUBLISHERS];

impl Counts {
    pub(crate) fn of(&self, publisher: usize, event: usize) -> &AtomicU64 {
        &self.0[publisher][event]
    }

    pub(crate) fn numbers(&self) -> Numbers {
        std::array::from_fn(|publisher| {
            std::array::from_fn(|event| self.of(publisher, event).load(Ordering::SeqCst))
        })
    }
}
