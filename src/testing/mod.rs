//! For tests of your own (feature `testing`): a bus for tests, tests of one handler, one saga or one
//! projection, simulated runs of whole flows, a prover of idempotency, strategies and a model for property
//! tests, the simulator, the history checker, a transport on which everything goes wrong, and the
//! conformance suites.

mod bus;
pub mod conformance;
mod handler;
mod history;
pub mod model;
mod projection;
mod prover;
mod saga;
pub mod sim;
pub mod strategies;
mod unreliable;

#[doc(hidden)]
pub use crate::journal::Mistake;
pub use crate::{
    runtime::simulator::Simulator,
    storage::file::{Call, Fault, MemoryDisk},
};
pub use bus::{CallOutcome, HandlerCall, Published, TestBus, TestBusBuilder};
pub use handler::{HandlerTest, Tested};
pub use history::{Anomaly, AnomalyKind, End, Ending, Fact, History, Promises, Skip};
pub use projection::ProjectionTest;
pub use prover::{
    Culprit, Interruption, NotIdempotent, Proof, prove_idempotent, try_prove_idempotent,
};
pub use saga::{SagaOrders, SagaTest};
pub use sim::{Faults, Sim};
pub use unreliable::{Mishaps, UnreliableTransport};
