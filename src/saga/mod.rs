//! Sagas: processes that go on over many events, as typed state machines.
//!
//! A saga is a subscription with state, and nothing more: its state, its history, what it sends and its
//! timers commit together with the acknowledgement of the event that brought them about, or not at all.
//!
//! ```
//! use std::time::Duration;
//! use serde::{Deserialize, Serialize};
//! use tidings::{Bus, Event, saga::{Define, Elsewhere, Saga, SagaState}};
//!
//! # macro_rules! events { ($($name:ident = $text:literal),*) => { $(
//! #     #[derive(Clone, Serialize, Deserialize, Event)]
//! #     #[event(name = $text, key = "order")]
//! #     struct $name { order: u64 }
//! # )* } }
//! # events!(OrderPlaced = "orders.placed", TakePayment = "payments.take", PaymentTaken = "payments.taken",
//! #     RefundPayment = "payments.refund");
//! #[derive(Serialize, Deserialize)]
//! struct AwaitingPayment { reminded: bool }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Paid;
//!
//! #[derive(Serialize, Deserialize)]
//! struct GivenUp;
//!
//! #[derive(Serialize, Deserialize, SagaState)]
//! enum Checkout {
//!     AwaitingPayment(AwaitingPayment),
//!     #[saga(terminal)] Paid(Paid),
//!     #[saga(terminal)] GivenUp(GivenUp),
//! }
//!
//! const QUARTER: Duration = Duration::from_secs(15 * 60);
//!
//! impl Saga for Checkout {
//!     const NAME: &'static str = "checkout";
//!
//!     fn define(saga: &mut Define<Self>) {
//!         saga.start(|placed: &OrderPlaced, turn| {
//!             let order = placed.order;
//!             turn.send(TakePayment { order })
//!                 .compensate_with("payment", RefundPayment { order }) // it may run, who knows
//!                 .timer("payment", QUARTER)
//!                 .enter(AwaitingPayment { reminded: false })
//!         })
//!         .to::<AwaitingPayment>()
//!         .sets("payment");
//!
//!         saga.state::<AwaitingPayment>()
//!             .on(|_, _: &PaymentTaken, turn| turn.enter(Paid))
//!             .to::<Paid>()
//!             .on_timer("payment", |state, turn| match state.reminded {
//!                 false => turn.timer("payment", QUARTER).enter(AwaitingPayment { reminded: true }),
//!                 true => turn.compensate_then(GivenUp),
//!             })
//!             .to::<AwaitingPayment>()
//!             .sets("payment")
//!             .compensates_to::<GivenUp>();
//!
//!         saga.compensation::<RefundPayment>();
//!         saga.event::<OrderPlaced>().elsewhere(Elsewhere::Ignore);
//!     }
//! }
//!
//! let bus = Bus::volatile();
//! let sagas = bus.saga::<Checkout>().lanes(4).start()?;
//! bus.publish(OrderPlaced { order: 7 })?;
//! assert!(bus.wait_idle(Duration::from_secs(10)));
//! let instance = sagas.get("7")?.ok_or("it has begun")?;
//! assert_eq!(instance.timers[0].name, "payment");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is checked before it starts
//!
//! Every event is declared in every state in which the saga goes on: handled, ignored, deferred or rejected.
//! Every state can be reached, and from every state there is a way to an end. Timers have handlers and handlers
//! timers; compensations can happen, and none comes after the point of no return. What is not so is listed in a
//! [`DefinitionError`]. A transition that at work does something else than it declares is rejected, and leaves
//! nothing behind.
//!
//! # What happens to an event
//!
//! It finds its instance by its key, or [`by`](EventDefinition::by) another one. Where there is none, it begins
//! one, or is [`Missing`]. A copy of a message is known by its id. In a state that defers it, it waits for
//! another state; while steps are being undone it is late, unless it is the answer to one; after the end it is
//! [`Late`]. Whatever happens is in the history of the instance.
//!
//! # Steps that follow each other
//!
//! [`Linear`] is a shorthand for them. `testing::SagaTest` tries a saga out without a bus, and
//! `testing::SagaOrders` in every order in which its events may come.

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
