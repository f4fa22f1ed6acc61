//! Recording what happens around a bus, and finding out whether its promises were kept.
//!
//! The anomalies are modelled on those that Jepsen looks for in
//! [logs with publishers and consumers](https://github.com/jepsen-io/jepsen/blob/main/jepsen/src/jepsen/tests/kafka.clj).

mod anomaly;
mod attempts;
mod case;
mod cursors;
mod effects;
mod fact;
mod held_keys;
mod identity;
mod key_order;
mod letters;
mod losses;
mod promises;
mod publishing;
mod repeats;
#[cfg(test)]
mod tests;
mod visibility;

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

pub use anomaly::{Anomaly, AnomalyKind};
pub use fact::{End, Ending, Fact, Skip};
pub use promises::Promises;

use crate::{
    bus::Receipt,
    delivery::Context,
    event::Event,
    journal::{PublishError, PublishFailure},
    storage::StorageError,
};

/// What happened around a bus, in order: recorded by a test, then checked. A clone is the same history.
///
/// Record what you see, and no more: a fact that is left out at most hides an anomaly, but for
/// [`Fact::Publishing`], without which an event comes from nowhere, and the facts that explain why an
/// event was not handled.
///
/// ```
/// # use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// use tidings::{
///     Bus, Context, Event,
///     testing::{Ending, Fact, History, Promises},
/// };
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed", key = "customer")]
/// struct OrderPlaced { order: u64, customer: String }
///
/// let (bus, history) = (Bus::volatile(), History::new());
/// let seen = history.clone();
/// bus.subscribe("billing")
///     .on(move |placed: &OrderPlaced, ctx: &mut Context| {
///         seen.called(placed.order, ctx);
///         seen.returned(placed.order, ctx, Ending::Handled);
///     })
///     .start()?;
/// history.add(Fact::Started {
///     subscription: "billing".into(),
///     events: vec![OrderPlaced::NAME.into()],
/// });
///
/// for order in 0..10 {
///     let placed = OrderPlaced { order, customer: format!("customer {}", order % 3) };
///     history.publishing("shop", order, &placed);
///     history.published(order, &bus.publish(placed));
/// }
/// assert!(bus.wait_idle(Duration::from_secs(5)));
/// history.add(Fact::Rested { subscription: "billing".into() });
///
/// history.check(&Promises::volatile()).unwrap();
/// # Ok::<(), tidings::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct History {
    facts: Arc<Mutex<Vec<Fact>>>,
}

impl History {
    /// Nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records a fact.
    pub fn add(&self, fact: Fact) {
        self.facts.lock().push(fact);
    }

    /// Records that an event is about to be published, under the key that the event itself names.
    pub fn publishing<E: Event>(&self, publisher: &str, event: u64, payload: &E) {
        let (name, key) = (E::NAME.into(), payload.key());
        self.add(Fact::Publishing { publisher: publisher.into(), event, name, key, copy_of: None });
    }

    /// Records how the publish of an event ended.
    pub fn published<E: Event>(&self, event: u64, result: &Result<Receipt, PublishError<E>>) {
        self.add(match result {
            Ok(receipt) => Fact::Acknowledged { event, position: receipt.position },
            Err(error) => failed(event, error.failure()),
        });
    }

    /// Records how a publish failed: for sure, or nobody knows.
    pub fn publish_failed(&self, event: u64, failure: &PublishFailure) {
        self.add(failed(event, failure));
    }

    /// Records the call of a handler, at its beginning.
    pub fn called(&self, event: u64, ctx: &Context) {
        self.add(Fact::Called {
            subscription: ctx.subscription().into(),
            event,
            key: ctx.key().cloned(),
            position: ctx.position(),
            attempt: ctx.attempt(),
        });
    }

    /// Records the end of a call of a handler.
    pub fn returned(&self, event: u64, ctx: &Context, ending: Ending) {
        self.add(Fact::Returned { subscription: ctx.subscription().into(), event, ending });
    }

    /// Everything that happened so far, in order.
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        self.facts.lock().clone()
    }

    /// Finds out whether the promises were kept. Takes time in proportion to the number of facts, and
    /// for [`Fact::Rested`] and [`Fact::Cursor`] to that of events.
    ///
    /// # Errors
    /// Every promise that the history shows to be broken.
    pub fn check(&self, promises: &Promises) -> Result<(), Vec<Anomaly>> {
        let facts = self.facts();
        let case = case::Case::new(&facts, promises);
        let found: Vec<Anomaly> = [
            identity::check(&case),
            losses::check(&case),
            visibility::check(&case),
            publishing::check(&case),
            key_order::check(&case),
            held_keys::check(&case),
            attempts::check(&case),
            repeats::check(&case),
            letters::check(&case),
            cursors::check(&case),
            effects::check(&case),
        ]
        .concat();
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

fn failed(event: u64, failure: &PublishFailure) -> Fact {
    match failure {
        PublishFailure::Storage(StorageError::Indeterminate { .. }) => Fact::Unknown { event },
        _ => Fact::Refused { event },
    }
}

/// One fact a line, with its number.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fact) in self.facts.lock().iter().enumerate() {
            writeln!(f, "{number}: {fact:?}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
