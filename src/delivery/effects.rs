//! What handlers have done outside, by event: done once, its result kept for every later attempt.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Context, HandlerError, keys};
use crate::{
    journal::{Journal, Mistake},
    message::Position,
    storage::{StorageError, Write},
};

/// The results of the steps of one event.
pub(super) type Steps = BTreeMap<String, Value>;

/// What the handlers of a subscription have done outside, for events that are not acknowledged yet.
pub(super) struct Effects {
    journal: Arc<Journal>,
    subscription: Arc<str>,
    /// For which events there is anything.
    positions: Mutex<BTreeSet<Position>>,
    /// Nothing was ever kept, so that nobody need look.
    is_unused: AtomicBool,
    /// What there is; `None` where storage has it.
    memory: Option<Mutex<BTreeMap<Position, Steps>>>,
}

impl Effects {
    pub(super) fn open(
        journal: &Arc<Journal>,
        subscription: &Arc<str>,
        is_stored: bool,
    ) -> Result<Self, StorageError> {
        let prefix = keys::all_effects(subscription);
        let stored = if is_stored { journal.scan(&prefix)? } else { Vec::new() };
        let positions = stored.iter().filter_map(|(key, _)| keys::position(key)).collect();
        Ok(Self {
            is_unused: stored.is_empty().into(),
            journal: Arc::clone(journal),
            subscription: Arc::clone(subscription),
            positions: Mutex::new(positions),
            memory: (!is_stored).then(Mutex::default),
        })
    }

    fn recall(&self, at: Position) -> Result<Steps, StorageError> {
        if !self.positions.lock().contains(&at) {
            return Ok(Steps::new());
        }
        if let Some(memory) = &self.memory {
            return Ok(memory.lock().get(&at).cloned().unwrap_or_default());
        }
        let stored = self.journal.get(&keys::effects(&self.subscription, at))?;
        let decode = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|_| damaged());
        stored.map_or(Ok(Steps::new()), decode)
    }

    /// Keeps the results, and returns once they are as durable as the bus promises.
    fn keep(&self, at: Position, steps: &Steps) -> Result<(), StorageError> {
        self.note(at);
        if let Some(memory) = &self.memory {
            memory.lock().insert(at, steps.clone());
            return Ok(());
        }
        if self.journal.is_planted(Mistake::EffectNotStored) {
            return Ok(());
        }
        self.journal.write_from_handler(vec![self.write(at, steps)?])
    }

    #[cfg(feature = "tokio")]
    async fn keep_later(&self, at: Position, steps: &Steps) -> Result<(), StorageError> {
        if self.memory.is_some() {
            return self.keep(at, steps);
        }
        self.note(at);
        self.journal.write_later(vec![self.write(at, steps)?]).await
    }

    fn note(&self, at: Position) {
        self.is_unused.store(false, Ordering::Release);
        self.positions.lock().insert(at);
    }

    fn write(&self, at: Position, steps: &Steps) -> Result<Write, StorageError> {
        let bytes = serde_json::to_vec(steps).map_err(|_| damaged())?;
        Ok(Write::put(keys::effects(&self.subscription, at), bytes))
    }

    /// The event is done with: nobody will ask again.
    pub(super) fn forget(&self, at: Position) -> Option<Write> {
        if self.is_unused.load(Ordering::Acquire) || !self.positions.lock().remove(&at) {
            return None;
        }
        match &self.memory {
            Some(memory) => {
                memory.lock().remove(&at);
                None
            }
            None => Some(Write::remove(keys::effects(&self.subscription, at))),
        }
    }
}

