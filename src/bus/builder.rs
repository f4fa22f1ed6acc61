//! Settings of a bus.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use parking_lot::Mutex;

use super::{Bus, Inner, OpenError, retention::Retainer};
use crate::{
    delivery::{Budget, Probed},
    event::{Durability, is_valid_name},
    journal::{Journal, Planted},
    message::Position,
    policy::{Retention, RetryBudget, Window},
    runtime::{PoolSize, Runtime},
    storage::{FileStorage, Storage},
};

/// Settings of a bus. Every one has a default.
#[derive(Debug)]
#[must_use = "settings do nothing until the bus is built"]
pub struct BusBuilder {
    runtime: Option<Runtime>,
    storage: Option<Arc<dyn Storage>>,
    durability: Durability,
    retention: Retention,
    ring: usize,
    queue: usize,
    dedup: Window,
    max_hops: u32,
    pools: Vec<(String, PoolSize)>,
    budgets: BTreeMap<String, RetryBudget>,
    probed: Probed,
    planted: Planted,
}

impl BusBuilder {
    pub(super) fn new() -> Self {
        Self {
            runtime: None,
            storage: None,
            durability: Durability::default(),
            retention: Retention::forever(),
            ring: 8192,
            queue: 65_536,
            dedup: Window::default(),
            max_hops: 64,
            pools: Vec::new(),
            budgets: BTreeMap::new(),
            probed: Probed::default(),
            planted: Planted::default(),
        }
    }

