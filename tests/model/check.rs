//! The promises, checked on a history.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    flow::{ATTEMPTS, SUBSCRIPTIONS},
    history::{Ending, Fact, History},
};

/// What is known of all published events.
#[derive(Default)]
struct Published {
    /// Key by event.
    attempted: BTreeMap<u64, u64>,
    /// Position by event.
    acknowledged: BTreeMap<u64, u64>,
}

/// Says which promise is broken.
pub(crate) fn promises(history: &History) -> Result<(), String> {
    let facts = history.facts();
    let published = published(&facts);
    nothing_is_invented(&facts, &published)?;
    nothing_is_lost(&facts, &published)?;
    keys_keep_their_order(&facts)?;
    effects_happen_once(&facts)
}

fn published(facts: &[Fact]) -> Published {
    let mut published = Published::default();
    for fact in facts {
        match *fact {
            Fact::Acknowledged { event, key, position } => {
                published.attempted.insert(event, key);
                published.acknowledged.insert(event, position);
            }
            Fact::Unknown { event, key } => {
                published.attempted.insert(event, key);
            }
            _ => {}
        }
    }
    published
}

/// What is delivered was published, unchanged, and is where its acknowledgement says. A position
/// never names two events.
fn nothing_is_invented(facts: &[Fact], published: &Published) -> Result<(), String> {
    let mut at: BTreeMap<u64, (bool, u64)> = BTreeMap::new();
    for fact in facts {
        let Fact::Called { by, event, key, position, .. } = fact else { continue };
        // A handler may be called before the publish is answered, so look at the whole history.
        if published.attempted.get(event) != Some(key) {
            return Err(format!("{by} got event {event} of key {key}, never published so"));
        }
        let second_hand = *by == "second-hand";
        if !second_hand && published.acknowledged.get(event).is_some_and(|at| at != position) {
            return Err(format!("event {event} came at position {position}"));
        }
        if at
            .insert(*position, (second_hand, *event))
            .is_some_and(|old| old != (second_hand, *event))
        {
            return Err(format!("position {position} has named two events"));
        }
    }
    Ok(())
}

/// Every acknowledged event was handled by every subscription, or is among its dead letters.
fn nothing_is_lost(facts: &[Fact], published: &Published) -> Result<(), String> {
    for by in SUBSCRIPTIONS {
        let owed: BTreeSet<u64> = match by {
            "second-hand" => counted(facts).map(|(source, ..)| source).collect(),
            _ => published.acknowledged.keys().copied().collect(),
        };
        let settled: BTreeSet<u64> = facts.iter().filter_map(|fact| settled(fact, by)).collect();
        if let Some(lost) = owed.difference(&settled).next() {
            return Err(format!("{by} never settled event {lost}"));
        }
    }
    Ok(())
}

fn settled(fact: &Fact, subscription: &str) -> Option<u64> {
    match *fact {
        Fact::Returned { by, event, ending: Ending::Handled } if by == subscription => Some(event),
        Fact::Dead { by, event } | Fact::Discarded { by, event } if by == subscription => {
            Some(event)
        }
        _ => None,
    }
}

/// Between two starts, each subscription gets the events of a key in journal order, and the next one
/// only when it is done with the one before. Dead letters that are tried again come when they come.
fn keys_keep_their_order(facts: &[Fact]) -> Result<(), String> {
    let mut last: BTreeMap<(&str, u64), (u64, u32)> = BTreeMap::new();
    let mut dead = BTreeSet::new();
    for fact in facts {
        match *fact {
            Fact::Began { .. } => last.clear(),
            Fact::Stopped { by } => last.retain(|(other, _), _| *other != by),
            Fact::Returned { by, event, ending: Ending::Rejected } => {
                dead.insert((by, event));
            }
            Fact::Called { by, event, attempt, .. } if attempt > ATTEMPTS => {
                dead.insert((by, event));
            }
            Fact::Called { by, event, .. } if dead.contains(&(by, event)) => {}
            Fact::Called { by, event, key, position, attempt } if key > 0 => {
                let before = last.insert((by, key), (position, attempt));
                if before.is_some_and(|before| before >= (position, attempt)) {
                    return Err(format!("{by} got event {event} of key {key} out of order"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn counted(facts: &[Fact]) -> impl Iterator<Item = (u64, u64, u64)> {
    facts.iter().filter_map(|fact| match *fact {
        Fact::Counted { source, key, count } => Some((source, key, count)),
        _ => None,
    })
}

/// What a handler publishes and stores happens exactly once for each event that it handled, and not
/// at all for those it did not: counts of a key are 0, 1, 2, ... without gap or repetition.
fn effects_happen_once(facts: &[Fact]) -> Result<(), String> {
    let mut sources = BTreeSet::new();
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    for (source, key, count) in counted(facts) {
        if !sources.insert(source) {
            return Err(format!("event {source} had its effect twice"));
        }
        let expected = next.entry(key).or_default();
        if count != *expected {
            return Err(format!("key {key} counted {count} instead of {expected}"));
        }
        *expected += 1;
    }
    let dead: BTreeSet<u64> = facts
        .iter()
        .filter_map(|fact| match *fact {
            Fact::Dead { by: "counting", event } => Some(event),
            _ => None,
        })
        .collect();
    match dead.intersection(&sources).next() {
        Some(both) => Err(format!("event {both} is a dead letter and had its effect")),
        None => Ok(()),
    }
}