impl Context {
    /// Does something outside once for this event, and keeps its result: later attempts get the result
    /// and do nothing. So does the retry of a dead letter, until the event is acknowledged or given up.
    ///
    /// The result is kept, as durable as the bus promises, before this returns; on a durable bus that
    /// costs a commit, and blocks the thread for it. A process that ends between the effect and that
    /// commit does the effect again: where that must not be, give
    /// [`idempotency_key`](Self::idempotency_key) to whoever is called. `step` tells several effects of
    /// one handler apart. What the effect returns has to survive JSON. On a volatile bus, and for an
    /// ephemeral subscription, results live as long as the subscription runs.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// use tidings::{Bus, Context, Event, HandlerError};
    ///
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed")]
    /// # struct OrderPlaced { cents: u64 }
    /// # fn charge(cents: u64, key: String) -> Result<u64, std::io::Error> { Ok(cents) }
    /// # fn send_mail(receipt: u64) -> Result<(), std::io::Error> { Ok(()) }
    /// let bus = Bus::volatile();
    /// bus.subscribe("billing")
    ///     .on(|order: &OrderPlaced, ctx: &mut Context| -> Result<(), HandlerError> {
    ///         let key = ctx.idempotency_key("charge");
    ///         let receipt = ctx.once("charge", || charge(order.cents, key))?;
    ///         send_mail(receipt)?; // fails? the next attempt does not charge again
    ///         Ok(())
    ///     })
    ///     .start()?;
    /// # Ok::<(), tidings::Error>(())
    /// ```
    ///
    /// # Errors
    /// The effect's own, as it says whether to try again; or its result could not be kept, or is of
    /// another type than in an earlier attempt. In a [dry run](crate::DeadLetters::dry_run), where
    /// effects are not done: there is no result yet.
    pub fn once<T, E>(
        &mut self,
        step: &str,
        effect: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, HandlerError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<HandlerError>,
    {
        if let Some(result) = self.effect_result(step)? {
            return Ok(result);
        }
        self.permit_effect(step)?;
        let result = effect().map_err(Into::into)?;
        let (position, subscriber) = (self.position(), Arc::clone(&self.subscriber));
        let kept = subscriber.effects.keep(position, self.note_effect(step, &result)?);
        kept.map_err(|error| not_kept(step, &error))?;
        Ok(result)
    }

    /// As [`once`](Self::once), for async handlers: waits without blocking the thread.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "tokio")]
    pub async fn once_async<T, E>(
        &mut self,
        step: &str,
        effect: impl Future<Output = Result<T, E>>,
    ) -> Result<T, HandlerError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<HandlerError>,
    {
        if let Some(result) = self.effect_result(step)? {
            return Ok(result);
        }
        self.permit_effect(step)?;
        let result = effect.await.map_err(Into::into)?;
        let (position, subscriber) = (self.position(), Arc::clone(&self.subscriber));
        let kept = subscriber.effects.keep_later(position, self.note_effect(step, &result)?).await;
        kept.map_err(|error| not_kept(step, &error))?;
        Ok(result)
    }

    /// What a step has returned in this attempt or an earlier one.
    fn effect_result<T: DeserializeOwned>(
        &mut self,
        step: &str,
    ) -> Result<Option<T>, HandlerError> {
        if self.steps.is_none() {
            self.steps = Some(self.subscriber.effects.recall(self.position())?);
        }
        let found = self.steps.as_ref().and_then(|steps| steps.get(step));
        let decode = |value: &Value| T::deserialize(value);
        found.map(decode).transpose().map_err(|error| {
            HandlerError::retry(format!("the kept result of `{step}` is of another type: {error}"))
        })
    }

    fn note_effect<T: Serialize>(
        &mut self,
        step: &str,
        result: &T,
    ) -> Result<&Steps, HandlerError> {
        let value = serde_json::to_value(result).map_err(|error| not_kept(step, &error))?;
        let steps = self.steps.get_or_insert_default();
        steps.insert(step.to_owned(), value);
        Ok(steps)
    }
}

fn not_kept(step: &str, why: &dyn std::error::Error) -> HandlerError {
    HandlerError::retry(format!("`{step}` was done, and its result could not be kept: {why}"))
}

fn damaged() -> StorageError {
    let reason = "the kept results of a handler do not decode";
    StorageError::Corrupt { file: "state".into(), offset: 0, reason }
}
