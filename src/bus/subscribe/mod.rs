//! Describing a subscription, and starting it.

mod error;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

pub use error::SubscribeError;

use super::{Deliveries, Inner, Subscription, Subscriptions};
use crate::{
    contract::EventType,
    delivery::{
        self, AlarmHook, DeadLetterAlarm, Idempotency, IntoHandler, Layer, NamedLayer, Outcome,
        Passes, Plain, Plan, Policy, Protection, PullQueue, Run,
    },
    event::{Event, ToKey},
    policy::{Backoff, Lanes, OnDeadLetter, Overflow, Start, Window},
    runtime::{Precedence, Runtime},
};

/// The most lanes that a subscription may have.
const MAX_LANES: u32 = 1024;

/// The most events that a lane may park, or have in flight: its cursor names each of them.
const MAX_HELD: usize = 20_000;

/// A subscription being described. It runs once it is started.
#[must_use = "a subscription does nothing until it is started"]
pub struct SubscriptionBuilder {
    bus: Arc<Inner>,
    name: Arc<str>,
    handlers: Vec<(Arc<EventType>, Run)>,
    filters: Vec<(Arc<EventType>, Passes)>,
    idempotencies: Vec<(Arc<EventType>, Idempotency)>,
    layers: Vec<NamedLayer>,
    ignored: BTreeSet<String>,
    lanes: Lanes,
    pool: String,
    start: Start,
    pub(super) policy: Policy,
    alarm: Option<AlarmHook>,
    pub(super) protection: Protection,
    ephemeral: bool,
    /// A subscription of the bus's own, whose name users cannot take.
    own: bool,
    /// The first thing that is wrong, told at the start.
    wrong: Option<SubscribeError>,
}

impl SubscriptionBuilder {
    pub(super) fn new(bus: Arc<Inner>, name: &str) -> Self {
        let policy = Policy {
            retry: Backoff::default(),
            max_parked: 10_000,
            max_in_flight: 64,
            max_dead_letters: 100_000,
            max_crashes: 3,
            max_hops: bus.max_hops,
            dead_letter_retention: None,
            on_dead_letter: OnDeadLetter::default(),
            overflow: Overflow::default(),
            spin: Duration::ZERO,
            precedence: Precedence::default(),
        };
        Self {
            bus,
            name: name.into(),
            handlers: Vec::new(),
            filters: Vec::new(),
            idempotencies: Vec::new(),
            layers: Vec::new(),
            ignored: BTreeSet::new(),
            lanes: Lanes::fixed(1),
            pool: Runtime::DEFAULT_POOL.into(),
            start: Start::default(),
            policy,
            alarm: None,
            protection: Protection::default(),
            ephemeral: false,
            own: false,
            wrong: None,
        }
    }

    /// When a failed event is tried again. [`Backoff::default`] unless set.
    pub fn retry(mut self, backoff: Backoff) -> Self {
        self.policy.retry = backoff;
        self
    }

    /// How many lanes there are, from 1 (the default) to 1,024: a number, or [`Lanes::adaptive`],
    /// which follows the load. Events of one key always go to one lane, in order; lanes run in
    /// parallel. The number may change from one start to the next.
    pub fn lanes(mut self, lanes: impl Into<Lanes>) -> Self {
        self.lanes = lanes.into();
        self
    }

    /// The pool to run on. [`Runtime::DEFAULT_POOL`] unless set.
    pub fn pool(mut self, name: &str) -> Self {
        self.pool = name.into();
        self
    }

