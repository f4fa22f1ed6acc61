//! What a bus under test stands on, and what outlives it.

use std::sync::Arc;

#[cfg(feature = "tokio")]
use super::asynchronous::Tokio;
use super::{observer::Observer, patience::Patience};
use crate::{
    bus::{Bus, BusBuilder},
    runtime::simulator::Simulator,
    storage::{MemoryStorage, Storage},
};

/// What a bus under test stands on: clock, storage, and whoever watches.
pub(in crate::testing) struct Ground {
    pub(super) seed: u64,
    pub(super) max_steps: u64,
    pub(in crate::testing) sim: Simulator,
    /// The handle of the process that runs.
    pub(in crate::testing) storage: MemoryStorage,
    pub(in crate::testing) observer: Arc<Observer>,
    /// While a process runs.
    #[cfg(feature = "tokio")]
    pub(super) tokio: Option<Tokio>,
}

impl Ground {
    pub(in crate::testing) fn new(seed: u64, max_steps: u64) -> Self {
        let sim = Simulator::new(seed);
        Self {
            seed,
            max_steps,
            observer: Arc::new(Observer::new(&sim)),
            sim,
            storage: MemoryStorage::new(),
            #[cfg(feature = "tokio")]
            tokio: None,
        }
    }

    /// The same for one handler, which is called once for each event.
    pub(in crate::testing) fn of_trial(max_steps: u64) -> Self {
        let ground = Self::new(0, max_steps);
        Self { observer: Arc::new(Observer::of_trial(&ground.sim)), ..ground }
    }

    #[track_caller]
    pub(in crate::testing) fn run_until_idle(&self) {
        let mut patience = Patience::new(self);
        while self.sim.step() {
            patience.count();
        }
        patience.assert_nobody_is_stuck();
    }

    /// A process begins.
    #[track_caller]
    pub(in crate::testing) fn begin<E>(
        &mut self,
        set_up: impl FnOnce(BusBuilder) -> Result<Bus, E>,
    ) -> Result<Bus, E> {
        let builder = Bus::builder()
            .runtime(self.sim.runtime())
            .storage(self.storage.clone())
            .probe(Arc::clone(&self.observer) as _);
        let bus = self.inside(|| set_up(builder))?;
        assert!(
            bus.is_probed(),
            "the set-up has to make its bus with the builder that it is given"
        );
        Ok(bus)
    }

    /// The process has ended, however it did.
    pub(in crate::testing) fn end(&mut self) {
        self.sim.crash();
        // Whoever has kept the old bus writes nothing more.
        if let Err(error) = self.storage.close() {
            tracing::error!(%error, "the storage of a test did not close");
        }
        self.observer.end_process();
        #[cfg(feature = "tokio")]
        self.end_tokio();
        self.storage = self.storage.reopened();
    }

    #[cfg(feature = "tokio")]
    fn inside<R>(&mut self, run: impl FnOnce() -> R) -> R {
        let tokio = Tokio::begin(&self.sim, &self.observer);
        let handle = tokio.handle().clone();
        self.tokio = Some(tokio);
        let _entered = handle.enter();
        run()
    }

    #[cfg(not(feature = "tokio"))]
    #[allow(clippy::unused_self)] // the same in both builds
    fn inside<R>(&mut self, run: impl FnOnce() -> R) -> R {
        run()
    }

    #[cfg(feature = "tokio")]
    fn end_tokio(&mut self) {
        self.sim.accompany(None);
        self.tokio = None;
    }
}
