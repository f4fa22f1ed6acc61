//! What is handled is not handled again without need.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Anomaly, AnomalyKind, Ending, Fact,
    case::{Case, View},
};

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    case.subscriptions.iter().flat_map(|(name, view)| of_subscription(case, name, view)).collect()
}

/// What a subscription is done with.
#[derive(Default)]
struct Done {
    /// In the process that runs, as the handler said.
    handled: BTreeMap<u64, usize>,
    /// For good: the acknowledgement is committed.
    settled: BTreeMap<u64, usize>,
    /// The last event of each thing that was handled, where copies are not to be.
    things: BTreeMap<u64, (u64, usize)>,
    /// The last calls.
    called: BTreeMap<u64, usize>,
}

fn of_subscription(case: &Case<'_>, subscription: &str, view: &View) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut done = Done::default();
    let is_idempotent = case.promises.is_idempotent(subscription);
    let mut revived = BTreeSet::new();
    for (at, fact) in case.of(view) {
        if fact.interrupts() {
            done.handled.clear();
            let settled = &done.settled;
            done.things.retain(|_, (event, _)| settled.contains_key(event));
        }
        match fact {
            fact if case.promises.unsettles(fact) => done = Done::default(),
            Fact::Called { event, .. } => {
                found.extend(done.again(case, *event, at));
                if is_idempotent && !revived.contains(event) {
                    found.extend(done.copy(case, *event, at));
                }
                done.called.insert(*event, at);
            }
            Fact::Returned { event, ending: Ending::Handled, .. } => {
                done.handled.insert(*event, at);
                if is_idempotent && !revived.contains(event) {
                    found.extend(done.beside(case, *event, at));
                }
                done.things.insert(case.thing(*event), (*event, at));
            }
            Fact::Settled { event, .. } if !view.set_aside.contains(event) => {
                done.settled.insert(*event, at);
            }
            Fact::Revived { event, .. } => {
                revived.insert(*event);
            }
            _ => {}
        }
    }
    found
}

impl Done {
    fn again(&self, case: &Case<'_>, event: u64, at: usize) -> Option<Anomaly> {
        if let Some(settled) = self.settled.get(&event) {
            let why = format!("event {event} came again, though that it was handled is committed");
            return Some(case.anomaly(AnomalyKind::HandledAgain, &[*settled, at], why));
        }
        let handled = self.handled.get(&event)?;
        let why = format!("event {event} came again, though it was handled and nothing had ended");
        Some(case.anomaly(AnomalyKind::HandledTwice, &[*handled, at], why))
    }

    /// A copy was handled from before an event was to after that.
    fn beside(&self, case: &Case<'_>, event: u64, at: usize) -> Option<Anomaly> {
        let (_, handled) = self.things.get(&case.thing(event))?;
        let called = self.called.get(&event)?;
        if called < handled { self.copy(case, event, at) } else { None }
    }

    fn copy(&self, case: &Case<'_>, event: u64, at: usize) -> Option<Anomaly> {
        let (other, handled) = self.things.get(&case.thing(event))?;
        if *other == event {
            return None;
        }
        let why = format!(
            "event {event} was handled, or came to be, though event {other}, a copy of it, was"
        );
        Some(case.anomaly(AnomalyKind::CopyHandled, &[*handled, at], why))
    }
}
