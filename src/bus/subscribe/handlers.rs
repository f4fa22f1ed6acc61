//! Describing a subscription: which handlers get which events.

use std::{sync::Arc, time::Duration};

use super::{SubscribeError, SubscriptionBuilder};
use crate::{
    contract::EventType,
    delivery::{self, Batched, IntoHandler, Layer, NamedLayer, Outcome, Plain, Run},
    event::{Event, ToKey},
    policy::Window,
};

impl SubscriptionBuilder {
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

    /// Handles events several at a time: as soon as there are `max` of them, from 1, or the first has
    /// waited for `linger`. For work that is cheaper in bulk, such as writing rows.
    ///
    /// Each lane gathers its own batch. The events of a key come in their order, and there may be several
    /// of one key in it.
    ///
    /// [`Batched::fail`](crate::Batched::fail) names an event that could not be handled. If it is to come
    /// again, so do later ones of its key, after it; if it becomes a dead letter, they stand. Where the handler returns an error or panics,
    /// nobody knows which event is at fault: after the first delay of the [`retry`](Self::retry) policy
    /// each is handled by itself, and only that counts as an attempt. Events that have failed before, and
    /// dead letters that are tried again, come by themselves too.
    ///
    /// To a circuit breaker and to [`max_concurrency`](Self::max_concurrency) a batch is one call, to
    /// rates it is as many as it has events. There are no layers around it, and no state within it.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed")]
    /// # struct OrderPlaced { cents: u64 }
    /// # let bus = Bus::volatile();
    /// use std::time::Duration;
    /// use tidings::{Batched, HandlerError};
    ///
    /// bus.subscribe("warehouse")
    ///     .on_batch(500, Duration::from_millis(20), |orders: &mut [Batched<'_, OrderPlaced>]| {
    ///         for order in orders.iter_mut() {
    ///             if order.cents == 0 {
    ///                 order.fail(HandlerError::reject("an order of nothing"));
    ///             }
    ///         }
    ///         println!("{} rows written", orders.len());
    ///     })
    ///     .start()?;
    /// # bus.publish(OrderPlaced { cents: 1 })?;
    /// # assert!(bus.wait_idle(Duration::from_secs(10)));
    /// # Ok::<(), tidings::Error>(())
    /// ```
    pub fn on_batch<E, F, R>(self, max: usize, linger: Duration, handler: F) -> Self
    where
        E: Event,
        F: Fn(&mut [Batched<'_, E>]) -> R + Send + Sync + 'static,
        R: Outcome + 'static,
    {
        self.add::<E>(delivery::erase_batch(max, linger, handler))
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

    /// Passes over events of this type that come again because somebody wants them to:
    /// [`Context::is_replay`](crate::Context::is_replay). For handlers whose effect cannot be had twice,
    /// such as mails, in a subscription that may be [rewound](crate::Subscription::rewind). It is counted
    /// as [filtered](crate::Ledger::filtered). Not for handlers of batches.
    pub fn skip_replays<E: Event>(mut self) -> Self {
        match self.bus.journal.contract().of::<E>() {
            Ok(event) => self.live_only.push(event),
            Err(taken) => {
                self.wrong.get_or_insert(taken.into());
            }
        }
        self
    }

    pub(super) fn add<E: Event>(mut self, run: Run) -> Self {
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

    pub(super) fn wrap_handlers(&mut self) -> Result<(), SubscribeError> {
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
        for event in std::mem::take(&mut self.live_only) {
            let (event, run) = self.take_handler(&event)?;
            if run.is_batched() {
                let (name, event) = (self.name.to_string(), event.name.to_string());
                return Err(SubscribeError::Layer { name, event });
            }
            self.handlers.push((event, run.skipping_replays()));
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
}
