//! A saga as a graph of its states, to be drawn: Mermaid, DOT, JSON.

mod dot;
mod mermaid;

use serde::Serialize;

use super::definition::{Declared, Define, Reaction, Saga};

/// A saga as a graph of its states: see [`Saga::graph`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SagaGraph {
    /// The saga's name.
    pub saga: String,
    /// The version of its states.
    pub version: u32,
    /// Its states, in the order of the enum.
    pub states: Vec<GraphState>,
    /// What leads from one to the other, as declared.
    pub transitions: Vec<GraphTransition>,
}

/// A state of a [`SagaGraph`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GraphState {
    /// Its name.
    pub name: String,
    /// Whether the saga is over in it.
    pub is_terminal: bool,
    /// The events that it keeps for a later state.
    pub defers: Vec<String>,
    /// The events that mean nothing in it.
    pub ignores: Vec<String>,
    /// The events that must not come in it.
    pub rejects: Vec<String>,
}

/// What leads from one state to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GraphTransition {
    /// The state that it leads from; `None` where it begins an instance.
    pub from: Option<String>,
    /// The state that it leads to.
    pub to: String,
    /// The event or the timer.
    pub trigger: String,
    /// What kind of transition it is.
    pub kind: TransitionKind,
    /// The timers that it may set.
    pub sets: Vec<String>,
    /// Whether it may be the point of no return.
    pub pivots: bool,
}

/// What kind of transition one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransitionKind {
    /// An event leads there.
    Event,
    /// A timer leads there.
    Timer,
    /// It leads there once everything is undone.
    Compensation,
}

/// The graph of what is declared.
pub(super) fn of<S: Saga>(define: &Define<S>) -> SagaGraph {
    let states = S::STATES.iter().map(|info| {
        let of_kind = |wanted: fn(&Reaction<S>) -> bool| -> Vec<String> {
            let Some(state) = define.states.get(info.name) else { return Vec::new() };
            let found = state.events.iter().filter(|(_, reaction)| wanted(reaction));
            found.map(|(event, _)| (*event).to_owned()).collect()
        };
        GraphState {
            name: info.name.to_owned(),
            is_terminal: info.is_terminal,
            defers: of_kind(|reaction| matches!(reaction, Reaction::Defer)),
            ignores: of_kind(|reaction| matches!(reaction, Reaction::Ignore)),
            rejects: of_kind(|reaction| matches!(reaction, Reaction::Reject)),
        }
    });
    SagaGraph {
        saga: S::NAME.to_owned(),
        version: S::VERSION,
        states: states.collect(),
        transitions: transitions(define),
    }
}

fn transitions<S: Saga>(define: &Define<S>) -> Vec<GraphTransition> {
    let mut all = Vec::new();
    for (event, start) in &define.starts {
        all.extend(edges(None, event, TransitionKind::Event, &start.declared));
    }
    for info in S::STATES {
        let Some(state) = define.states.get(info.name) else { continue };
        let events = state.events.iter().map(|it| (it, TransitionKind::Event));
        let timers = state.timers.iter().map(|it| (it, TransitionKind::Timer));
        for ((trigger, reaction), kind) in events.chain(timers) {
            if let Reaction::Handle { declared, .. } = reaction {
                all.extend(edges(Some(info.name), trigger, kind, declared));
            }
        }
    }
    all
}

/// One transition for each state that is declared; without any, back to where it comes from.
fn edges(
    from: Option<&str>,
    trigger: &str,
    kind: TransitionKind,
    declared: &Declared,
) -> Vec<GraphTransition> {
    let edge = |to: &str, kind| GraphTransition {
        from: from.map(str::to_owned),
        to: to.to_owned(),
        trigger: trigger.to_owned(),
        kind,
        sets: declared.sets.iter().map(|timer| (*timer).to_owned()).collect(),
        pivots: declared.pivots,
    };
    let forward = declared.targets.iter().map(|to| edge(to, kind));
    let undoing = declared.compensates_to.iter().map(|to| {
        let mut undoing = edge(to, TransitionKind::Compensation);
        if kind == TransitionKind::Timer {
            undoing.trigger = format!("timer {trigger}");
        }
        undoing
    });
    let all: Vec<_> = forward.chain(undoing).collect();
    match from {
        Some(from) if all.is_empty() => vec![edge(from, kind)],
        _ => all,
    }
}

impl SagaGraph {
    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The number of a state, of which drawings make its id.
    fn number(&self, state: &str) -> usize {
        self.states.iter().position(|other| other.name == state).unwrap_or(self.states.len())
    }
}

impl GraphTransition {
    fn label(&self) -> String {
        let mut label = match (self.kind, &self.from) {
            (TransitionKind::Timer, _) => format!("timer {}", self.trigger),
            (TransitionKind::Compensation, _) => format!("{}, all undone", self.trigger),
            (TransitionKind::Event, _) => self.trigger.clone(),
        };
        if self.pivots {
            label.push_str(", no return");
        }
        label
    }
}
