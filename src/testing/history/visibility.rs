//! What is delivered is as durable as promised.

use std::collections::BTreeSet;

use super::{Anomaly, AnomalyKind, Fact, case::Case};
use crate::message::Position;

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut accused = BTreeSet::new();
    let mut end: Option<(Position, usize)> = None;
    let mut read = None;
    // Backwards: what comes later says what was durable.
    for (at, fact) in case.facts.iter().enumerate().rev() {
        match fact {
            Fact::LogEnds { position } if end.is_none_or(|(end, _)| *position < end) => {
                end = Some((*position, at));
            }
            Fact::ReadAll => read = Some(at),
            Fact::Called { event, position, .. } => {
                let beyond = end.filter(|(end, _)| position >= end).map(|(_, at)| at);
                let proof = beyond.or(read.filter(|_| is_missing(case, *event)));
                let Some(proof) = proof.filter(|_| accused.insert(*event)) else { continue };
                let why = format!(
                    "event {event} was handled at position {position}, and is not in the log later: \
                     it was delivered before it was durable"
                );
                found.push(case.anomaly(AnomalyKind::PrematureDelivery, &[at, proof], why));
            }
            fact if case.promises.forgets(fact) => (end, read) = (None, None),
            _ => {}
        }
    }
    found
}

/// Not found in the log, and not acknowledged, which makes it a lost write.
fn is_missing(case: &Case<'_>, event: u64) -> bool {
    let publish = case.publishes.get(&event);
    publish.is_some_and(|publish| publish.found.is_none() && publish.acknowledged.is_none())
}
