//! For tests of your own (feature `testing`): the simulator, the history checker, a transport on which
//! everything goes wrong, and the conformance suites.

pub use crate::runtime::simulator::Simulator;
pub mod conformance;
mod history;
mod unreliable;

pub use crate::storage::file::{Call, Fault, MemoryDisk};
pub use history::{Anomaly, AnomalyKind, End, Ending, Fact, History, Promises, Skip};
pub use unreliable::{Mishaps, UnreliableTransport};