    /// Where the subscription starts when its name is new. [`Start::Earliest`] unless set.
    pub fn start_at(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// How many dead letters are kept, from 1. 100,000 by default. When there is no room for another
    /// one, the subscription rests until some are retried or discarded: nothing is dropped.
    pub fn dead_letters(mut self, max: u64) -> Self {
        self.policy.max_dead_letters = max.max(1);
        self
    }

    /// Calls this when there are 80 % of the dead letters that are kept, and when there is no room for
    /// another one: once each time that this comes to be so, and at the start if it is. It is called
    /// by a thread of the subscription, whose events wait meanwhile; a panic in it is traced.
    pub fn on_dead_letter_alarm(
        mut self,
        hook: impl Fn(DeadLetterAlarm) + Send + Sync + 'static,
    ) -> Self {
        self.alarm = Some(AlarmHook::new(hook));
        self
    }

    /// How long dead letters are kept: those that died longer ago are given up, which is traced with
    /// their number and counted by [`Status::discarded`](crate::Status::discarded). Looked at when the
    /// subscription starts, and about when a letter has come of age. For ever unless set.
    pub fn dead_letter_retention(mut self, age: Duration) -> Self {
        self.policy.dead_letter_retention = Some(age);
        self
    }

    /// What a dead letter means for later events of its key: they go on without it, unless this says
    /// [`OnDeadLetter::HoldKey`].
    pub fn on_dead_letter(mut self, policy: OnDeadLetter) -> Self {
        self.policy.on_dead_letter = policy;
        self
    }

    /// How many processes in a row may end while one event is being handled, from 1; 3 by default. Then
    /// the event becomes a dead letter, [`Crashed`](crate::DeadLetterReason::Crashed): its handler is
    /// taken to be what ends them. The first of them does not count, since only a subscription that
    /// did not end cleanly takes notes. Where processes are killed all the time, more may be better.
    pub fn max_crashes(mut self, processes: u32) -> Self {
        self.policy.max_crashes = processes.max(1);
        self
    }

    /// How many events a lane may hold that wait for a retry, or behind such a one; from 1 to
    /// 20,000, 10,000 by default. At the bound the lane takes nothing new until one is settled.
    pub fn max_parked(mut self, events: usize) -> Self {
        self.policy.max_parked = events.clamp(1, MAX_HELD);
        self
    }

    /// How many events of a lane may be under way in async handlers, or pulled and not settled;
    /// from 1, 64 by default. Always one at a time for each key.
    pub fn max_in_flight(mut self, events: usize) -> Self {
        self.policy.max_in_flight = events.clamp(1, MAX_HELD);
        self
    }

    /// What happens on a volatile bus when the subscription is so far behind that the ring is full:
    /// publishers wait for it unless this says otherwise. No effect on a durable bus, which reads on
    /// from storage.
    pub fn on_lag(mut self, overflow: Overflow) -> Self {
        self.policy.overflow = overflow;
        self
    }

    /// Has a lane with nothing to do look for events all the time, for so long, before it rests: an
    /// event then reaches its handler in well under a microsecond, where waking a thread takes
    /// several to tens of them. Each such lane keeps a thread of its pool, and so a core, busy
    /// meanwhile: give it a pool of its own. Not at all unless set.
    pub fn spin(mut self, time: Duration) -> Self {
        self.policy.spin = time;
        self
    }

    /// Leaves nothing behind: the subscription starts anew each time, where `start_at` says, and
    /// its dead letters live in memory. For caches and for looking around.
    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    /// Gives up on an event that the subscription once handled. Without this, a stored subscription
    /// whose handler for an event is gone sends that event to the dead letters: what it was to get
    /// is never skipped in silence.
    pub fn ignore(mut self, event: &str) -> Self {
        self.ignored.insert(event.into());
        self
    }

    /// Handles an event, with `Fn(&E)`, `Fn(&E, &mut Context)` or a [`Handler`](crate::Handler).
    ///
    /// A closure names the type of its event: `|event: &OrderPlaced| ..`. One that uses `?` also
    /// names what it returns: `|event: &OrderPlaced, ctx: &mut Context| -> Result<(), HandlerError>`.
    /// Async handlers are given with `on_async` (feature `tokio`).
    ///
    /// May be called for several events: they share one cursor and one order.
    pub fn on<E: Event, M>(self, handler: impl IntoHandler<E, M>) -> Self {
        self.add::<E>(delivery::erase(handler.into_handler()))
    }

    /// Passes over events of this type for which `passes` says false: the handler is not called, and
    /// the event is done with, as [`Ledger::filtered`](crate::Ledger) counts. Of several filters for
    /// one type all have to say true. One that panics is a failed attempt.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed")]
    /// # struct OrderPlaced { cents: u64 }
    /// # let bus = Bus::volatile();
    /// bus.subscribe("large-orders")
    ///     .filter(|order: &OrderPlaced| order.cents >= 100_000)
    ///     .on(|order: &OrderPlaced| println!("look at this: {}", order.cents))
    ///     .start()?;
    /// # Ok::<(), tidings::Error>(())
    /// ```
    pub fn filter<E: Event>(mut self, passes: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        match self.bus.journal.contract().of::<E>() {
            Ok(event) => self.filters.push((event, delivery::erase_filter(passes))),
            Err(taken) => {
                self.wrong.get_or_insert(taken.into());
            }
        }
        self
    }

    /// Does something around every handler that is given with `on`: the first layer is the outermost,
    /// whether it is given before or after the handlers. A filter and an idempotency key come before
    /// all layers. [`Bus::describe`](crate::Bus::describe) prints the order.
    ///
    /// A layer that does not run [`Next`](crate::Next) and returns `Ok` acknowledges the event without its
    /// handler.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed")]
    /// # struct OrderPlaced { cents: u64 }
    /// # let bus = Bus::volatile();
    /// use tidings::{Context, HandlerError, Next};
    ///
    /// fn logged(ctx: &mut Context, next: Next<'_>) -> Result<(), HandlerError> {
    ///     println!("{} begins, attempt {}", ctx.event_name(), ctx.attempt());
    ///     let result = next.run(ctx);
    ///     println!("{}", if result.is_ok() { "done" } else { "failed" });
    ///     result
    /// }
    ///
    /// bus.subscribe("billing").layer(logged).on(|order: &OrderPlaced| ()).start()?;
    /// # Ok::<(), tidings::Error>(())
    /// ```
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(NamedLayer::new(layer));
        self
    }

