//! What is acknowledged is not lost, and nothing is passed over in silence.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Anomaly, AnomalyKind, Ending, Fact,
    case::{Case, Publish, View},
};
use crate::message::Position;

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    let mut found = gone(case);
    for (subscription, view) in &case.subscriptions {
        let settled = Settlements::of(case, view);
        found.extend(unexplained(case, view));
        if case.promises.is_complete {
            found.extend(forgotten(case, subscription, view, &settled));
            found.extend(passed(case, subscription, view, &settled));
        }
    }
    found
}

/// What is acknowledged stays in the log.
fn gone(case: &Case<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut ends: Vec<(usize, Position)> = Vec::new();
    let mut read = None;
    for (at, fact) in case.facts.iter().enumerate() {
        match fact {
            Fact::LogEnds { position } => ends.push((at, *position)),
            Fact::ReadAll => read = Some(at),
            _ => {}
        }
    }
    for (event, publish) in &case.publishes {
        let Some((position, since)) = publish.acknowledged else { continue };
        let end = ends.iter().find(|(at, end)| *at > since && *end <= position);
        let unread = read.filter(|read| *read > since && publish.found.is_none());
        if let Some(until) = end.map(|(at, _)| *at).or(unread) {
            let why = format!(
                "event {event} was acknowledged at position {position}, and the log has it no more"
            );
            found.push(case.anomaly(AnomalyKind::LostWrite, &[since, until], why));
        }
    }
    found
}

/// When a subscription is done with events, by the facts that say so.
struct Settlements {
    /// The first fact for each event.
    first: BTreeMap<u64, usize>,
    lost: Vec<(Position, Position, usize)>,
}

impl Settlements {
    fn of(case: &Case<'_>, view: &View) -> Self {
        let mut settled = Self { first: BTreeMap::new(), lost: Vec::new() };
        for (at, fact) in case.of(view) {
            match fact {
                Fact::Returned { event, ending: Ending::Handled, .. }
                | Fact::Skipped { event, .. }
                | Fact::Dead { event, .. }
                | Fact::Revived { event, .. }
                | Fact::Discarded { event, .. } => {
                    settled.first.entry(*event).or_insert(at);
                }
                Fact::Lost { first, last, .. } => settled.lost.push((*first, *last, at)),
                fact if case.promises.forgets(fact) => settled.first.clear(),
                _ => {}
            }
        }
        settled
    }

    fn before(&self, event: u64, position: Position, at: usize) -> bool {
        let lost = |(first, last, since): &(Position, Position, usize)| {
            *since < at && (*first..=*last).contains(&position)
        };
        self.first.get(&event).is_some_and(|since| *since < at) || self.lost.iter().any(lost)
    }
}

/// A subscription at rest has done something with every event that it is to get.
fn forgotten(
    case: &Case<'_>,
    subscription: &str,
    view: &View,
    settled: &Settlements,
) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut accused = BTreeSet::new();
    let mut wanted = &[][..];
    for (at, fact) in case.of(view) {
        match fact {
            Fact::Started { events, .. } => wanted = events.as_slice(),
            Fact::Rested { .. } => {
                for (event, publish) in &case.publishes {
                    let name = publish.name.as_ref();
                    let Some((position, since)) = there(publish, at) else { continue };
                    let is_owed = name.is_some_and(|name| wanted.contains(name));
                    if is_owed && !settled.before(*event, position, at) && accused.insert(*event) {
                        let why =
                            format!("{subscription} rests and has never handled event {event}");
                        found.push(case.anomaly(AnomalyKind::LostWrite, &[since, at], why));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Where an event is known to be at some time.
fn there(publish: &Publish, at: usize) -> Option<(Position, usize)> {
    publish.acknowledged.or(publish.found).filter(|(_, since)| *since < at)
}

/// What a cursor has passed is settled.
fn passed(case: &Case<'_>, subscription: &str, view: &View, settled: &Settlements) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut wanted = &[][..];
    let mut accused = BTreeSet::new();
    for (at, fact) in case.of(view) {
        match fact {
            Fact::Started { events, .. } => wanted = events.as_slice(),
            Fact::Cursor { position: cursor, .. } => {
                for (event, publish) in &case.publishes {
                    let Some((position, since)) = there(publish, at) else { continue };
                    let is_owed = publish.name.as_ref().is_some_and(|name| wanted.contains(name));
                    let is_passed = is_owed && position < *cursor;
                    let is_aside = view.set_aside.contains(event); // when, only the end may tell
                    let is_settled = is_aside || settled.before(*event, position, at);
                    if is_passed && !is_settled && accused.insert(*event) {
                        let why = format!(
                            "the cursor of {subscription} is at {cursor}, past event {event} at \
                             {position}, which was neither handled nor skipped, dead or lost"
                        );
                        found.push(case.anomaly(AnomalyKind::Gap, &[since, at], why));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn unexplained(case: &Case<'_>, view: &View) -> Vec<Anomaly> {
    let mut found = Vec::new();
    for (at, fact) in case.of(view) {
        if let Fact::Skipped { subscription, event, reason: None } = fact {
            let why = format!("{subscription} has passed over event {event} without a reason");
            found.push(case.anomaly(AnomalyKind::SkippedWithoutReason, &[at], why));
        }
    }
    found
}
