//! For tests of your own (feature `testing`): the simulator and the conformance suites.

pub use crate::runtime::simulator::Simulator;
pub mod conformance;

pub use crate::storage::file::{Call, Fault, MemoryDisk};
