//! Settings of a bus for tests.

use std::fmt;

use super::{Ground, TestBus};
use crate::bus::{Bus, BusBuilder};

/// Settings of a [`TestBus`].
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until the bus is started"]
pub struct TestBusBuilder {
    seed: u64,
    max_steps: u64,
}

impl TestBusBuilder {
    pub(super) fn new() -> Self {
        Self { seed: 0, max_steps: 200_000 }
    }

    /// What every choice follows from: the order in which tasks run, jitter. 0 unless set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// After how many steps without a rest something is taken to go on for ever. 200,000 unless set; an
    /// event takes a few.
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.max_steps = steps;
        self
    }

    /// As [`TestBus::start`].
    ///
    /// # Errors
    /// Those of `set_up`.
    ///
    /// # Panics
    /// As there.
    pub fn start<E: fmt::Display>(
        self,
        set_up: impl Fn(BusBuilder) -> Result<Bus, E> + 'static,
    ) -> Result<TestBus, E> {
        let mut ground = Ground::new(self.seed, self.max_steps);
        let bus = ground.begin(&set_up)?;
        let again = move |builder| set_up(builder).map_err(|error| error.to_string());
        Ok(TestBus { bus, ground, set_up: Box::new(again) })
    }
}
