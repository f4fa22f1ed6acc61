//! Describing a replay.

use std::{fmt, sync::Arc};

use super::{Comparison, DryReplay, Replay, Speed};
use crate::{
    bus::{Bus, SubscribeError, SubscriptionBuilder},
    delivery::{IntoHandler, ReplayPlan},
    event::{Event, Key},
    message::Position,
    policy::{Rate, Start},
};

/// A replay being described: see [`Bus::replay`]. It runs once it is started.
#[must_use = "a replay does nothing until it is started"]
pub struct ReplayBuilder {
    bus: Bus,
    builder: SubscriptionBuilder,
    name: Arc<str>,
    from: Start,
    plan: ReplayPlan,
    speed: Speed,
}

impl ReplayBuilder {
    pub(super) fn new(bus: &Bus, name: &str) -> Self {
        Self {
            builder: bus.subscribe(name),
            bus: bus.clone(),
            name: name.into(),
            from: Start::Earliest,
            plan: ReplayPlan::default(),
            speed: Speed::Max,
        }
    }

    /// Where it begins: with the oldest event that is kept, unless this is said.
    pub fn from(mut self, start: Start) -> Self {
        self.from = start;
        self
    }

    /// Before which position it ends. Before what is published after its first start, unless this is
    /// said; never later.
    pub fn to(mut self, end: Position) -> Self {
        self.plan.to = Some(end);
        self
    }

    /// Events of this key alone, which the log finds by its index.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.plan.key = Some(key.into());
        self
    }

    /// How fast it goes. As fast as it can, unless this is said.
    pub fn speed(mut self, speed: Speed) -> Self {
        self.speed = speed;
        self
    }

    /// Has [idempotency keys](crate::Context::idempotency_key) be those of that subscription, so that
    /// what it has done outside is not done again. Without this they are of the replay's own name, and
    /// what is done outside is done anew.
    pub fn effects_of(mut self, subscription: &str) -> Self {
        self.plan.effects_of = Some(subscription.into());
        self
    }

    /// Handles an event, as [`SubscriptionBuilder::on`] does.
    pub fn on<E: Event, M>(self, handler: impl IntoHandler<E, M>) -> Self {
        self.with(|subscription| subscription.on(handler))
    }

    /// Sets what a subscription has besides: lanes, retries, other kinds of handlers. Where it starts
    /// is the replay's business.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event, storage::MemoryStorage};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed")]
    /// # struct OrderPlaced;
    /// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
    /// bus.replay("mend-totals").with(|it| it.lanes(4)).on(|_: &OrderPlaced| ()).start()?;
    /// # Ok::<(), tidings::Error>(())
    /// ```
    pub fn with(mut self, set: impl FnOnce(SubscriptionBuilder) -> SubscriptionBuilder) -> Self {
        self.builder = set(self.builder);
        self
    }

    /// Starts it, or goes on with one of that name where it stopped, whether the process has ended
    /// meanwhile or not. One that is over stays so.
    ///
    /// # Errors
    /// See [`SubscribeError`]. The bus is volatile, and so has no past.
    pub fn start(self) -> Result<Replay, SubscribeError> {
        if !self.bus.is_durable() {
            return Err(SubscribeError::NoPast { name: self.name.to_string() });
        }
        if let Some(end) = Replay::end_of(&self.bus, &self.name)? {
            return Ok(Replay::over(&self.bus, &self.name, end));
        }
        let (pace, builder) = match self.speed {
            Speed::Max => (None, self.builder),
            Speed::PerSecond(events) => (None, self.builder.rate_limit(Rate::per_second(events))),
            Speed::Times(times) => (Some(times), self.builder),
        };
        let builder = builder.start_at(self.from).replaying(self.plan, pace);
        Ok(Replay::running(&self.bus, builder.start()?))
    }

    /// Calls the handlers with the same events, one after the other on this thread, and keeps nothing
    /// of what they publish and store: what they would do is what the iterator yields.
    /// [`Context::once`](crate::Context::once) does not do its effect; a handler that does something
    /// outside without it asks [`Context::is_dry_run`](crate::Context::is_dry_run). What is stored in
    /// one call is there in the next.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Context, Event, HandlerError, storage::MemoryStorage};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed", key = "id")]
    /// # struct OrderPlaced { id: u64 }
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.mended", key = "id")]
    /// # struct OrderMended { id: u64 }
    /// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
    /// bus.publish(OrderPlaced { id: 7 })?;
    /// let mend = |order: &OrderPlaced, ctx: &mut Context| -> Result<(), HandlerError> {
    ///     ctx.publish(OrderMended { id: order.id })?;
    ///     Ok(())
    /// };
    /// for outcome in bus.replay("mend-orders").on(mend).dry_run()? {
    ///     println!("{}: {}", outcome?.position, "would be mended");
    /// }
    /// assert_eq!(bus.end().get(), 2); // nothing was published
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`start`](Self::start); and of a handler that is only started in a lane.
    pub fn dry_run(self) -> Result<DryReplay, SubscribeError> {
        if !self.bus.is_durable() {
            return Err(SubscribeError::NoPast { name: self.name.to_string() });
        }
        let builder = self.builder.ephemeral().at_rest().start_at(self.from);
        let subscription = builder.replaying(self.plan, None).start()?;
        DryReplay::new(&self.bus, subscription)
    }

    /// Calls these handlers and others with the same events, as [`dry_run`](Self::dry_run) does, and
    /// yields where they do not do the same. `others` gives the others: those that there were before,
    /// say.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Context, Event, StateError, storage::MemoryStorage};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed", key = "id")]
    /// # struct OrderPlaced { id: u64, cents: u64 }
    /// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
    /// bus.publish(OrderPlaced { id: 7, cents: 1050 })?;
    /// let euros = |order: &OrderPlaced, ctx: &mut Context| -> Result<(), StateError> {
    ///     ctx.state().put("euros", &(order.cents / 100))
    /// };
    /// let rounded = |order: &OrderPlaced, ctx: &mut Context| -> Result<(), StateError> {
    ///     ctx.state().put("euros", &((order.cents + 50) / 100))
    /// };
    /// let mut comparison = bus.replay("rounding").on(rounded).compare(|old| old.on(euros))?;
    /// let difference = comparison.next().expect("they differ")?;
    /// println!("{difference}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`dry_run`](Self::dry_run).
    pub fn compare(self, others: impl FnOnce(Self) -> Self) -> Result<Comparison, SubscribeError> {
        let mut other = Self::new(&self.bus, &format!("{}-other", self.name));
        (other.from, other.plan) = (self.from, self.plan.clone());
        let other = others(other).dry_run()?;
        Ok(Comparison::new(self.dry_run()?, other))
    }
}

impl fmt::Debug for ReplayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBuilder")
            .field("name", &self.name)
            .field("from", &self.from)
            .field("plan", &self.plan)
            .field("speed", &self.speed)
            .finish_non_exhaustive()
    }
}
