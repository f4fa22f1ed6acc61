//! Attempts at an event follow one another, and so do those at the events of a key.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Anomaly, AnomalyKind, End, Ending, Fact,
    case::{Case, View},
};
use crate::event::Key;

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    case.subscriptions.iter().flat_map(|(name, view)| of_subscription(case, name, view)).collect()
}

/// The attempts in the process that runs, and in those before it that shut down.
#[derive(Default)]
struct Attempts<'a> {
    /// The number of the last one, and the call.
    last: BTreeMap<u64, (u32, usize)>,
    open: BTreeMap<u64, (usize, Option<&'a Key>)>,
    /// The process has shut down.
    is_over: bool,
}

fn of_subscription(case: &Case<'_>, subscription: &str, view: &View) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let has_probes = case.promises.has_probes(subscription);
    let mut attempts = Attempts::default();
    for (at, fact) in case.of(view) {
        match fact {
            Fact::Ended { how: End::Clean } => attempts.shut_down(&view.set_aside),
            Fact::Began if attempts.is_over => attempts.is_over = false,
            fact if fact.interrupts() => attempts = Attempts::default(),
            Fact::Called { event, key, attempt, .. } => {
                found.extend(attempts.overlap(case, at, *event, key.as_ref()));
                let went_back = attempts.count(case, at, *event, *attempt, has_probes);
                found.extend(went_back);
            }
            Fact::Returned { event, ending, .. } => {
                attempts.open.remove(event);
                if *ending == Ending::Handled {
                    attempts.last.remove(event); // another call is another anomaly
                }
            }
            _ => {}
        }
    }
    found
}

impl<'a> Attempts<'a> {
    /// What was counted is known to the next process. What was under way was not, and what fails of a
    /// dead letter is once it dies again.
    fn shut_down(&mut self, set_aside: &BTreeSet<u64>) {
        let Self { last, open, .. } = std::mem::take(self);
        let is_counted = |event: &u64| !open.contains_key(event) && !set_aside.contains(event);
        self.last = last.into_iter().filter(|(event, _)| is_counted(event)).collect();
        self.is_over = true;
    }

    fn overlap(
        &mut self,
        case: &Case<'_>,
        at: usize,
        event: u64,
        key: Option<&'a Key>,
    ) -> Option<Anomaly> {
        let mut others = self.open.iter();
        let other = others
            .find(|(other, (_, theirs))| **other == event || (key.is_some() && *theirs == key))
            .map(|(other, (since, _))| (*other, *since));
        self.open.insert(event, (at, key));
        let (other, since) = other?;
        let why =
            format!("event {event} was given out while event {other} was still being handled");
        Some(case.anomaly(AnomalyKind::Overlap, &[since, at], why))
    }

    fn count(
        &mut self,
        case: &Case<'_>,
        at: usize,
        event: u64,
        attempt: u32,
        has_probes: bool,
    ) -> Option<Anomaly> {
        let (before, since) = self.last.insert(event, (attempt, at))?;
        if attempt > before || (has_probes && attempt == before) {
            return None;
        }
        let why = format!("attempt {attempt} at event {event} came after attempt {before}");
        Some(case.anomaly(AnomalyKind::AttemptWentBack, &[since, at], why))
    }
}
