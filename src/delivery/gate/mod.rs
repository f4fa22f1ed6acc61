//! What stands between a subscription's lanes and its handlers, to protect what those call.
//!
//! A lane asks whether the gate is open before it takes an event, and has each event admitted before
//! an attempt. Whatever has to wait is parked or left in the journal: nothing is lost here, and no
//! thread sleeps. A subscription without protection has no gate.

mod bucket;

use parking_lot::Mutex;

use bucket::{Bucket, Buckets};

use super::parking::Held;
use crate::{event::Key, policy::Rate, runtime::Tick};

/// So many keys can be busy at one time under a rate for each.
const MOST_KEYS: usize = 100_000;

/// How a subscription is to be protected, as its builder says.
#[derive(Default)]
pub(crate) struct Protection {
    pub(crate) rate: Option<Rate>,
    pub(crate) rate_per_key: Option<Rate>,
}

/// What stands between a subscription's lanes and its handlers. Shared by the lanes.
pub(crate) struct Gate {
    rate: Option<Bucket>,
    keys: Option<Mutex<Buckets<Key>>>,
}

/// How long a lane is to take nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Until(Tick),
}

/// Why an event is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The gate is shut for all.
    Shut,
    /// This one has to wait until then; others may go on.
    Until(Tick),
}

impl Gate {
    /// `None` where there is nothing to protect.
    pub(super) fn new(protection: Protection) -> Option<Box<Self>> {
        let Protection { rate, rate_per_key } = protection;
        if rate.is_none() && rate_per_key.is_none() {
            return None;
        }
        let keys = rate_per_key.map(|rate| Mutex::new(Buckets::new(rate, MOST_KEYS)));
        Some(Box::new(Self { rate: rate.map(Bucket::new), keys }))
    }

    /// Whether it has to be asked for each event.
    pub(super) fn is_for_each(&self) -> bool {
        self.rate.is_some() || self.keys.is_some()
    }

    /// Whether lanes are to take nothing now.
    pub(super) fn rest(&self, now: Tick) -> Option<Rest> {
        self.rate.as_ref()?.opens_at(now).map(Rest::Until)
    }

    /// Lets an event through to its handler, or says why not.
    pub(super) fn admit(&self, held: &Held, now: Tick) -> Result<(), Refusal> {
        if self.rest(now).is_some() {
            return Err(Refusal::Shut);
        }
        if let (Some(keys), Some(key)) = (&self.keys, held.key()) {
            keys.lock().take(key, now).map_err(Refusal::Until)?;
        }
        match &self.rate {
            // Another lane was quicker.
            Some(rate) => rate.take(now).map_err(|_| Refusal::Shut),
            None => Ok(()),
        }
    }
}
