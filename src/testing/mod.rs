//! For tests of your own (feature `testing`): the simulator, the history checker and the conformance
//! suites.

pub use crate::runtime::simulator::Simulator;
pub mod conformance;
mod history;
mod prover;
pub mod sim;

pub use crate::storage::file::{Call, Fault, MemoryDisk};
pub use history::{Anomaly, AnomalyKind, End, Ending, Fact, History, Promises, Skip};
pub use prover::{
    Culprit, Interruption, NotIdempotent, Proof, prove_idempotent, try_prove_idempotent,
};
pub use sim::{Faults, Sim};
