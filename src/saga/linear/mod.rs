//! Sagas whose steps follow each other: a shorthand, which becomes the same machine.

mod compile;
mod steps;

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Serialize};

pub use steps::{StepDefinition, Steps};

use super::{
    definition::{Define, Saga},
    graph::SagaGraph,
    state::{SagaState, StateInfo, StateOf},
};
use crate::event::Event;

/// A saga whose steps follow each other: each is an event that is sent, and is done once its answer comes.
/// When one fails, those before it are undone, the last first. A shorthand for a
/// [`Saga`]: [`LinearSaga`] is one.
///
/// ```
/// # use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// # use tidings::{Bus, Event};
/// # macro_rules! events { ($($name:ident = $text:literal),*) => { $(
/// #     #[derive(Clone, Serialize, Deserialize, Event)]
/// #     #[event(name = $text, key = "trip")]
/// #     struct $name { trip: u64 }
/// # )* } }
/// # events!(BookTrip = "trips.book", BookFlight = "flights.book", FlightBooked = "flights.booked",
/// #     FlightRefused = "flights.refused", CancelFlight = "flights.cancel", Charge = "cards.charge",
/// #     Charged = "cards.charged", Declined = "cards.declined");
/// use tidings::saga::{Linear, LinearSaga, Steps};
///
/// struct Booking;
///
/// impl Linear for Booking {
///     const NAME: &'static str = "booking";
///     type Input = BookTrip;
///
///     fn steps(steps: &mut Steps<Self>) {
///         steps
///             .step("flight", |trip| BookFlight { trip: trip.trip })
///             .undo(|trip| CancelFlight { trip: trip.trip })
///             .within(Duration::from_mins(1))
///             .failed_by::<FlightRefused>()
///             .done_by::<FlightBooked>();
///         steps
///             .step("charge", |trip| Charge { trip: trip.trip })
///             .failed_by::<Declined>()
///             .done_by::<Charged>();
///     }
/// }
///
/// let bus = Bus::volatile();
/// bus.saga::<LinearSaga<Booking>>().start()?;
/// # Ok::<(), tidings::Error>(())
/// ```
pub trait Linear: Send + Sync + Sized + 'static {
    /// The saga's name.
    const NAME: &'static str;

    /// The version of its steps, from 1: raise it when there are others, or in another order. There is no
    /// way to read an instance of other steps: those that are under way have to end first.
    const VERSION: u32 = 1;

    /// The event that begins it. Each step sees it.
    type Input: Event + Clone;

    /// Describes the steps.
    fn steps(steps: &mut Steps<Self>);
}

/// The states of a [`Linear`] saga.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub enum LinearSaga<L: Linear> {
    /// A step, or several that run side by side, is under way.
    InStep(InStep<L>),
    /// All steps are done.
    Done(StepsDone),
    /// A step has failed, and those before it are undone.
    Undone(StepsUndone),
}

/// A step, or several that run side by side, is under way.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub struct InStep<L: Linear> {
    /// The event that has begun it.
    pub input: L::Input,
    /// Which it is, from 0; those that run side by side count as one.
    pub at: usize,
    /// The names of those of them that are done.
    pub done: Vec<String>,
    #[serde(skip)]
    of: PhantomData<fn() -> L>,
}

/// All steps are done.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepsDone;

/// A step has failed, and those before it are undone.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepsUndone {
    /// The step that has failed.
    pub step: String,
}

impl<L: Linear> SagaState for LinearSaga<L> {
    const STATES: &'static [StateInfo] = &[
        StateInfo::new("InStep", false),
        StateInfo::new("Done", true),
        StateInfo::new("Undone", true),
    ];

    fn state(&self) -> &'static str {
        match self {
            Self::InStep(_) => "InStep",
            Self::Done(_) => "Done",
            Self::Undone(_) => "Undone",
        }
    }
}

impl<L: Linear> fmt::Debug for LinearSaga<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InStep(state) => state.fmt(f),
            Self::Done(state) => state.fmt(f),
            Self::Undone(state) => state.fmt(f),
        }
    }
}

/// Without its input, which need not print.
impl<L: Linear> fmt::Debug for InStep<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InStep")
            .field("at", &self.at)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl<L: Linear> From<InStep<L>> for LinearSaga<L> {
    fn from(state: InStep<L>) -> Self {
        Self::InStep(state)
    }
}

impl<L: Linear> From<StepsDone> for LinearSaga<L> {
    fn from(state: StepsDone) -> Self {
        Self::Done(state)
    }
}

impl<L: Linear> From<StepsUndone> for LinearSaga<L> {
    fn from(state: StepsUndone) -> Self {
        Self::Undone(state)
    }
}

impl<L: Linear> StateOf<LinearSaga<L>> for InStep<L> {
    const NAME: &'static str = "InStep";

    fn of(state: &LinearSaga<L>) -> Option<&Self> {
        if let LinearSaga::InStep(state) = state { Some(state) } else { None }
    }
}

impl<L: Linear> StateOf<LinearSaga<L>> for StepsDone {
    const NAME: &'static str = "Done";

    fn of(state: &LinearSaga<L>) -> Option<&Self> {
        if let LinearSaga::Done(state) = state { Some(state) } else { None }
    }
}

impl<L: Linear> StateOf<LinearSaga<L>> for StepsUndone {
    const NAME: &'static str = "Undone";

    fn of(state: &LinearSaga<L>) -> Option<&Self> {
        if let LinearSaga::Undone(state) = state { Some(state) } else { None }
    }
}

impl<L: Linear> Saga for LinearSaga<L> {
    const NAME: &'static str = L::NAME;
    const VERSION: u32 = L::VERSION;

    fn define(saga: &mut Define<Self>) {
        compile::define(saga, Steps::described());
    }

    /// Each step is a state of the drawing.
    fn graph() -> SagaGraph {
        compile::graph(&Steps::<L>::described())
    }
}
