//! Where dead letters hold their keys, nothing of a key is handled before they are settled.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Anomaly, AnomalyKind, Ending, Fact,
    case::{Case, View},
};
use crate::{event::Key, message::Position};

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    let subscriptions = case.subscriptions.iter();
    let holding = subscriptions.filter(|(name, _)| case.promises.has_held_keys(name));
    holding.flat_map(|(name, view)| of_subscription(case, name, view)).collect()
}

/// The dead letters of a subscription, by what its handlers said.
struct Letters<'a> {
    /// The last calls.
    calls: BTreeMap<u64, (&'a Key, Position, u32)>,
    /// The letters of each key, with the facts that made them.
    holding: BTreeMap<&'a Key, BTreeMap<Position, (u64, usize)>>,
    /// Events that hold nothing.
    released: BTreeSet<u64>,
}

fn of_subscription(case: &Case<'_>, name: &str, view: &View) -> Vec<Anomaly> {
    let mut found = Vec::new();
    // One that may have been passed over as a copy, which nobody saw, holds nothing.
    let is_known = |event| case.promises.is_idempotent(name) && case.has_copies(event);
    let mut letters = Letters::new(case, view);
    for (at, fact) in case.of(view) {
        match fact {
            fact if case.promises.forgets(fact) => letters = Letters::new(case, view),
            Fact::Called { event, key: Some(key), position, attempt, .. } => {
                letters.calls.insert(*event, (key, *position, *attempt));
                found.extend(letters.overtaken(case, key, *position, at));
            }
            Fact::Returned { event, .. } if is_known(*event) => {}
            Fact::Returned { event, ending, .. } => letters.end(case, *event, *ending, at),
            Fact::Discarded { event, .. } => {
                letters.release(*event);
                letters.released.insert(*event);
            }
            _ => {}
        }
    }
    found
}

impl<'a> Letters<'a> {
    /// When an event was passed over, or given up without certainty, only the end may tell.
    fn new(case: &Case<'a>, view: &View) -> Self {
        let released = case.of(view).filter_map(|(_, fact)| match fact {
            Fact::Skipped { event, .. } | Fact::Discarded { event, certain: false, .. } => {
                Some(*event)
            }
            _ => None,
        });
        let released = released.collect();
        Self { calls: BTreeMap::new(), holding: BTreeMap::new(), released }
    }

    fn end(&mut self, case: &Case<'_>, event: u64, ending: Ending, at: usize) {
        let Some(&(key, position, attempt)) = self.calls.get(&event) else { return };
        match ending {
            Ending::Handled => return self.release(event),
            Ending::Failed | Ending::Panicked if !case.promises.is_last(attempt) => return,
            _ => {}
        }
        if !self.released.contains(&event) {
            self.holding.entry(key).or_default().insert(position, (event, at));
        }
    }

    fn release(&mut self, event: u64) {
        if let Some((key, position, _)) = self.calls.get(&event)
            && let Some(letters) = self.holding.get_mut(key)
        {
            letters.remove(position);
        }
    }

    fn overtaken(
        &self,
        case: &Case<'_>,
        key: &Key,
        position: Position,
        at: usize,
    ) -> Option<Anomaly> {
        let (before, (letter, died)) = self.holding.get(key)?.first_key_value()?;
        if *before >= position {
            return None;
        }
        let why = format!(
            "the event at {position} came though event {letter} of its key {key}, at {before}, is a \
             dead letter that was neither handled nor given up"
        );
        Some(case.anomaly(AnomalyKind::LetterOvertaken, &[*died, at], why))
    }
}
