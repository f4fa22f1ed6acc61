//! The events of the engine's own: timers that go off, and what operators ask for. Both have the key of
//! their instance, so that they come to it in order with all others.

use serde::{Deserialize, Serialize};

use crate::{
    event::Event,
    saga::machine::{Command, TimerId},
};

/// A timer goes off.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TimerFired {
    pub(super) saga: String,
    pub(super) timer: TimerId,
    pub(super) epoch: u64,
}

impl Event for TimerFired {
    const NAME: &'static str = "tidings.saga-timer";
}

/// An operator asks for something.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) saga: String,
    pub(super) command: Command,
}

impl Event for Operation {
    const NAME: &'static str = "tidings.saga-operation";
}
