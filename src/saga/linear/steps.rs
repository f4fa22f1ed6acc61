//! Describing the steps of a linear saga.

use std::{sync::Arc, time::Duration};

use super::{InStep, Linear, LinearSaga};
use crate::{
    event::Event,
    policy::Backoff,
    saga::{
        definition::{Define, Flaw},
        turn::Turn,
    },
};

/// The steps of a linear saga, in their order: see [`Linear::steps`].
#[allow(missing_debug_implementations)] // it is made of closures
pub struct Steps<L: Linear> {
    pub(super) all: Vec<Step<L>>,
    /// The place of the next step. Several that run side by side have one.
    next: usize,
    is_parallel: bool,
}

/// What a step does to a turn.
pub(super) type Begin<L> =
    Arc<dyn Fn(&<L as Linear>::Input, Turn<LinearSaga<L>>) -> Turn<LinearSaga<L>> + Send + Sync>;

/// Adds a step's answers to the definition, once its name and number are known.
pub(super) type Declare<L> = Box<dyn FnOnce(&mut Define<LinearSaga<L>>, &Arc<Plan<L>>, usize)>;

pub(super) struct Step<L: Linear> {
    pub(super) name: &'static str,
    pub(super) place: usize,
    pub(super) sends: Begin<L>,
    pub(super) undo: Option<Begin<L>>,
    pub(super) done_by: Option<&'static str>,
    pub(super) failed_by: Vec<&'static str>,
    pub(super) within: Option<Duration>,
    pub(super) pivots: bool,
    pub(super) declare: Vec<Declare<L>>,
}

/// The steps, as handlers need them.
pub(super) struct Plan<L: Linear> {
    pub(super) steps: Vec<Planned<L>>,
}

pub(super) struct Planned<L: Linear> {
    pub(super) name: &'static str,
    pub(super) place: usize,
    pub(super) sends: Begin<L>,
    pub(super) undo: Option<Begin<L>>,
    pub(super) within: Option<Duration>,
    pub(super) pivots: bool,
}

impl<L: Linear> Steps<L> {
    pub(super) fn described() -> Self {
        let mut steps = Self { all: Vec::new(), next: 0, is_parallel: false };
        L::steps(&mut steps);
        steps
    }

    /// The next step: an event that is sent once the one before it is done. It is over once
    /// [`done_by`](StepDefinition::done_by) says so.
    pub fn step<E: Event>(
        &mut self,
        name: &'static str,
        send: impl Fn(&L::Input) -> E + Send + Sync + 'static,
    ) -> StepDefinition<'_, L> {
        self.all.push(Step {
            name,
            place: self.next,
            sends: Arc::new(move |input, turn| turn.send(send(input))),
            undo: None,
            done_by: None,
            failed_by: Vec::new(),
            within: None,
            pivots: false,
            declare: Vec::new(),
        });
        if !self.is_parallel {
            self.next += 1;
        }
        StepDefinition { steps: self }
    }

    /// Steps that run side by side. The next one begins once all of them are done; where one fails, all of
    /// them are undone, side by side.
    pub fn parallel(&mut self, describe: impl FnOnce(&mut Self)) {
        self.is_parallel = true;
        describe(self);
        self.is_parallel = false;
        self.next += 1;
    }
}

/// A step being described: see [`Steps::step`].
#[allow(missing_debug_implementations)] // it is made of closures
pub struct StepDefinition<'s, L: Linear> {
    steps: &'s mut Steps<L>,
}

