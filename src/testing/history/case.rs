//! A history under examination, with what all checks need to know of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Anomaly, AnomalyKind, Fact, Promises};
use crate::{event::Key, message::Position};

/// A history under examination.
pub(super) struct Case<'a> {
    pub(super) facts: &'a [Fact],
    pub(super) promises: &'a Promises,
    pub(super) publishes: BTreeMap<u64, Publish>,
    pub(super) subscriptions: BTreeMap<Arc<str>, View>,
}

/// All that is known of the publish of an event, tries under one idempotency key included.
#[derive(Default)]
pub(super) struct Publish {
    pub(super) begun: Vec<usize>,
    pub(super) name: Option<Arc<str>>,
    pub(super) key: Option<Key>,
    pub(super) copy_of: Option<u64>,
    /// Where, and the fact that says so. Nothing after a process has taken it with it.
    pub(super) acknowledged: Option<(Position, usize)>,
    pub(super) refused: Vec<usize>,
    pub(super) found: Option<(Position, usize)>,
}

/// What concerns one subscription: the numbers of its facts and of those about processes, in order.
#[derive(Default)]
pub(super) struct View {
    pub(super) facts: Vec<usize>,
    /// Events that were passed over, or are or were dead letters, at any time.
    pub(super) set_aside: BTreeSet<u64>,
}

impl<'a> Case<'a> {
    pub(super) fn new(facts: &'a [Fact], promises: &'a Promises) -> Self {
        let publishes = publishes(facts, promises);
        Self { facts, promises, publishes, subscriptions: subscriptions(facts) }
    }

    /// What an event and its copies stand for.
    pub(super) fn thing(&self, event: u64) -> u64 {
        self.publishes.get(&event).and_then(|publish| publish.copy_of).unwrap_or(event)
    }

    /// Whether there are other events that stand for the same.
    pub(super) fn has_copies(&self, event: u64) -> bool {
        let thing = self.thing(event);
        thing != event || self.publishes.values().any(|publish| publish.copy_of == Some(thing))
    }

    pub(super) fn anomaly(
        &self,
        kind: AnomalyKind,
        facts: &[usize],
        explanation: String,
    ) -> Anomaly {
        let facts = facts.iter().map(|&at| (at, self.facts[at].clone())).collect();
        Anomaly { kind, explanation, facts }
    }

    /// The facts of a subscription, and those about processes.
    pub(super) fn of<'v>(&self, view: &'v View) -> impl Iterator<Item = (usize, &'a Fact)> + 'v
    where
        'a: 'v,
    {
        let facts = self.facts;
        view.facts.iter().map(move |&at| (at, &facts[at]))
    }
}

impl Publish {
    /// Every try has failed for sure.
    pub(super) fn is_refused(&self) -> bool {
        !self.refused.is_empty() && self.refused.len() >= self.begun.len()
    }
}

fn publishes(facts: &[Fact], promises: &Promises) -> BTreeMap<u64, Publish> {
    let mut publishes: BTreeMap<u64, Publish> = BTreeMap::new();
    for (at, fact) in facts.iter().enumerate() {
        match fact {
            Fact::Publishing { event, name, key, copy_of, .. } => {
                let publish = publishes.entry(*event).or_default();
                publish.begun.push(at);
                publish.name = Some(Arc::clone(name));
                publish.key.clone_from(key);
                publish.copy_of = *copy_of;
            }
            Fact::Acknowledged { event, position } => {
                let publish = publishes.entry(*event).or_default();
                publish.acknowledged.get_or_insert((*position, at));
            }
            Fact::Refused { event } => publishes.entry(*event).or_default().refused.push(at),
            Fact::Found { event, position } => {
                let publish = publishes.entry(*event).or_default();
                publish.found.get_or_insert((*position, at));
            }
            fact if promises.forgets(fact) => {
                for publish in publishes.values_mut() {
                    publish.acknowledged = None;
                }
            }
            _ => {}
        }
    }
    publishes
}

fn subscriptions(facts: &[Fact]) -> BTreeMap<Arc<str>, View> {
    let mut views: BTreeMap<Arc<str>, View> = BTreeMap::new();
    for subscription in facts.iter().filter_map(Fact::subscription) {
        if !views.contains_key(subscription) {
            views.insert(Arc::clone(subscription), View::default());
        }
    }
    for (at, fact) in facts.iter().enumerate() {
        if matches!(fact, Fact::Began | Fact::Ended { .. }) {
            for view in views.values_mut() {
                view.facts.push(at);
            }
        }
        let view = fact.subscription().and_then(|subscription| views.get_mut(subscription));
        if let Some(view) = view {
            view.facts.push(at);
            view.set_aside.extend(set_aside(fact));
        }
    }
    views
}

fn set_aside(fact: &Fact) -> Option<u64> {
    match fact {
        Fact::Skipped { event, .. }
        | Fact::Dead { event, .. }
        | Fact::Revived { event, .. }
        | Fact::Discarded { event, .. } => Some(*event),
        _ => None,
    }
}
