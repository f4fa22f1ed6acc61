//! An event is handled, or a dead letter, or given up: one of them.

use std::collections::BTreeMap;

use super::{
    Anomaly, AnomalyKind, Ending, Fact,
    case::{Case, View},
};

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    case.subscriptions.values().flat_map(|view| of_subscription(case, view)).collect()
}

/// What became of events, by the facts that say so.
#[derive(Default)]
struct Fates {
    /// In the process that runs.
    handled: BTreeMap<u64, usize>,
    /// For good, and not as a dead letter.
    settled: BTreeMap<u64, usize>,
    discarded: BTreeMap<u64, usize>,
}

fn of_subscription(case: &Case<'_>, view: &View) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut fates = Fates::default();
    for (at, fact) in case.of(view) {
        if fact.interrupts() {
            fates.handled.clear();
        }
        match fact {
            fact if case.promises.forgets(fact) => fates = Fates::default(),
            fact if case.promises.unsettles(fact) => fates.settled.clear(),
            Fact::Returned { event, ending: Ending::Handled, .. } => {
                fates.handled.insert(*event, at);
            }
            Fact::Settled { event, .. } => {
                fates.settled.insert(*event, at);
            }
            Fact::Discarded { event, certain: true, .. } => {
                fates.discarded.insert(*event, at);
            }
            Fact::Dead { event, .. } => found.extend(fates.dead(case, *event, at)),
            Fact::Called { event, .. } => found.extend(fates.called(case, *event, at)),
            _ => {}
        }
    }
    found
}

impl Fates {
    fn dead(&self, case: &Case<'_>, event: u64, at: usize) -> Option<Anomaly> {
        let handled = self.handled.get(&event).or_else(|| self.settled.get(&event))?;
        let why = format!("event {event} was handled, and is a dead letter");
        Some(case.anomaly(AnomalyKind::HandledAndDead, &[*handled, at], why))
    }

    fn called(&self, case: &Case<'_>, event: u64, at: usize) -> Option<Anomaly> {
        let discarded = self.discarded.get(&event)?;
        let why = format!("event {event} was given up, and came again");
        Some(case.anomaly(AnomalyKind::HandledAfterDiscard, &[*discarded, at], why))
    }
}
