//! What a history is measured by.

use std::{collections::BTreeSet, sync::Arc};

use super::{End, Fact};
use crate::event::Durability;

/// What a bus promises, and how its subscriptions are set: all that tidings promises, unless it says
/// less.
///
/// ```
/// use tidings::testing::Promises;
///
/// let promises = Promises::durable().max_attempts(4).idempotent("billing");
/// ```
#[derive(Debug, Clone)]
#[must_use = "promises say nothing until a history is checked"]
pub struct Promises {
    durability: Option<Durability>,
    max_attempts: u32,
    idempotent: BTreeSet<Arc<str>>,
    holds_keys: BTreeSet<Arc<str>>,
    probes: BTreeSet<Arc<str>>,
    pub(super) is_complete: bool,
    pub(super) is_ordered: bool,
    pub(super) has_effects_once: bool,
}

impl Promises {
    /// Of a durable bus as [`Bus::open`](crate::Bus::open) makes it: what is acknowledged survives a
    /// power failure, every event is handled at least once, those of a key in order, with one effect.
    pub fn durable() -> Self {
        Self {
            durability: Some(Durability::Synced),
            max_attempts: u32::MAX,
            idempotent: BTreeSet::new(),
            holds_keys: BTreeSet::new(),
            probes: BTreeSet::new(),
            is_complete: true,
            is_ordered: true,
            has_effects_once: true,
        }
    }

    /// The same of a volatile bus, as long as the process lives.
    pub fn volatile() -> Self {
        Self { durability: None, ..Self::durable() }
    }

    /// What an acknowledged publish survives.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// After so many failed attempts an event is a dead letter, as the subscriptions'
    /// [`Backoff`](crate::Backoff) has it. Without it, only dead letters that are recorded as such are
    /// known.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// This subscription's handlers handle one of an event and its copies.
    pub fn idempotent(mut self, subscription: &str) -> Self {
        self.idempotent.insert(subscription.into());
        self
    }

    /// A dead letter of this subscription holds up its key, as
    /// [`OnDeadLetter::HoldKey`](crate::OnDeadLetter::HoldKey) has it.
    pub fn holds_keys(mut self, subscription: &str) -> Self {
        self.holds_keys.insert(subscription.into());
        self
    }

    /// A failed attempt of this subscription may have been a probe of its
    /// [`CircuitBreaker`](crate::CircuitBreaker), which does not count: the next one may have its number.
    pub fn probes(mut self, subscription: &str) -> Self {
        self.probes.insert(subscription.into());
        self
    }

    /// Not every event need be handled.
    pub fn incomplete(mut self) -> Self {
        self.is_complete = false;
        self
    }

    /// The events of a key may come in any order.
    pub fn unordered(mut self) -> Self {
        self.is_ordered = false;
        self
    }

    /// Effects may be missing or repeated.
    pub fn without_effects(mut self) -> Self {
        self.has_effects_once = false;
        self
    }

    /// Whether this is the end of a process that takes acknowledged events with it.
    pub(super) fn forgets(&self, fact: &Fact) -> bool {
        let Fact::Ended { how } = fact else { return false };
        match (self.durability, how) {
            (None, _) | (Some(Durability::Buffered), End::PowerLost) => true,
            (Some(_), _) => false,
        }
    }

    /// Whether this is the end of a process that takes acknowledgements of handlers with it, which are
    /// written but not synced.
    pub(super) fn unsettles(&self, fact: &Fact) -> bool {
        self.forgets(fact) || matches!(fact, Fact::Ended { how: End::PowerLost })
    }

    pub(super) fn is_last(&self, attempt: u32) -> bool {
        attempt >= self.max_attempts
    }

    pub(super) fn is_idempotent(&self, subscription: &str) -> bool {
        self.idempotent.contains(subscription)
    }

    pub(super) fn has_held_keys(&self, subscription: &str) -> bool {
        self.holds_keys.contains(subscription)
    }

    pub(super) fn has_probes(&self, subscription: &str) -> bool {
        self.probes.contains(subscription)
    }
}

impl Default for Promises {
    fn default() -> Self {
        Self::durable()
    }
}
