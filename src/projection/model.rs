//! A projection as its builder describes it, and what its build, its subscription and its views share.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;

use super::{
    error::ProjectError,
    fold::Folds,
    keys,
    lateness::Lateness,
    live::Live,
    rows::{Cache, Row},
    status::Halted,
    stored::Building,
};
use crate::{
    bus::{Bus, Reservation, SubscribeError, Subscription, SubscriptionBuilder, WeakBus},
    journal::Journal,
    policy::{Backoff, Start},
    runtime::Seeded,
};

/// A projection.
pub(super) struct Model<R> {
    pub(super) name: Arc<str>,
    pub(super) version: u32,
    pub(super) folds: Folds<R>,
    pub(super) lateness: Lateness,
    pub(super) pool: String,
    pub(super) retry: Option<Backoff>,
    pub(super) journal: Arc<Journal>,
    pub(super) bus: WeakBus,
    /// The most events that are folded at once.
    pub(super) most: usize,
    seed: Seeded,
    pub(super) state: Mutex<State>,
}

/// What it is at.
#[derive(Default)]
pub(super) struct State {
    /// Keeps the rows of a generation up to date.
    pub(super) live: Option<(u64, Subscription)>,
    /// What is being built, as of its last commit.
    pub(super) building: Option<Building>,
    pub(super) halted: Option<Halted>,
}

impl<R: Row> Model<R> {
    pub(super) fn new(
        bus: &Bus,
        (name, version): (Arc<str>, u32),
        folds: Folds<R>,
        lateness: Lateness,
        (pool, retry, most): (String, Option<Backoff>, usize),
    ) -> Arc<Self> {
        let journal = Arc::clone(bus.journal());
        let seed = Seeded::new(journal.runtime());
        let (bus, state) = (bus.downgrade(), Mutex::default());
        Arc::new(Self {
            name,
            version,
            folds,
            lateness,
            pool,
            retry,
            journal,
            bus,
            most,
            seed,
            state,
        })
    }

    pub(super) fn cache(&self, generation: u64) -> Cache<R> {
        let (name, seed) = (&self.name, self.seed);
        Cache::new(keys::rows(name, generation), keys::clock(name, generation), seed)
    }

    /// The names of its events.
    pub(super) fn events(&self) -> BTreeSet<String> {
        self.folds.iter().map(|(event, _)| event.name.to_string()).collect()
    }

    /// Has a subscription keep the rows of a generation up to date, under a name that is reserved.
    pub(super) fn go_live(
        &self,
        bus: &Bus,
        generation: u64,
        reservation: &Reservation,
    ) -> Result<(), SubscribeError> {
        let live = self.subscription(bus, generation).start_reserved(reservation)?;
        self.state.lock().live = Some((generation, live));
        Ok(())
    }

    fn subscription(&self, bus: &Bus, generation: u64) -> SubscriptionBuilder {
        let live = Live::new(&self.name, generation, self.lateness, self.seed);
        // Handlers have no effects: that processes end while they run says nothing of the event, and rows
        // without it would be wrong.
        let builder = bus.subscribe(&self.name).max_crashes(u32::MAX);
        let builder = builder.pool(&self.pool).start_at(Start::Earliest);
        let builder = match &self.retry {
            Some(retry) => builder.retry(retry.clone()),
            None => builder,
        };
        let folds = self.folds.iter();
        folds.fold(builder, |builder, (_, fold)| Arc::clone(fold).subscribe(builder, &live))
    }

    /// Whether the subscription could start, so that nothing is built in vain.
    pub(super) fn check(&self, bus: &Bus) -> Result<(), ProjectError> {
        self.subscription(bus, 0).check().map_err(ProjectError::from)
    }

    pub(super) fn halt(&self, halted: Halted) {
        tracing::error!(projection = &*self.name, position = %halted.position,
            error = &*halted.reason, "a projection cannot be built on");
        self.state.lock().halted = Some(halted);
        self.journal.quiet().notify();
    }
}