    /// Calls the handler of this type of event once for all events that stand for one thing, as `key`
    /// has it, within a window: as [`idempotent_by`](crate::idempotent_by) does, for async and pulled
    /// handlers as well.
    pub fn idempotent_by<E: Event, K: ToKey>(
        mut self,
        window: Window,
        key: impl Fn(&E) -> K + Send + Sync + 'static,
    ) -> Self {
        match self.bus.journal.contract().of::<E>() {
            Ok(event) => self.idempotencies.push((event, delivery::erase_key(window, key))),
            Err(taken) => {
                self.wrong.get_or_insert(taken.into());
            }
        }
        self
    }

    /// Handles an event on the thread that publishes it, before `publish` returns: for handlers that
    /// take nanoseconds, such as counters and caches. Only on a volatile bus.
    ///
    /// The handler is called by as many threads at once as publish, before the event has its place in
    /// the journal: if the publish then finds no room, it fails, and the handler has seen the event
    /// all the same. A bare event that no other subscription wants gets no place at all, and its
    /// receipt has the position that the next one will get. What the handler itself publishes comes
    /// before its own event, and one that publishes its own type of event calls itself.
    ///
    /// When the handler fails or panics, or the subscription is paused, the event goes to a lane of
    /// the subscription, with retries and dead letters as everywhere. Later events overtake it,
    /// those of its key too. A publish that is under way on another thread while the subscription
    /// stops may still call the handler; that thread drops its share in the handler when it
    /// publishes another event or ends.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    ///
    /// use tidings::{Bus, Event};
    ///
    /// #[derive(Serialize, Deserialize, Event)]
    /// #[event(name = "orders.placed")]
    /// struct OrderPlaced { cents: u64 }
    ///
    /// let bus = Bus::volatile();
    /// let sum = Arc::new(AtomicU64::new(0));
    /// let turnover = Arc::clone(&sum);
    /// bus.subscribe("turnover")
    ///     .on_inline(move |order: &OrderPlaced| {
    ///         turnover.fetch_add(order.cents, Ordering::Relaxed);
    ///     })
    ///     .start()?;
    ///
    /// bus.publish(OrderPlaced { cents: 4999 })?;
    /// assert_eq!(sum.load(Ordering::Relaxed), 4999);
    /// # Ok::<(), tidings::Error>(())
    /// ```
    pub fn on_inline<E: Event, R: Outcome + 'static>(
        self,
        handler: impl IntoHandler<E, Plain<R>>,
    ) -> Self {
        self.add::<E>(delivery::erase_inline(handler.into_handler()))
    }

    /// Handles an event with an async function, on the tokio runtime that this is called in.
    ///
    /// Events of one key run one at a time, in order; others run side by side, up to
    /// [`max_in_flight`](Self::max_in_flight).
    #[cfg(feature = "tokio")]
    pub fn on_async<E, F, R>(mut self, handler: F) -> Self
    where
        E: Event,
        F: Fn(crate::Delivery<E>) -> R + Send + Sync + 'static,
        R: Future<Output: crate::Outcome> + Send + 'static,
    {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => self.add::<E>(delivery::erase_async(runtime, handler)),
            Err(_) => {
                self.wrong.get_or_insert(SubscribeError::NoTokio);
                self
            }
        }
    }

    fn add<E: Event>(mut self, run: Run) -> Self {
        match self.bus.journal.contract().of::<E>() {
            Ok(event) if self.handlers.iter().any(|(other, _)| other.id == event.id) => {
                let (name, event) = (self.name.to_string(), event.name.to_string());
                self.wrong.get_or_insert(SubscribeError::DuplicateHandler { name, event });
            }
            Ok(event) => self.handlers.push((event, run)),
            Err(taken) => {
                self.wrong.get_or_insert(taken.into());
            }
        }
        self
    }

    /// Starts the subscription. It runs until the bus or the subscription is stopped, whether or
    /// not the handle is kept.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub fn start(self) -> Result<Subscription, SubscribeError> {
        self.start_with(None)
    }

    /// Starts the subscription, to be pulled from. Each delivery is settled explicitly.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub fn stream<E: Event>(self) -> Result<Deliveries<E>, SubscribeError> {
        let queue = PullQueue::<E>::new();
        let closing = Arc::clone(&queue);
        let subscription =
            self.add::<E>(queue.feeder()).start_with(Some(Box::new(move || closing.close())))?;
        Ok(Deliveries::new(queue, subscription))
    }

    /// Starts a subscription of the bus's own.
    pub(super) fn start_own<E: Event>(
        mut self,
        run: Run,
        on_stop: Box<dyn FnOnce() + Send>,
    ) -> Result<Subscription, SubscribeError> {
        self.own = true;
        self.add::<E>(run).start_with(Some(on_stop))
    }

    fn start_with(
        self,
        on_stop: Option<Box<dyn FnOnce() + Send>>,
    ) -> Result<Subscription, SubscribeError> {
        let bus = Arc::clone(&self.bus);
        let plan = self.plan(on_stop)?;
        let name = Arc::clone(&plan.name);
        // The name is taken first, since looking into storage takes its time.
        bus.subscriptions.lock().reserve(&name)?;
        let registered = delivery::register(&bus.journal, plan);
        let mut subscriptions = bus.subscriptions.lock();
        subscriptions.starting.remove(&name);
        let subscriber = registered?;
        if subscriptions.closed {
            drop(subscriptions);
            subscriber.leave();
            return Err(SubscribeError::Closed);
        }
        subscriptions.running.insert(name, Arc::clone(&subscriber));
        Ok(Subscription::new(Arc::downgrade(&bus), subscriber))
    }

    fn wrap_handlers(&mut self) -> Result<(), SubscribeError> {
        for (event, run) in std::mem::take(&mut self.handlers) {
            let Some(run) = run.layered(&self.layers) else {
                let (name, event) = (self.name.to_string(), event.name.to_string());
                return Err(SubscribeError::Layer { name, event });
            };
            self.handlers.push((event, run));
        }
        for (event, passes) in std::mem::take(&mut self.filters) {
            let (event, run) = self.take_handler(&event)?;
            self.handlers.push((event, run.filtered(passes)));
        }
        for (event, idempotency) in std::mem::take(&mut self.idempotencies) {
            let (event, run) = self.take_handler(&event)?;
            self.handlers.push((event, run.idempotent(idempotency)));
        }
        Ok(())
    }

    /// The handler of an event, if it runs in a lane.
    fn take_handler(&mut self, event: &EventType) -> Result<(Arc<EventType>, Run), SubscribeError> {
        let is_for =
            |(other, run): &(Arc<EventType>, Run)| other.id == event.id && !run.is_inline();
        let at = self.handlers.iter().position(is_for).ok_or_else(|| {
            SubscribeError::Unhandled { name: self.name.to_string(), event: event.name.to_string() }
        })?;
        Ok(self.handlers.swap_remove(at))
    }

    fn plan(mut self, on_stop: Option<Box<dyn FnOnce() + Send>>) -> Result<Plan, SubscribeError> {
        let name = self.name.to_string();
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        if !self.own && !crate::event::is_valid_name(&name) {
            return Err(SubscribeError::InvalidName { name });
        }
        if self.handlers.iter().any(|(_, run)| run.is_inline()) && self.bus.journal.is_durable() {
            return Err(SubscribeError::Inline { name });
        }
        if self.handlers.is_empty() {
            return Err(SubscribeError::NoHandler { name });
        }
        self.wrap_handlers()?;
        let ignored = |(event, _): &&(Arc<EventType>, Run)| self.ignored.contains(&*event.name);
        if let Some((event, _)) = self.handlers.iter().find(ignored) {
            return Err(SubscribeError::Ignored { name, event: event.name.to_string() });
        }
        let (least, most) = (self.lanes.least(), self.lanes.most());
        if least == 0 || least > most || most > MAX_LANES {
            return Err(SubscribeError::Lanes { lanes: self.lanes });
        }
        if !crate::event::is_valid_name(&self.pool) {
            return Err(SubscribeError::UnknownPool { pool: self.pool });
        }
        let Some(pool) = self.bus.journal.runtime().find_pool(&self.pool) else {
            return Err(SubscribeError::UnknownPool { pool: self.pool });
        };
        Ok(Plan {
            name: self.name,
            handlers: self.handlers,
            ignored: self.ignored,
            lanes: self.lanes,
            pool,
            start: self.start,
            policy: self.policy,
            alarm: self.alarm,
            protection: Protection {
                shared_budget: self.bus.budgets.get(&self.pool).map(Arc::clone),
                ..self.protection
            },
            ephemeral: self.ephemeral,
            on_stop,
            quarantine: Arc::clone(&self.bus.quarantine),
        })
    }
}

impl Subscriptions {
    /// Takes a name for a subscription that is about to run.
    fn reserve(&mut self, name: &Arc<str>) -> Result<(), SubscribeError> {
        if self.closed {
            return Err(SubscribeError::Closed);
        }
        if self.running.contains_key(name) || !self.starting.insert(Arc::clone(name)) {
            return Err(SubscribeError::DuplicateName { name: name.to_string() });
        }
        Ok(())
    }
}

impl std::fmt::Debug for SubscriptionBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubscriptionBuilder")
            .field("name", &self.name)
            .field("lanes", &self.lanes)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
