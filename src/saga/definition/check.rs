//! What is wrong with a saga that can be seen without running it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Declared, Define, Missing, Reaction, Saga};
use crate::saga::state::{active, is_terminal};

/// A saga is not sound as it is defined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the saga `{saga}` is not sound:{}", list(flaws))]
#[non_exhaustive]
pub struct DefinitionError {
    /// The saga.
    pub saga: &'static str,
    /// All that is wrong with it.
    pub flaws: Vec<Flaw>,
}

fn list(flaws: &[Flaw]) -> String {
    let lines: Vec<_> = flaws.iter().map(|flaw| format!("\n  - {flaw}")).collect();
    lines.concat()
}

/// Something that is wrong with the definition of a saga.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// No event begins it.
    #[error("no event begins it; say which one with `start`")]
    NoStart,
    /// An event has two starts.
    #[error("`{event}` begins it in two ways")]
    StartsTwice {
        /// The event.
        event: &'static str,
    },
    /// A start leads nowhere.
    #[error("`{event}` begins it in no state; declare one with `to`")]
    StartsNowhere {
        /// The event.
        event: &'static str,
    },
    /// A state does not say what it does with an event.
    #[error(
        "the state `{state}` does not say what it does with `{event}`: `on`, `ignore`, `defer` or \
         `reject` it, or say so for all states with `event` and `elsewhere`"
    )]
    Undeclared {
        /// The state.
        state: &'static str,
        /// The event.
        event: &'static str,
    },
    /// A state says two things about an event.
    #[error("the state `{state}` says twice what it does with `{event}`")]
    EventTwice {
        /// The state.
        state: &'static str,
        /// The event.
        event: &'static str,
    },
    /// A state has two handlers for a timer.
    #[error("the state `{state}` says twice what it does with the timer `{timer}`")]
    TimerTwice {
        /// The state.
        state: &'static str,
        /// The timer.
        timer: &'static str,
    },
    /// A state in which the saga is over handles something.
    #[error("the saga is over in `{state}`, so that it handles nothing there; see `late`")]
    HandlesAtEnd {
        /// The state.
        state: &'static str,
    },
    /// An event waits for a start that waits behind it.
    #[error(
        "`{event}` is to be tried again until its instance is there, and the event that begins it waits \
         behind it, since both have its key; park it, or find the instance `by` another key"
    )]
    RetryHoldsUpStart {
        /// The event.
        event: &'static str,
    },
    /// No transition leads to a state.
    #[error("no transition leads to the state `{state}`")]
    Unreachable {
        /// The state.
        state: &'static str,
    },
    /// The saga cannot end from a state.
    #[error("from the state `{state}` no transition leads to an end")]
    NoWayToEnd {
        /// The state.
        state: &'static str,
    },
    /// A timer goes off, and no state that it may find takes it.
    #[error("the timer `{timer}` is set, and no state that follows has an `on_timer` for it")]
    TimerWithoutHandler {
        /// The timer.
        timer: &'static str,
    },
    /// A handler waits for a timer that nobody sets.
    #[error("the state `{state}` waits for the timer `{timer}`, which no transition `sets`")]
    TimerNeverSet {
        /// The state.
        state: &'static str,
        /// The timer.
        timer: &'static str,
    },
    /// A step of a linear saga does not say when it is done.
    #[error("the step `{step}` does not say when it is done; see `done_by`")]
    StepNeverDone {
        /// The step.
        step: &'static str,
    },
    /// Two steps have one name.
    #[error("there are two steps named `{step}`")]
    StepTwice {
        /// The step.
        step: &'static str,
    },
    /// There is nothing that could be undone.
    #[error("it compensates, and no `compensation` is declared")]
    NothingToCompensate,
    /// What is to be undone never is.
    #[error("the compensation `{event}` is declared, and no transition `compensates_to` a state")]
    NeverCompensates {
        /// The event.
        event: &'static str,
    },
    /// Compensation leads to a state in which the saga goes on.
    #[error("it compensates to `{state}`, in which it is not over")]
    CompensatesToActive {
        /// The state.
        state: &'static str,
    },
    /// After the point of no return something is to be undone.
    #[error("the state `{state}` compensates, and comes after a point of no return")]
    CompensatesAfterPivot {
        /// The state.
        state: &'static str,
    },
}

/// A transition, as far as it is declared.
struct Edge<'a> {
    /// `None` for one that begins an instance.
    from: Option<&'static str>,
    declared: &'a Declared,
}

impl Edge<'_> {
    /// The states that it leads to.
    fn targets(&self) -> impl Iterator<Item = &'static str> {
        self.forward().chain(self.declared.compensates_to.iter().copied())
    }

    /// Those to which it leads without undoing anything: where none is declared, the one that it comes
    /// from.
    fn forward(&self) -> impl Iterator<Item = &'static str> {
        let stays = self.declared.targets.is_empty().then_some(self.from).flatten();
        self.declared.targets.iter().copied().chain(stays)
    }
}

impl<S: Saga> Define<S> {
    /// Whatever is wrong with it, if anything is.
    pub(in crate::saga) fn check(&self) -> Result<(), DefinitionError> {
        let mut flaws = self.flaws.clone();
        self.check_starts(&mut flaws);
        self.check_pairs(&mut flaws);
        let edges = self.edges();
        check_paths::<S>(&edges, &mut flaws);
        self.check_timers(&edges, &mut flaws);
        self.check_compensations(&edges, &mut flaws);
        if flaws.is_empty() {
            return Ok(());
        }
        flaws.sort();
        flaws.dedup();
        Err(DefinitionError { saga: S::NAME, flaws })
    }

