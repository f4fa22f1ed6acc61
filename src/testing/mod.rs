//! For tests of your own (feature `testing`): a bus for tests, tests of one handler, strategies and a model
//! for property tests, the simulator, the history checker and the conformance suites.

mod bus;
pub mod conformance;
mod handler;
mod history;
pub mod model;
pub mod strategies;

pub use crate::{
    runtime::simulator::Simulator,
    storage::file::{Call, Fault, MemoryDisk},
};
pub use bus::{CallOutcome, HandlerCall, Published, TestBus, TestBusBuilder};

pub use handler::{HandlerTest, Tested};
pub use history::{Anomaly, AnomalyKind, End, Ending, Fact, History, Promises, Skip};
