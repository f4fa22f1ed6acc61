//! The handle of a running saga: looking at its instances, and helping those that are stuck.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use super::{
    Condition, PendingEvent, SagaError, SagaInstance, SagaSummary,
    events::Operation,
    instance,
    runner::{INSTANCE, PARKED},
};
use crate::{
    bus::{Receipt, Subscription},
    delivery::Area,
    event::Key,
    message::Message,
    saga::{
        definition::Saga,
        machine::{Command, HistoryEntry, WaitingEvent},
    },
    storage::StorageError,
};

/// The handle of a running saga. Dropping it changes nothing; it keeps no bus alive.
///
/// What it shows is as of the last commit. What it does comes to the instance as an event of its key, in
/// order with all others, and goes into its history: [`Receipt::settled_by`] waits until it is done.
pub struct Sagas<S: Saga> {
    subscription: Subscription,
    saga: PhantomData<fn() -> S>,
}

/// How many instances there are of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SagasStatus {
    /// By how they are doing.
    pub instances: BTreeMap<Condition, u64>,
    /// By the version that wrote them and their state, those that are over included.
    pub states: BTreeMap<(u32, String), u64>,
    /// Events that wait for an instance which has not begun.
    pub parked: u64,
}

impl SagasStatus {
    /// How many instances wait for an operator.
    #[must_use]
    pub fn halted(&self) -> u64 {
        let halted = self.instances.iter().filter(|(condition, _)| condition.needs_operator());
        halted.map(|(_, instances)| instances).sum()
    }
}