    fn edges(&self) -> Vec<Edge<'_>> {
        let starts = self.starts.values();
        let starts = starts.map(|start| Edge { from: None, declared: &start.declared });
        let of_states = self.states.iter().flat_map(|(state, kind)| {
            let reactions = kind.events.values().chain(kind.timers.values());
            reactions.filter_map(|reaction| match reaction {
                Reaction::Handle { declared, .. } => Some(Edge { from: Some(*state), declared }),
                Reaction::Ignore | Reaction::Defer | Reaction::Reject => None,
            })
        });
        starts.chain(of_states).collect()
    }

    fn check_starts(&self, flaws: &mut Vec<Flaw>) {
        if self.starts.is_empty() {
            flaws.push(Flaw::NoStart);
        }
        let nowhere = self.starts.iter().filter(|(_, start)| start.declared.targets.is_empty());
        flaws.extend(nowhere.map(|(event, _)| Flaw::StartsNowhere { event }));
        let retries = self.events.iter().filter(|(_, kind)| {
            kind.by.is_none() && kind.missing.unwrap_or(self.missing) == Missing::Retry
        });
        let begins_nothing = retries.filter(|(event, _)| !self.starts.contains_key(*event));
        flaws.extend(begins_nothing.map(|(event, _)| Flaw::RetryHoldsUpStart { event }));
    }

    /// Every state in which the saga goes on says what it does with every event.
    fn check_pairs(&self, flaws: &mut Vec<Flaw>) {
        for state in active::<S>() {
            let said = self.states.get(state);
            let unsaid = self.events.iter().filter(|(event, kind)| {
                let is_said = said.is_some_and(|state| state.events.contains_key(*event));
                !is_said && kind.elsewhere.is_none()
            });
            flaws.extend(unsaid.map(|(event, _)| Flaw::Undeclared { state, event }));
        }
        let over = self.states.keys().filter(|state| is_terminal::<S>(state));
        flaws.extend(over.map(|state| Flaw::HandlesAtEnd { state }));
    }

    fn check_timers(&self, edges: &[Edge<'_>], flaws: &mut Vec<Flaw>) {
        let mut handlers: BTreeMap<&'static str, BTreeSet<&'static str>> = BTreeMap::new();
        for (state, kind) in &self.states {
            for timer in kind.timers.keys() {
                handlers.entry(timer).or_default().insert(state);
            }
        }
        let mut set = BTreeSet::new();
        for edge in edges {
            for timer in &edge.declared.sets {
                set.insert(*timer);
                let found = following(edges, edge.targets().collect());
                let none = BTreeSet::new();
                if handlers.get(timer).unwrap_or(&none).is_disjoint(&found) {
                    flaws.push(Flaw::TimerWithoutHandler { timer });
                }
            }
        }
        for (timer, states) in handlers.into_iter().filter(|(timer, _)| !set.contains(timer)) {
            flaws.extend(states.into_iter().map(|state| Flaw::TimerNeverSet { state, timer }));
        }
    }

    fn check_compensations(&self, edges: &[Edge<'_>], flaws: &mut Vec<Flaw>) {
        let to: BTreeSet<_> = edges.iter().flat_map(|edge| &edge.declared.compensates_to).collect();
        let active = to.iter().filter(|state| !is_terminal::<S>(state));
        flaws.extend(active.map(|state| Flaw::CompensatesToActive { state }));
        match (to.is_empty(), self.compensations.is_empty()) {
            _ if self.is_linear => {}
            (false, true) => flaws.push(Flaw::NothingToCompensate),
            (true, false) => {
                let never = self.compensations.keys();
                flaws.extend(never.map(|event| Flaw::NeverCompensates { event }));
            }
            _ => {}
        }
        if self.is_linear {
            return;
        }
        let pivots = edges.iter().filter(|edge| edge.declared.pivots);
        let after = following(edges, pivots.flat_map(Edge::forward).collect());
        let undoes = |edge: &&Edge<'_>| !edge.declared.compensates_to.is_empty();
        let undoing = edges.iter().filter(undoes).filter_map(|edge| edge.from);
        let too_late = undoing.filter(|state| after.contains(state));
        flaws.extend(too_late.map(|state| Flaw::CompensatesAfterPivot { state }));
    }
}

fn check_paths<S: Saga>(edges: &[Edge<'_>], flaws: &mut Vec<Flaw>) {
    let begins = edges.iter().filter(|edge| edge.from.is_none()).flat_map(Edge::targets);
    let reached = following(edges, begins.collect());
    let unreachable = S::STATES.iter().filter(|state| !reached.contains(state.name));
    flaws.extend(unreachable.map(|state| Flaw::Unreachable { state: state.name }));
    for state in active::<S>() {
        let ends = following(edges, [state].into()).into_iter().any(is_terminal::<S>);
        if !ends {
            flaws.push(Flaw::NoWayToEnd { state });
        }
    }
}

/// Those states, and all to which transitions lead from them.
fn following(edges: &[Edge<'_>], mut found: BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    loop {
        let before = found.len();
        let from_here = |edge: &&Edge<'_>| edge.from.is_some_and(|from| found.contains(from));
        let next: Vec<_> = edges.iter().filter(from_here).flat_map(Edge::targets).collect();
        found.extend(next);
        if found.len() == before {
            return found;
        }
    }
}
