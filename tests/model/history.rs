//! Everything that happened in one run, in order.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use parking_lot::Mutex;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A publish was acknowledged at this position.
    Acknowledged { event: u64, key: u64, position: u64 },
    /// A publish failed, or nobody knows: the event may appear or not.
    Unknown { event: u64, key: u64 },
    /// A handler was called.
    Called { by: &'static str, event: u64, key: u64, position: u64, attempt: u32 },
    /// The handler returned, and how.
    Returned { by: &'static str, event: u64, ending: Ending },
    /// A subscription was stopped, to be started again.
    Stopped { by: &'static str },
    /// A dead letter was given up.
    Discarded { by: &'static str, event: u64 },
    /// A new process began.
    Began { life: u32 },
    /// The last one ended so.
    Ended { how: &'static str },
    /// At the end: the dead letters of a subscription.
    Dead { by: &'static str, event: u64 },
    /// At the end: what the counting subscription published, by source and by key.
    Counted { source: u64, key: u64, count: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Handled,
    Failed,
    Panicked,
    Rejected,
}

#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Vec<Fact>>>);

impl History {
    pub(crate) fn add(&self, fact: Fact) {
        self.0.lock().push(fact);
    }

    pub(crate) fn facts(&self) -> Vec<Fact> {
        self.0.lock().clone()
    }

    /// One fact a line.
    pub(crate) fn story(&self) -> String {
        self.0.lock().iter().fold(String::new(), |mut story, fact| {
            writeln!(story, "{fact:?}").unwrap();
            story
        })
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.story())
    }
}