impl<S: Saga> Sagas<S> {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self { subscription, saga: PhantomData }
    }

    /// The saga's subscription, to be paused, stopped or asked for its lag. Its dead letters are those of
    /// [`Bus::dead_letters`](crate::Bus::dead_letters) with the saga's name.
    #[must_use]
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// The instance of a key; `None` if there is none, or none any more.
    ///
    /// # Errors
    /// Storage failed, or the instance's state cannot be read.
    pub fn get(&self, key: impl Into<Key>) -> Result<Option<SagaInstance<S>>, SagaError> {
        let key = key.into();
        let Some(bytes) = self.record(&key, INSTANCE)? else { return Ok(None) };
        let instance = instance::read(&bytes).map_err(|why| Self::not_now(&key, why.error))?;
        Ok(Some(SagaInstance::of(key, instance)))
    }

    /// All instances, by key, those that are over included as long as they are kept. Reads all of them.
    ///
    /// # Errors
    /// Storage failed.
    pub fn list(&self) -> Result<Vec<SagaSummary>, SagaError> {
        let records = self.subscription.subscriber().records(Area::Saga, None)?;
        let instances = records.into_iter().filter(|(_, name, _)| name == INSTANCE);
        let summaries = instances.map(|(key, _, bytes)| instance::summarise::<S>(key, &bytes));
        let mut summaries: Vec<_> = summaries.collect();
        summaries.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(summaries)
    }

    /// How many instances there are of each kind. Reads all of them.
    ///
    /// # Errors
    /// Storage failed.
    pub fn status(&self) -> Result<SagasStatus, SagaError> {
        let mut status = SagasStatus::default();
        for (key, name, bytes) in self.subscription.subscriber().records(Area::Saga, None)? {
            if name == PARKED {
                status.parked += decode_parked(&bytes).map_or(0, |parked| parked.len() as u64);
                continue;
            }
            let summary = instance::summarise::<S>(key, &bytes);
            *status.instances.entry(summary.condition).or_default() += 1;
            *status.states.entry((summary.version, summary.state)).or_default() += 1;
        }
        Ok(status)
    }

    /// What has happened to an instance, the oldest first: the last
    /// [so many](crate::saga::Define::history) entries.
    ///
    /// # Errors
    /// Storage failed.
    pub fn history(&self, key: impl Into<Key>) -> Result<Vec<HistoryEntry>, SagaError> {
        let records =
            self.subscription.subscriber().records(Area::SagaHistory, Some(&key.into()))?;
        let entries = records.iter().filter_map(|(.., bytes)| serde_json::from_slice(bytes).ok());
        let mut entries: Vec<HistoryEntry> = entries.collect();
        entries.sort_by_key(|entry| entry.revision);
        Ok(entries)
    }

    /// The events that wait for an instance which has not begun, or whose state cannot be read.
    ///
    /// # Errors
    /// Storage failed.
    pub fn parked(&self, key: impl Into<Key>) -> Result<Vec<PendingEvent>, SagaError> {
        let Some(bytes) = self.record(&key.into(), PARKED)? else { return Ok(Vec::new()) };
        let parked = decode_parked(&bytes).unwrap_or_default();
        Ok(parked.iter().map(Into::into).collect())
    }

    /// Has an instance that has halted go on: one that was suspended takes what has waited; one that could
    /// not be undone tries again.
    ///
    /// # Errors
    /// There is no such instance, or it does not wait for an operator.
    pub fn retry(&self, key: impl Into<Key>) -> Result<Receipt, SagaError> {
        let key = key.into();
        if !self.expect(&key)?.condition.needs_operator() {
            return Err(Self::not_now(&key, "does not wait for an operator"));
        }
        self.tell(&key, Command::Retry)
    }

    /// Leaves out what could not be undone, and goes on with the rest.
    ///
    /// # Errors
    /// There is no such instance, or none of its compensations has failed.
    pub fn skip(&self, key: impl Into<Key>) -> Result<Receipt, SagaError> {
        let key = key.into();
        if self.expect(&key)?.condition != Condition::CompensationFailed {
            return Err(Self::not_now(&key, "has no compensation that failed"));
        }
        self.tell(&key, Command::Skip)
    }

    /// Has a timer go off now.
    ///
    /// # Errors
    /// There is no such instance, or the timer is not set.
    pub fn fire_timer(&self, key: impl Into<Key>, timer: &str) -> Result<Receipt, SagaError> {
        let key = key.into();
        if !self.expect(&key)?.timers.iter().any(|set| set.name == timer) {
            return Err(Self::not_now(&key, format!("has no timer `{timer}` set")));
        }
        self.tell(&key, Command::FireTimer(timer.to_owned()))
    }

    /// Undoes what an instance has done, and ends it where it is.
    ///
    /// # Errors
    /// There is no such instance, it is over or being undone, or it is past the point of no return.
    pub fn cancel(&self, key: impl Into<Key>, why: &str) -> Result<Receipt, SagaError> {
        let key = key.into();
        let instance = self.expect(&key)?;
        if !matches!(instance.condition, Condition::Running | Condition::Suspended) {
            return Err(Self::not_now(&key, format!("is {}", instance.condition)));
        }
        if instance.is_pivoted {
            return Err(Self::not_now(&key, "is past the point of no return"));
        }
        self.tell(&key, Command::Cancel(why.to_owned()))
    }

    /// Drops the events that wait for an instance which has not begun.
    ///
    /// # Errors
    /// The instance has begun.
    pub fn discard_parked(&self, key: impl Into<Key>) -> Result<Receipt, SagaError> {
        let key = key.into();
        if self.record(&key, INSTANCE)?.is_some() {
            return Err(Self::not_now(&key, "has begun, and has taken what was parked"));
        }
        self.tell(&key, Command::DiscardParked)
    }

    pub(super) fn tell(&self, key: &Key, command: Command) -> Result<Receipt, SagaError> {
        let saga = S::NAME;
        let bus = self.subscription.live_bus().ok_or(SagaError::Closed { saga })?;
        let operation = Operation { saga: saga.to_owned(), command };
        let published = bus.publish(Message::new(operation).key(key.clone()));
        published.map_err(|error| SagaError::Publish { saga, failure: error.into_failure() })
    }

    fn expect(&self, key: &Key) -> Result<SagaInstance<S>, SagaError> {
        let found = self.get(key.clone())?;
        found.ok_or_else(|| SagaError::NoInstance { saga: S::NAME, key: key.clone() })
    }

    fn not_now(key: &Key, why: impl Into<String>) -> SagaError {
        SagaError::NotNow { saga: S::NAME, key: key.clone(), why: why.into() }
    }

    fn record(&self, key: &Key, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.subscription.subscriber().record(Area::Saga, key, name)
    }
}

fn decode_parked(bytes: &[u8]) -> Option<Vec<WaitingEvent>> {
    serde_json::from_slice(bytes).ok()
}

impl<S: Saga> Clone for Sagas<S> {
    fn clone(&self) -> Self {
        Self::new(self.subscription.clone())
    }
}

impl<S: Saga> fmt::Debug for Sagas<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sagas")
            .field("saga", &S::NAME)
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}
