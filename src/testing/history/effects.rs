//! What is to happen once for an event happens once: what commits with the acknowledgement, and what is
//! done outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Anomaly, AnomalyKind, Ending, Fact,
    case::{Case, View},
};

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    if !case.promises.has_effects_once {
        return Vec::new();
    }
    let of = |view| [committed(case, view), outside(case, view)].concat();
    case.subscriptions.values().flat_map(of).collect()
}

/// What a subscription has handled, and the effects that were seen.
#[derive(Default)]
struct Seen {
    handled: BTreeMap<u64, usize>,
    effects: BTreeMap<u64, usize>,
    dead: BTreeMap<u64, usize>,
}

fn committed(case: &Case<'_>, view: &View) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut seen = Seen::default();
    for (at, fact) in case.of(view) {
        match fact {
            fact if case.promises.forgets(fact) => seen = Seen::default(),
            Fact::Returned { event, ending: Ending::Handled, .. } => {
                seen.handled.insert(*event, at);
                seen.dead.remove(event);
            }
            Fact::Dead { event, .. } => {
                seen.dead.insert(*event, at);
            }
            Fact::Committed { event, .. } => found.extend(seen.effect(case, *event, at)),
            Fact::Audited { .. } => found.extend(seen.audit(case, view, at)),
            _ => {}
        }
    }
    found
}

impl Seen {
    fn effect(&mut self, case: &Case<'_>, event: u64, at: usize) -> Option<Anomaly> {
        if let Some(first) = self.effects.insert(event, at) {
            let why = format!("event {event} had its effect twice");
            return Some(case.anomaly(AnomalyKind::EffectTwice, &[first, at], why));
        }
        if self.handled.contains_key(&event) {
            return None;
        }
        let why = format!("event {event} had its effect, and no attempt at it succeeded");
        Some(case.anomaly(AnomalyKind::EffectOfFailure, &[at], why))
    }

    fn audit(&self, case: &Case<'_>, view: &View, at: usize) -> Vec<Anomaly> {
        let mut found = Vec::new();
        for (event, dead) in &self.dead {
            if let Some(effect) = self.effects.get(event) {
                let why = format!("event {event} is a dead letter, and had its effect");
                found.push(case.anomaly(AnomalyKind::HandledAndDead, &[*dead, *effect], why));
            }
        }
        for (event, handled) in &self.handled {
            if !self.effects.contains_key(event) && !view.set_aside.contains(event) {
                let why = format!("event {event} was handled, and its effect is not there");
                found.push(case.anomaly(AnomalyKind::EffectMissing, &[*handled, at], why));
            }
        }
        found
    }
}

/// The effects of an event outside, each by its step.
type Step<'a> = (u64, &'a Arc<str>);

/// An effect outside is repeated only where it could not be put on record: because the process ended
/// before, or storage failed.
fn outside(case: &Case<'_>, view: &View) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut kept: BTreeMap<Step<'_>, usize> = BTreeMap::new();
    let mut unsure: BTreeMap<Step<'_>, usize> = BTreeMap::new();
    let mut excused: BTreeSet<Step<'_>> = BTreeSet::new();
    for (at, fact) in case.of(view) {
        match fact {
            fact if case.promises.forgets(fact) => kept.clear(),
            Fact::Effect { event, step, .. } => {
                let step = (*event, step);
                let first = kept.get(&step).or_else(|| unsure.get(&step)).copied();
                if let Some(first) = first.filter(|_| !excused.contains(&step)) {
                    let why = format!("`{}` was done twice for event {event}", step.1);
                    found.push(case.anomaly(AnomalyKind::EffectTwice, &[first, at], why));
                }
                excused.remove(&step);
                unsure.insert(step, at);
            }
            Fact::EffectKept { event, step, kept: true, .. } => {
                kept.insert((*event, step), at);
                unsure.remove(&(*event, step));
            }
            Fact::EffectKept { event, step, kept: false, .. } => {
                excused.insert((*event, step));
            }
            _ => {}
        }
        if matches!(fact, Fact::Began | Fact::Ended { .. }) {
            unsure.clear();
        }
    }
    found
}
