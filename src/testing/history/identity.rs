//! What is there was published, unchanged, and is in one place.

use std::collections::{BTreeMap, BTreeSet};

use super::{Anomaly, AnomalyKind, Fact, case::Case};
use crate::{event::Key, message::Position};

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    let mut found = places(case);
    let mut accused = BTreeSet::new();
    for (at, fact) in case.facts.iter().enumerate() {
        let (event, key) = match fact {
            Fact::Called { event, key, .. } => (*event, Some(key.as_ref())),
            Fact::Found { event, .. } => (*event, None),
            _ => continue,
        };
        let anomaly = origin(case, at, event).or_else(|| changed(case, at, event, key?));
        found.extend(anomaly.filter(|anomaly| accused.insert((anomaly.kind, event))));
    }
    found.extend(uninvited(case));
    found
}

/// Each position has one event, and each event one position.
fn places(case: &Case<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut events: BTreeMap<Position, (u64, usize)> = BTreeMap::new();
    let mut positions: BTreeMap<u64, (Position, usize)> = BTreeMap::new();
    for (at, fact) in case.facts.iter().enumerate() {
        let (event, position) = match fact {
            Fact::Acknowledged { event, position }
            | Fact::Found { event, position }
            | Fact::Called { event, position, .. } => (*event, *position),
            fact if case.promises.forgets(fact) => {
                events.clear();
                positions.clear();
                continue;
            }
            _ => continue,
        };
        let (other, before) = *events.entry(position).or_insert((event, at));
        if other != event {
            let why = format!("position {position} is of event {other}, and then of event {event}");
            found.push(case.anomaly(AnomalyKind::TwoEventsAtOnePosition, &[before, at], why));
        }
        let (other, before) = *positions.entry(event).or_insert((position, at));
        if other != position {
            let why = format!("event {event} is at position {other}, and then at {position}");
            found.push(case.anomaly(AnomalyKind::TwoPositionsOfOneEvent, &[before, at], why));
        }
    }
    found
}

fn origin(case: &Case<'_>, at: usize, event: u64) -> Option<Anomaly> {
    let publish = case.publishes.get(&event);
    let Some(publish) = publish.filter(|publish| publish.begun.first().is_some_and(|b| *b < at))
    else {
        let why = format!("event {event} is there, and nobody had begun to publish it");
        return Some(case.anomaly(AnomalyKind::Phantom, &[at], why));
    };
    if !publish.is_refused() {
        return None;
    }
    let why = format!("event {event} is there, though its publisher was told that it is not");
    let facts = [publish.begun[0], publish.refused[0], at];
    Some(case.anomaly(AnomalyKind::AbortedRead, &facts, why))
}

fn changed(case: &Case<'_>, at: usize, event: u64, key: Option<&Key>) -> Option<Anomaly> {
    let publish = case.publishes.get(&event)?;
    if publish.key.as_ref() == key {
        return None;
    }
    let why = format!("event {event} was published with the key {:?} and has {key:?}", publish.key);
    Some(case.anomaly(AnomalyKind::OtherKey, &[publish.begun[0], at], why))
}

/// A subscription gets the events that it has asked for.
fn uninvited(case: &Case<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    for (subscription, view) in &case.subscriptions {
        let mut wanted = None;
        for (at, fact) in case.of(view) {
            match fact {
                Fact::Started { events, .. } => wanted = Some((events, at)),
                Fact::Called { event, .. } => {
                    let name = case.publishes.get(event).and_then(|publish| publish.name.as_ref());
                    let (Some((events, start)), Some(name)) = (wanted, name) else { continue };
                    if !events.contains(name) {
                        let why = format!("{subscription} got event {event}, of the name {name}");
                        found.push(case.anomaly(AnomalyKind::Uninvited, &[start, at], why));
                    }
                }
                _ => {}
            }
        }
    }
    found
}