#[allow(clippy::return_self_not_must_use, clippy::must_use_candidate)] // each call has its effect
impl<L: Linear> StepDefinition<'_, L> {
    /// The event that undoes the step. It is sent also where nobody knows whether the step has happened.
    pub fn undo<C: Event>(self, undo: impl Fn(&L::Input) -> C + Send + Sync + 'static) -> Self {
        self.change(|step| {
            let name = step.name;
            step.undo = Some(Arc::new(move |input, turn| turn.compensate_with(name, undo(input))));
            step.declare.push(Box::new(|saga, _, _| {
                saga.compensation::<C>();
            }));
        })
    }

    /// The same, where it is undone once this event has come: it is asked for again until then, as the
    /// backoff says. The function says whether the answer is about this step.
    pub fn undo_until<C: Event, A: Event>(
        self,
        backoff: Backoff,
        undo: impl Fn(&L::Input) -> C + Send + Sync + 'static,
        is_for: impl Fn(&C, &A) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.undo(undo).change(|step| {
            step.declare.push(Box::new(|saga, _, _| {
                saga.compensation::<C>().undone_by(is_for).retry(backoff);
            }));
        })
    }

    /// An event by which the step has failed: it has not happened and is not undone; those before it are.
    pub fn failed_by<E: Event>(self) -> Self {
        self.change(|step| {
            step.failed_by.push(E::NAME);
            step.declare.push(Box::new(|saga, plan, number| {
                super::compile::on_failed::<L, E>(saga, plan, number);
            }));
        })
    }

    /// How long the step may take. After that it is taken to have failed, and is undone with those before
    /// it: it may have happened.
    pub fn within(self, time: Duration) -> Self {
        self.change(|step| step.within = Some(time))
    }

    /// The point of no return: once the step is done, nothing is undone any more, and the steps after it
    /// have neither [`failed_by`](Self::failed_by) nor [`within`](Self::within).
    pub fn pivot(self) -> Self {
        self.change(|step| step.pivots = true)
    }

    /// The event by which the step is done.
    pub fn done_by<E: Event>(self) {
        self.change(|step| {
            step.done_by = Some(E::NAME);
            step.declare.push(Box::new(|saga, plan, number| {
                super::compile::on_done::<L, E>(saga, plan, number);
            }));
        });
    }

    fn change(self, change: impl FnOnce(&mut Step<L>)) -> Self {
        if let Some(step) = self.steps.all.last_mut() {
            change(step);
        }
        self
    }
}

impl<L: Linear> Plan<L> {
    /// Begins all steps of a place.
    pub(super) fn begin(
        &self,
        place: usize,
        input: &L::Input,
        mut turn: Turn<LinearSaga<L>>,
    ) -> Turn<LinearSaga<L>> {
        for step in self.steps.iter().filter(|step| step.place == place) {
            turn = (step.sends)(input, turn);
            if let Some(undo) = &step.undo {
                turn = undo(input, turn);
            }
            if let Some(within) = step.within {
                turn = turn.timer(step.name, within);
            }
        }
        turn
    }

    /// Whether all steps of the place are done.
    pub(super) fn is_done(&self, state: &InStep<L>) -> bool {
        let of_place = self.steps.iter().filter(|step| step.place == state.at);
        of_place.into_iter().all(|step| state.done.iter().any(|done| done == step.name))
    }

    /// What is wrong with the steps.
    pub(super) fn flaws(steps: &Steps<L>) -> Vec<Flaw> {
        let steps = &steps.all;
        let never = steps.iter().filter(|step| step.done_by.is_none());
        let mut flaws: Vec<_> = never.map(|step| Flaw::StepNeverDone { step: step.name }).collect();
        for pivot in steps.iter().filter(|step| step.pivots) {
            let may_fail = |step: &&Step<L>| !step.failed_by.is_empty() || step.within.is_some();
            let after = steps.iter().filter(|step| step.place >= pivot.place);
            let after = after.filter(|step| step.name != pivot.name).filter(may_fail);
            flaws.extend(after.map(|step| Flaw::CompensatesAfterPivot { state: step.name }));
        }
        for (at, step) in steps.iter().enumerate() {
            if steps[..at].iter().any(|other| other.name == step.name) {
                flaws.push(Flaw::StepTwice { step: step.name });
            }
        }
        flaws
    }

    pub(super) fn is_last(&self, place: usize) -> bool {
        self.steps.iter().all(|step| step.place <= place)
    }
}
