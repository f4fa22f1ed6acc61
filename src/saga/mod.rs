//! Sagas: processes that go on over many events, as typed state machines.
//!
//! A saga is a subscription with state, and nothing more: its state, its history, what it sends and its
//! timers commit together with the acknowledgement of the event that brought them about, or not at all.

mod definition;
mod graph;
mod linear;
mod machine;
mod outgoing;
mod running;
mod schedule;
mod state;
mod turn;

#[cfg(any(test, feature = "testing"))]
pub(crate) use machine::{
    Arrived, Instance, Machine, Moment, Outcome, Step, TimerId, WaitingEvent,
};
#[cfg(any(test, feature = "testing"))]
pub(crate) use outgoing::Outgoing;
#[cfg(any(test, feature = "testing"))]
pub(crate) use running::read;

pub use definition::{
    CompensationDefinition, Define, DefinitionError, Elsewhere, EventDefinition, Flaw, Handled,
    Late, Missing, Nothing, OnCompensationFailure, Saga, StartDefinition, StateDefinition,
};
pub use graph::{GraphState, GraphTransition, SagaGraph, TransitionKind};
pub use linear::{InStep, Linear, LinearSaga, StepDefinition, Steps, StepsDone, StepsUndone};
pub use machine::{HistoryEntry, Trigger, Verdict};
pub use running::{
    Condition, PendingCompensation, PendingEvent, PendingTimer, SagaBuilder, SagaError,
    SagaInstance, SagaSummary, Sagas, SagasStatus, Unloadable,
};
pub use state::{SagaState, StateInfo, StateOf};
#[cfg(feature = "derive")]
pub use tidings_derive::SagaState;
pub use turn::{Decision, Turn};
