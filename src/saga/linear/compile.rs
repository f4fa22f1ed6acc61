//! From steps to the machine that runs them, and to its drawing.

use std::{marker::PhantomData, sync::Arc};

use super::{
    InStep, Linear, LinearSaga, StepsDone, StepsUndone,
    steps::{Plan, Planned, Step, Steps},
};
use crate::{
    event::Event,
    saga::{
        definition::{Define, Elsewhere},
        graph::{GraphState, GraphTransition, SagaGraph, TransitionKind},
        turn::{Decision, Turn},
    },
};

pub(super) fn define<L: Linear>(saga: &mut Define<LinearSaga<L>>, steps: Steps<L>) {
    saga.flaws.extend(Plan::flaws(&steps));
    saga.is_linear = true;
    let (planned, declares): (Vec<_>, Vec<_>) = steps.all.into_iter().map(split).unzip();
    let timed: Vec<_> =
        planned.iter().filter(|step| step.within.is_some()).map(|step| step.name).collect();
    let plan = Arc::new(Plan { steps: planned });
    let first = Arc::clone(&plan);
    let mut start = saga
        .start(move |input: &L::Input, turn| {
            first.begin(0, input, turn).enter(InStep {
                input: input.clone(),
                at: 0,
                done: Vec::new(),
                of: PhantomData,
            })
        })
        .to::<InStep<L>>();
    for name in plan.steps.iter().filter(|step| step.place == 0 && step.within.is_some()) {
        start = start.sets(name.name);
    }
    for (number, name) in plan.steps.iter().map(|step| step.name).enumerate() {
        if timed.contains(&name) {
            on_late(saga, &plan, number);
        }
    }
    for (number, declares) in declares.into_iter().enumerate() {
        for declare in declares {
            declare(saga, &plan, number);
        }
    }
    saga.event::<L::Input>().elsewhere(Elsewhere::Ignore);
}

type Declares<L> = Vec<super::steps::Declare<L>>;

fn split<L: Linear>(step: Step<L>) -> (Planned<L>, Declares<L>) {
    let Step { name, place, sends, undo, within, pivots, declare, .. } = step;
    (Planned { name, place, sends, undo, within, pivots }, declare)
}

/// The answer by which a step is done.
pub(super) fn on_done<L: Linear, E: Event>(
    saga: &mut Define<LinearSaga<L>>,
    plan: &Arc<Plan<L>>,
    number: usize,
) {
    let (step, of) = (&plan.steps[number], Arc::clone(plan));
    let (place, pivots) = (step.place, step.pivots);
    let mut transition = saga
        .state::<InStep<L>>()
        .on(move |state: &InStep<L>, _: &E, turn| done(&of, number, state, turn))
        .to::<InStep<L>>();
    if plan.is_last(place) {
        transition = transition.to::<StepsDone>();
    }
    for step in plan.steps.iter().filter(|step| step.place == place + 1 && step.within.is_some()) {
        transition = transition.sets(step.name);
    }
    if pivots {
        transition.pivots();
    }
}

fn done<L: Linear>(
    plan: &Plan<L>,
    number: usize,
    state: &InStep<L>,
    mut turn: Turn<LinearSaga<L>>,
) -> Decision<LinearSaga<L>> {
    let step = &plan.steps[number];
    if state.at != step.place || state.done.iter().any(|done| done == step.name) {
        return turn.stay(); // an answer to a step that is over
    }
    if step.within.is_some() {
        turn = turn.clear(step.name);
    }
    if step.pivots {
        turn = turn.pivot();
    }
    let mut next = InStep {
        input: state.input.clone(),
        at: state.at,
        done: state.done.clone(),
        of: PhantomData,
    };
    next.done.push(step.name.to_owned());
    if !plan.is_done(&next) {
        return turn.enter(next);
    }
    if plan.is_last(state.at) {
        return turn.enter(StepsDone);
    }
    next.at += 1;
    next.done.clear();
    plan.begin(next.at, &next.input, turn).enter(next)
}

/// The answer by which a step has failed.
pub(super) fn on_failed<L: Linear, E: Event>(
    saga: &mut Define<LinearSaga<L>>,
    plan: &Arc<Plan<L>>,
    number: usize,
) {
    let of = Arc::clone(plan);
    saga.state::<InStep<L>>()
        .on(move |state: &InStep<L>, _: &E, turn| {
            let step = &of.steps[number];
            if state.at != step.place || state.done.iter().any(|done| done == step.name) {
                return turn.stay();
            }
            let undone = StepsUndone { step: step.name.to_owned() };
            turn.forget_compensation(step.name).compensate_then(undone)
        })
        .to::<InStep<L>>()
        .compensates_to::<StepsUndone>();
}

/// A step has taken too long.
fn on_late<L: Linear>(saga: &mut Define<LinearSaga<L>>, plan: &Arc<Plan<L>>, number: usize) {
    let name = plan.steps[number].name;
    saga.state::<InStep<L>>()
        .on_timer(name, move |_, turn| turn.compensate_then(StepsUndone { step: name.to_owned() }))
        .compensates_to::<StepsUndone>();
}

/// Each place is a state of the drawing.
pub(super) fn graph<L: Linear>(steps: &Steps<L>) -> SagaGraph {
    let places = steps.all.iter().map(|step| step.place + 1).max().unwrap_or(0);
    let name = |place: usize| {
        let of_place = steps.all.iter().filter(|step| step.place == place);
        of_place.map(|step| step.name).collect::<Vec<_>>().join(" + ")
    };
    let state = |name: String, is_terminal| GraphState {
        name,
        is_terminal,
        defers: Vec::new(),
        ignores: Vec::new(),
        rejects: Vec::new(),
    };
    let ends = [state("Done".into(), true), state("Undone".into(), true)];
    let states = (0..places).map(|place| state(name(place), false)).chain(ends).collect();
    let mut transitions = vec![transition(None, name(0), L::Input::NAME, TransitionKind::Event)];
    for step in &steps.all {
        let from = name(step.place);
        let next = if step.place + 1 == places { "Done".into() } else { name(step.place + 1) };
        let mut forward =
            transition(Some(&from), next, step.done_by.unwrap_or("never"), TransitionKind::Event);
        forward.pivots = step.pivots;
        transitions.push(forward);
        for event in &step.failed_by {
            let kind = TransitionKind::Compensation;
            transitions.push(transition(Some(&from), "Undone".into(), event, kind));
        }
        if step.within.is_some() {
            let timer = format!("timer {}", step.name);
            let kind = TransitionKind::Compensation;
            transitions.push(transition(Some(&from), "Undone".into(), &timer, kind));
        }
    }
    SagaGraph { saga: L::NAME.to_owned(), version: L::VERSION, states, transitions }
}

fn transition(
    from: Option<&String>,
    to: String,
    trigger: &str,
    kind: TransitionKind,
) -> GraphTransition {
    let (from, trigger) = (from.cloned(), trigger.to_owned());
    GraphTransition { from, to, trigger, kind, sets: Vec::new(), pivots: false }
}
