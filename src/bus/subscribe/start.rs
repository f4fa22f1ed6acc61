//! Starting a subscription.

use std::sync::Arc;

use super::{MAX_LANES, SubscribeError, SubscriptionBuilder};
use crate::{
    bus::{Deliveries, Inner, Reservation, Subscription},
    contract::EventType,
    delivery::{self, Known, Plan, Probed, Protection, PullQueue, Run},
    event::Event,
};

impl SubscriptionBuilder {
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
    pub(in crate::bus) fn start_own<E: Event>(
        mut self,
        run: Run,
        on_stop: Box<dyn FnOnce() + Send>,
    ) -> Result<Subscription, SubscribeError> {
        self.own = true;
        self.add::<E>(run).start_with(Some(on_stop))
    }

    /// Starts a subscription of the bus's own, whatever its events.
    pub(crate) fn start_listening(
        mut self,
        on_stop: Box<dyn FnOnce() + Send>,
    ) -> Result<Subscription, SubscribeError> {
        self.own = true;
        self.start_with(Some(on_stop))
    }

    fn start_with(
        self,
        on_stop: Option<Box<dyn FnOnce() + Send>>,
    ) -> Result<Subscription, SubscribeError> {
        let bus = Arc::clone(&self.bus);
        let plan = self.plan()?;
        // The name is taken first, since looking into storage takes its time.
        let reservation = Reservation::of(&bus, &plan.name)?;
        let started = run(&bus, plan, on_stop);
        drop(reservation);
        started
    }

    /// Starts the subscription under a name that is reserved for it, until the reservation is dropped.
    pub(crate) fn start_reserved(
        self,
        reservation: &Reservation,
    ) -> Result<Subscription, SubscribeError> {
        let bus = Arc::clone(&self.bus);
        let plan = self.plan()?;
        debug_assert_eq!(plan.name, *reservation.name());
        run(&bus, plan, None)
    }

    /// Whether it could start, as far as can be known.
    pub(crate) fn check(self) -> Result<(), SubscribeError> {
        self.plan().map(drop)
    }

    fn plan(mut self) -> Result<Plan, SubscribeError> {
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
            handlers: self
                .handlers
                .into_iter()
                .map(|(event, run)| (event, Arc::new(run)))
                .collect(),
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
            objective: self.objective,
            ephemeral: self.ephemeral,
            replay: self.replay,
            paused: self.paused,
            quarantine: Arc::clone(&self.bus.quarantine),
            probed: if self.own { Probed::default() } else { self.bus.probed.clone() },
        })
    }
}

/// Whether storage has nothing of that name which is something else.
fn fits(bus: &Inner, plan: &Plan) -> Result<(), SubscribeError> {
    let name = || plan.name.to_string();
    match delivery::known(&bus.journal, &plan.name)? {
        Known::Subscription if plan.replay.is_some() => {
            Err(SubscribeError::NoReplay { name: name() })
        }
        Known::Replay(_) if plan.replay.is_none() => Err(SubscribeError::Replay { name: name() }),
        _ => Ok(()),
    }
}

/// Starts what is planned, whose name is reserved.
fn run(
    bus: &Arc<Inner>,
    plan: Plan,
    on_stop: Option<Box<dyn FnOnce() + Send>>,
) -> Result<Subscription, SubscribeError> {
    fits(bus, &plan)?;
    let name = Arc::clone(&plan.name);
    let subscriber = delivery::register(&bus.journal, plan, on_stop)?;
    let mut subscriptions = bus.subscriptions.lock();
    if subscriptions.closed {
        drop(subscriptions);
        subscriber.leave();
        return Err(SubscribeError::Closed);
    }
    subscriptions.running.insert(name, Arc::clone(&subscriber));
    Ok(Subscription::new(Arc::downgrade(bus), subscriber))
}
