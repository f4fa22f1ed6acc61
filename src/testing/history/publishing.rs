//! The order of publishes is that of positions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Anomaly, AnomalyKind, Fact, case::Case};
use crate::message::Position;

/// A position, and the fact that says so.
type Known = (Position, usize);

/// What has to come after what.
#[derive(Default)]
struct Edges {
    /// The highest position that was acknowledged so far, and in earlier processes.
    highest: Option<Known>,
    of_earlier: Option<Known>,
    /// What was highest when each publish began.
    floors: BTreeMap<u64, (Option<Known>, Option<Known>)>,
    /// What each publisher has begun, in order.
    begun: BTreeMap<Arc<str>, Vec<(u64, usize)>>,
    /// Events that were published more than once, whose first place stays.
    again: BTreeSet<u64>,
}

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut edges = Edges::default();
    for (at, fact) in case.facts.iter().enumerate() {
        match fact {
            Fact::Publishing { publisher, event, .. } => edges.begin(publisher, *event, at),
            Fact::Acknowledged { event, position } => {
                found.extend(edges.acknowledge(case, *event, (*position, at)));
            }
            Fact::Ended { .. } if case.promises.forgets(fact) => {
                (edges.highest, edges.of_earlier) = (None, None);
            }
            Fact::Ended { .. } => edges.of_earlier = edges.highest,
            _ => {}
        }
    }
    for begun in edges.begun.values() {
        found.extend(own_order(case, begun, &edges.again));
    }
    found
}

impl Edges {
    fn begin(&mut self, publisher: &Arc<str>, event: u64, at: usize) {
        if self.floors.insert(event, (self.highest, self.of_earlier)).is_some() {
            self.again.insert(event);
        }
        self.begun.entry(Arc::clone(publisher)).or_default().push((event, at));
    }

    fn acknowledge(&mut self, case: &Case<'_>, event: u64, known: Known) -> Option<Anomaly> {
        let (position, at) = known;
        if self.highest.is_none_or(|(highest, _)| position > highest) {
            self.highest = Some(known);
        }
        if self.again.contains(&event) {
            return None;
        }
        let (floor, earlier) = *self.floors.get(&event)?;
        let is_below = |bound: &Known| position <= bound.0;
        if let Some((bound, before)) = earlier.filter(is_below) {
            let why = format!(
                "event {event} got position {position} in a process that began after position \
                 {bound} was acknowledged"
            );
            return Some(case.anomaly(AnomalyKind::PositionWentBack, &[before, at], why));
        }
        let (bound, before) = floor.filter(is_below)?;
        let why = format!(
            "the publish of event {event} began after position {bound} was acknowledged, and got \
             position {position}"
        );
        Some(case.anomaly(AnomalyKind::PublishOrder, &[before, at], why))
    }
}

/// An acknowledged publish of one publisher.
#[derive(Clone, Copy)]
struct Own {
    event: u64,
    position: Position,
    begun: usize,
    acknowledged: usize,
}

/// What one publisher begins later comes later, acknowledged in between or not.
fn own_order(case: &Case<'_>, begun: &[(u64, usize)], again: &BTreeSet<u64>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut highest: Option<Own> = None;
    for &(event, begun) in begun.iter().filter(|(event, _)| !again.contains(event)) {
        let place = case.publishes.get(&event).and_then(|publish| publish.acknowledged);
        let Some((position, acknowledged)) = place else { continue };
        let Some(before) = highest.filter(|before| position < before.position) else {
            highest = Some(Own { event, position, begun, acknowledged });
            continue;
        };
        // Where the one began after the other's acknowledgement, the edge above says it.
        if before.acknowledged < begun {
            continue;
        }
        let why = format!(
            "one publisher published event {} and then event {event}, which are at {} and {position}",
            before.event, before.position
        );
        let facts = [before.begun, begun, before.acknowledged, acknowledged];
        found.push(case.anomaly(AnomalyKind::PublisherOrder, &facts, why));
    }
    found
}
