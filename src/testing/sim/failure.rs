//! A run that failed: its seed, the faults that it takes, and its story.

use std::{collections::BTreeSet, fmt};

use super::{
    Run,
    attempt::{Attempt, Outcome},
    fault::Fault,
    rerun,
};

/// The most runs that are made to find out which faults are needed.
const MOST_ATTEMPTS: usize = 300;

/// A run that failed, with what it takes to understand it. Printed, it is the whole story.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// What the flow said, in the run with the fewest faults.
    pub message: String,
    /// The faults that it takes, each with its kind and the number of its moment. Without any of them
    /// the flow succeeds.
    pub faults: Vec<String>,
    /// How many faults there were when it failed first.
    pub found: usize,
    /// What happened, one line each: virtual time, `!` before what went wrong, `|` before what the flow
    /// notes.
    pub story: String,
    /// What is typed to run it again.
    pub rerun: String,
}

impl Failure {
    /// Makes the least of a run that failed.
    pub(super) fn of(attempt: &Attempt, outcome: &Outcome, flow: &dyn Fn(&Run)) -> Self {
        let mut needed = needed(attempt, &outcome.struck, flow);
        if needed.len() > 1 {
            needed = one_alone(attempt, &needed, flow).unwrap_or(needed);
        }
        let last = attempt.clone().given(needed).told().quiet().run(flow);
        Self {
            seed: attempt.seed,
            message: last.error.unwrap_or_else(|| {
                "it failed once and succeeded with the same faults: the flow is not deterministic".into()
            }),
            rerun: rerun::command(attempt.seed, &last.struck),
            faults: last.struck.iter().map(|fault| format!("{} ({fault})", fault.kind)).collect(),
            found: outcome.struck.len(),
            story: last.story.unwrap_or_default(),
        }
    }
}

/// The fewest faults with which the run still fails, as far as taking them away shows: large parts of
/// them first, then one by one
/// ([Zeller and Hildebrandt, 2002](https://doi.org/10.1109/32.988498)).
fn needed(attempt: &Attempt, struck: &[Fault], flow: &dyn Fn(&Run)) -> BTreeSet<Fault> {
    let mut left = MOST_ATTEMPTS;
    let mut needed = struck.to_vec();
    let mut size = needed.len();
    while size > 0 && left > 0 {
        let mut from = 0;
        let before = needed.len();
        while from < needed.len() && left > 0 {
            let rest = without(&needed, from, size);
            left -= 1;
            match attempt.clone().given(rest).quiet().run(flow) {
                Outcome { error: Some(_), struck, .. } => needed = struck,
                _ => from += size,
            }
        }
        // The last faults are taken away one by one until none of them goes.
        size = if size == 1 && needed.len() < before { 1 } else { size / 2 };
    }
    needed.into_iter().collect()
}

/// One fault with which the run fails by itself, if there is any among the kinds of those that are needed:
/// where a fault strikes changes as those before it go, so that taking them away does not find it.
fn one_alone(
    attempt: &Attempt,
    needed: &BTreeSet<Fault>,
    flow: &dyn Fn(&Run),
) -> Option<BTreeSet<Fault>> {
    let calm = attempt.clone().given([]).quiet().run(flow);
    let kinds: BTreeSet<_> = needed.iter().map(|fault| fault.kind).collect();
    let faults = kinds.into_iter().flat_map(|kind| {
        let moments = calm.moments[kind.place() as usize];
        (0..moments).map(move |at| Fault { kind, at })
    });
    let fails = |fault: &Fault| attempt.clone().given([*fault]).quiet().run(flow).error.is_some();
    let fault = faults.take(MOST_ATTEMPTS).find(fails)?;
    Some(BTreeSet::from([fault]))
}

fn without(faults: &[Fault], from: usize, size: usize) -> Vec<Fault> {
    let is_left = |at: &usize| !(from..from.saturating_add(size)).contains(at);
    faults.iter().enumerate().filter(|(at, _)| is_left(at)).map(|(_, fault)| *fault).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}\n", self.seed, self.message)?;
        match (self.faults.len(), self.found) {
            (0, 0) => writeln!(f, "It takes no fault.")?,
            (0, found) => writeln!(f, "It takes no fault; the first run had {found}.")?,
            (_, found) => {
                writeln!(f, "What it takes, of {found} faults in the first run:")?;
                self.faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))?;
            }
        }
        write!(f, "\nWhat happened:\n{}\nRun it again:\n  {}\n", self.story, self.rerun)
    }
}
