//! The events of a key reach a subscription one at a time, in the order of the journal.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Anomaly, AnomalyKind, Ending, Fact,
    case::{Case, View},
};
use crate::{event::Key, message::Position};

/// The last call for a key.
#[derive(Clone, Copy)]
struct Last {
    event: u64,
    position: Position,
    attempt: u32,
    at: usize,
    is_done: bool,
}

/// What a subscription has come to, key by key.
#[derive(Default)]
struct Keys<'a> {
    /// In the process that runs.
    last: BTreeMap<&'a Key, Last>,
    /// The highest ones that ever came.
    highest: BTreeMap<&'a Key, (Position, usize)>,
    /// Events that came before.
    came: BTreeSet<u64>,
    /// Dead letters, which are tried again when somebody says so.
    dead: BTreeSet<u64>,
}

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    if !case.promises.is_ordered {
        return Vec::new();
    }
    case.subscriptions.iter().flat_map(|(name, view)| of_subscription(case, name, view)).collect()
}

fn of_subscription(case: &Case<'_>, subscription: &str, view: &View) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut keys = Keys::default();
    // In a process that ended, it may have been passed over for a copy, and that was not committed.
    let is_idempotent = case.promises.is_idempotent(subscription);
    let is_known = |event| is_idempotent && case.has_copies(event);
    for (at, fact) in case.of(view) {
        if fact.interrupts() {
            keys.last.clear();
        }
        match fact {
            fact if case.promises.forgets(fact) => keys = Keys::default(),
            Fact::Called { event, key: Some(key), position, attempt, .. } => {
                if is_known(*event) {
                    keys.came.insert(*event);
                }
                let last = Last {
                    event: *event,
                    position: *position,
                    attempt: *attempt,
                    at,
                    is_done: false,
                };
                found.extend(keys.call(case, view, key, last));
            }
            Fact::Returned { event, ending, .. } => {
                keys.end(case, *event, *ending);
                if is_known(*event) && *ending == Ending::Handled {
                    keys.end_copies(case, *event);
                }
            }
            Fact::Dead { event, .. } | Fact::Revived { event, .. } => {
                keys.dead.insert(*event);
            }
            _ => {}
        }
    }
    found
}

impl<'a> Keys<'a> {
    fn call(&mut self, case: &Case<'_>, view: &View, key: &'a Key, now: Last) -> Option<Anomaly> {
        let Last { event, position, at, .. } = now;
        if self.dead.contains(&event) {
            return None;
        }
        let is_first = self.came.insert(event);
        let highest = self.highest.insert(key, (position, at));
        let before = self.last.insert(key, now);
        let (why, other) = if let Some(before) = before.filter(|before| position < before.position)
        {
            (format!("came after event {}, which is behind it", before.event), before.at)
        } else if let Some(before) = before.filter(|before| is_left(view, before, position)) {
            (format!("came though event {} before it was not settled", before.event), before.at)
        } else if let Some((top, other)) = highest.filter(|(top, _)| *top > position) {
            self.highest.insert(key, (top, other));
            if !is_first {
                return None;
            }
            (format!("came for the first time after position {top} had come"), other)
        } else {
            return None;
        };
        let why = format!("event {event} of key {key}, at {position}, {why}");
        Some(case.anomaly(AnomalyKind::OutOfOrder, &[other, at], why))
    }

    fn end(&mut self, case: &Case<'_>, event: u64, ending: Ending) {
        let last = self.last.values_mut().find(|last| last.event == event);
        let is_last = last.as_ref().is_some_and(|last| case.promises.is_last(last.attempt));
        let dies = match ending {
            Ending::Handled => false,
            Ending::Rejected => true,
            Ending::Failed | Ending::Panicked => is_last,
        };
        if let Some(last) = last {
            last.is_done = dies || ending == Ending::Handled;
        }
        if dies {
            self.dead.insert(event);
        }
    }

    /// An idempotent handler has handled one of several that stand for the same: whatever of them is
    /// still to be tried again is passed over instead.
    fn end_copies(&mut self, case: &Case<'_>, event: u64) {
        let thing = case.thing(event);
        let copies = self.last.values_mut().filter(|last| case.thing(last.event) == thing);
        copies.for_each(|last| last.is_done = true);
    }
}

/// Whether the last event was left before it was settled.
fn is_left(view: &View, before: &Last, position: Position) -> bool {
    position > before.position && !before.is_done && !view.set_aside.contains(&before.event)
}