    /// Where events and state are kept. Without one the bus is volatile.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Some(Arc::new(storage));
        self
    }

    /// What an acknowledged publish survives. [`Durability::Synced`] by default; no effect on a
    /// volatile bus.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long events are kept. For ever by default; no effect on a volatile bus.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// How many events stay in memory for readers, from 1. 8,192 by default.
    ///
    /// A durable bus reads older ones from storage. On a volatile bus this is the bound at which
    /// publishers wait for the slowest subscription, and each of them takes about 150 bytes of memory
    /// from the start: events of up to 96 bytes live there, larger ones in memory of their own.
    pub fn ring(mut self, events: usize) -> Self {
        self.ring = events;
        self
    }

    /// How many enqueued events may wait for storage, from 1. 65,536 by default; no effect on a
    /// volatile bus.
    pub fn queue(mut self, events: usize) -> Self {
        self.queue = events;
        self
    }

    /// How much is remembered of messages with an id or an idempotency key of the publisher's choice,
    /// so that they are published once; see [`Message::idempotency_key`](crate::Message). On a durable
    /// bus it outlives the process. [`Window::default`] unless set; other messages cost nothing.
    pub fn dedup_window(mut self, window: Window) -> Self {
        self.dedup = window;
        self
    }

    /// Through how many handlers an event may come, from 1: a handler publishes the next event through
    /// its [`Context`](crate::Context), whose handler publishes another one, and so on. 64 by default.
    ///
    /// It ends circles: where a handler would publish beyond it, the event that it handles becomes a dead
    /// letter, [`TooManyHops`](crate::DeadLetterReason::TooManyHops), nothing that it published for that
    /// event is kept, and all else goes on. The count is in [`Envelope::hops`](crate::Envelope::hops);
    /// the retry of a dead letter keeps it. Handlers that do long work step by step, each of which
    /// publishes the next one, need more.
    ///
    /// What a handler publishes with [`Bus::publish`] is nobody's output as far as the bus knows, and
    /// counts as if no handler had published it.
    ///
    /// ```
    /// use tidings::Bus;
    ///
    /// let bus = Bus::builder().max_hops(8).build()?;
    /// # Ok::<(), tidings::OpenError>(())
    /// ```
    pub fn max_hops(mut self, handlers: u32) -> Self {
        self.max_hops = handlers;
        self
    }

    /// Adds a pool of threads for subscriptions to run on: a number of them, from 1, or a
    /// [`PoolSize`] that follows the load. Handlers of one pool cannot starve those of another.
    /// The pool [`Runtime::DEFAULT_POOL`] is always there; naming it here has no effect, as for any
    /// pool that a shared runtime has already.
    pub fn pool(mut self, name: &str, size: impl Into<PoolSize>) -> Self {
        self.pools.push((name.into(), size.into()));
        self
    }

    /// One retry budget for all subscriptions of a pool: what one of them saves, others may spend. Comes
    /// on top of their own ([`SubscriptionBuilder::retry_budget`](crate::SubscriptionBuilder)).
    ///
    /// ```
    /// use tidings::{Bus, RetryBudget};
    ///
    /// let bus = Bus::builder()
    ///     .pool("payments", 4) // all of them call one service
    ///     .pool_retry_budget("payments", RetryBudget::new(0.2))
    ///     .build()?;
    /// # Ok::<(), tidings::OpenError>(())
    /// ```
    pub fn pool_retry_budget(mut self, pool: &str, budget: RetryBudget) -> Self {
        self.budgets.insert(pool.into(), budget);
        self
    }

    /// Where time, threads and randomness come from. [`Runtime::threads`] by default; a simulator
    /// in tests.
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Builds the bus: durable if it was given storage, volatile otherwise.
    ///
    /// # Errors
    /// A setting is out of range, or the storage's log ends too far on.
    pub fn build(self) -> Result<Bus, OpenError> {
        self.check_pools()?;
        let pools = self.pools.iter().map(|(_, size)| ("pool", size.least()));
        let settings = pools.chain([("ring", self.ring), ("queue", self.queue)]);
        for (setting, value) in settings {
            if value == 0 {
                return Err(OpenError::Zero { setting });
            }
        }
        if self.max_hops == 0 {
            return Err(OpenError::Zero { setting: "max_hops" });
        }
        self.check_budgets()?;
        self.check_positions()?;
        Ok(self.assemble())
    }

    /// Builds a durable bus on an embedded log in this directory, which is made if it is not there.
    /// It takes the place of any storage set before.
    ///
    /// # Errors
    /// A setting is out of range; the log is in use, damaged, or of another version of the format;
    /// or the file system fails.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Bus, OpenError> {
        let storage = FileStorage::open(path)?;
        self.storage(storage).build()
    }

    pub(super) fn volatile(self) -> Bus {
        self.assemble()
    }

    fn check_pools(&self) -> Result<(), OpenError> {
        for (name, size) in &self.pools {
            let (name, least, most) = (name.clone(), size.least(), size.most());
            if !is_valid_name(&name) {
                return Err(OpenError::PoolName { name });
            }
            if least > most {
                return Err(OpenError::PoolSize { name, least, most });
            }
        }
        Ok(())
    }

    fn check_positions(&self) -> Result<(), OpenError> {
        match self.storage.as_ref().map(|storage| storage.end()) {
            Some(end) if end > Position::HIGHEST => Err(OpenError::PositionsUsedUp { end }),
            _ => Ok(()),
        }
    }

    fn check_budgets(&self) -> Result<(), OpenError> {
        let is_here = |name: &str| {
            let named = self.pools.iter().any(|(pool, _)| pool == name);
            let shared = || self.runtime.as_ref()?.find_pool(name);
            named || name == Runtime::DEFAULT_POOL || shared().is_some()
        };
        match self.budgets.keys().find(|name| !is_here(name)) {
            Some(name) => Err(OpenError::UnknownPool { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Has a test see, and disturb, the calls of handlers.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn probe(mut self, probe: Arc<dyn crate::delivery::Probe>) -> Self {
        self.probed = Probed::by(probe);
        self
    }

    /// Makes a mistake, to see whether tests find it.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    pub fn plant(mut self, mistake: crate::journal::Mistake) -> Self {
        self.planted = Planted { mistake: Some(mistake) };
        self
    }

    fn assemble(self) -> Bus {
        let runtime = self.runtime.unwrap_or_default();
        for (name, size) in &self.pools {
            runtime.pool(name, *size);
        }
        let journal = match self.storage {
            Some(storage) => Journal::durable(
                runtime,
                self.ring,
                storage,
                self.durability,
                self.queue,
                self.dedup,
                self.planted,
            ),
            None => Journal::volatile(runtime, self.ring, self.dedup, self.planted),
        };
        let retainer = Retainer::new(Arc::downgrade(&journal), self.retention);
        journal.after_upkeep(move || retainer.run());
        let budget = |(pool, settings)| (pool, Arc::new(Budget::new(settings)));
        let inner = Inner {
            journal,
            subscriptions: Mutex::default(),
            replies: Mutex::default(),
            quarantine: Arc::default(),
            probed: self.probed,
            max_hops: self.max_hops,
            retention: self.retention,
            #[cfg(feature = "cron")]
            recurring: Mutex::default(),
            report: Mutex::default(),
            budgets: self.budgets.into_iter().map(budget).collect(),
        };
        Bus { inner: Arc::new(inner) }
    }
}
