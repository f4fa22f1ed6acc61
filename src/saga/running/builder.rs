//! Starting a saga.

use std::{collections::BTreeMap, fmt, marker::PhantomData, sync::Arc};

use super::{
    SagaError, Sagas, Unloadable,
    events::{Operation, TimerFired},
    instance,
    runner::{HaltHook, INSTANCE, PARKED, Runner},
};
use crate::{
    bus::{Bus, SubscriptionBuilder},
    delivery::{Area, Context, Record},
    event::Key,
    policy::{Backoff, Lanes, Start},
    saga::{
        definition::Saga,
        machine::{Command, Machine},
    },
};

impl Bus {
    /// Begins a saga: see [`Saga`](crate::saga::Saga). It runs once it is started.
    pub fn saga<S: Saga>(&self) -> SagaBuilder<S> {
        SagaBuilder {
            bus: self.clone(),
            subscription: self.subscribe(S::NAME),
            on_halt: None,
            saga: PhantomData,
        }
    }
}

/// A saga being described. It runs once it is started.
#[must_use = "a saga does nothing until it is started"]
pub struct SagaBuilder<S> {
    bus: Bus,
    subscription: SubscriptionBuilder,
    on_halt: Option<HaltHook>,
    saga: PhantomData<fn() -> S>,
}

impl<S: Saga> SagaBuilder<S> {
    /// How many lanes there are, as for any [subscription](SubscriptionBuilder::lanes): instances run in
    /// parallel, the events of one in order. A saga that finds instances by something else than the keys
    /// of their events has one lane.
    pub fn lanes(self, lanes: impl Into<Lanes>) -> Self {
        self.subscription(|subscription| subscription.lanes(lanes))
    }

    /// The pool to run on, as for any [subscription](SubscriptionBuilder::pool).
    pub fn pool(self, name: &str) -> Self {
        self.subscription(|subscription| subscription.pool(name))
    }

    /// Where it starts when its name is new, as for any [subscription](SubscriptionBuilder::start_at).
    pub fn start_at(self, start: Start) -> Self {
        self.subscription(|subscription| subscription.start_at(start))
    }

    /// When an event is tried again whose handler has panicked, or whose instance is missing under
    /// [`Missing::Retry`](super::super::Missing::Retry).
    pub fn retry(self, backoff: Backoff) -> Self {
        self.subscription(|subscription| subscription.retry(backoff))
    }

    /// Anything else that a subscription can be told.
    pub fn subscription(
        mut self,
        describe: impl FnOnce(SubscriptionBuilder) -> SubscriptionBuilder,
    ) -> Self {
        self.subscription = describe(self.subscription);
        self
    }

    /// Calls this when an instance halts and waits for an operator: it was suspended, or could not be
    /// undone. With its key, and why. It is called before that is committed, so that it may be called
    /// again for the same halt.
    pub fn on_halt(mut self, hook: impl Fn(&Key, &str) + Send + Sync + 'static) -> Self {
        self.on_halt = Some(Box::new(hook));
        self
    }

    /// Starts the saga. It runs until the bus or its subscription is stopped, whether or not the handle is
    /// kept.
    ///
    /// Reads every stored instance, to see that it can.
    ///
    /// # Errors
    /// Its definition is not sound, and the error lists all that is wrong; there are instances that this
    /// build cannot read, and the error says how many of which version; or the subscription cannot start.
    pub fn start(self) -> Result<Sagas<S>, SagaError> {
        let machine = Machine::<S>::new()?;
        check_lanes(&machine, self.subscription.most_lanes())?;
        let stored = self.bus.stored_records(S::NAME, Area::Saga)?;
        check_instances::<S>(&stored)?;
        let parked = readable_with_parked(&stored);
        let runner = Arc::new(Runner { machine, on_halt: self.on_halt });
        let kinds = runner.machine.define.events.values();
        let subscribe = kinds.map(|kind| kind.subscribe).collect::<Vec<_>>();
        let mut subscription = self.subscription;
        for subscribe in subscribe {
            subscription = subscribe(subscription, Arc::clone(&runner));
        }
        let subscription = with_own_events(subscription, &runner).start()?;
        let sagas = Sagas::new(subscription);
        for key in parked {
            sagas.tell(&key, Command::TakeParked)?;
        }
        Ok(sagas)
    }
}

/// Adds timers and operators' actions.
fn with_own_events<S: Saga>(
    subscription: SubscriptionBuilder,
    runner: &Arc<Runner<S>>,
) -> SubscriptionBuilder {
    let (timers, operations) = (Arc::clone(runner), Arc::clone(runner));
    subscription
        .filter(|fired: &TimerFired| fired.saga == S::NAME)
        .on(move |fired: &TimerFired, ctx: &mut Context| timers.fire(fired, ctx))
        .filter(|operation: &Operation| operation.saga == S::NAME)
        .on(move |operation: &Operation, ctx: &mut Context| operations.operate(operation, ctx))
}

fn check_lanes<S: Saga>(machine: &Machine<S>, lanes: u32) -> Result<(), SagaError> {
    let by = machine.define.events.iter().find(|(_, kind)| kind.by.is_some());
    match by {
        Some((event, _)) if lanes > 1 => Err(SagaError::Lanes { saga: S::NAME, event, lanes }),
        _ => Ok(()),
    }
}

/// Every instance can be read, or else there is a list of those that cannot.
fn check_instances<S: Saga>(stored: &[Record]) -> Result<(), SagaError> {
    let mut unloadable: BTreeMap<_, Unloadable> = BTreeMap::new();
    for (key, _, bytes) in stored.iter().filter(|(_, name, _)| name == INSTANCE) {
        let Err(why) = instance::read::<S>(bytes) else { continue };
        let kind = (why.version, why.state.clone());
        let known = unloadable.entry(kind).or_insert_with(|| Unloadable {
            version: why.version,
            state: why.state,
            instances: 0,
            example: key.clone(),
            error: why.error,
        });
        known.instances += 1;
    }
    if unloadable.is_empty() {
        return Ok(());
    }
    let unloadable = unloadable.into_values().collect();
    Err(SagaError::Unloadable { saga: S::NAME, unloadable })
}

/// The instances for which events were parked while their state could not be read.
fn readable_with_parked(stored: &[Record]) -> Vec<Key> {
    let is_there =
        |key: &Key| stored.iter().any(|(other, name, _)| name == INSTANCE && other == key);
    let parked = stored.iter().filter(|(_, name, _)| name == PARKED);
    parked.map(|(key, ..)| key.clone()).filter(is_there).collect()
}

impl<S: Saga> fmt::Debug for SagaBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaBuilder")
            .field("saga", &S::NAME)
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}
