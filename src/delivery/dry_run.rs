//! Calling a handler with the event of a dead letter to see what it says, and keeping nothing.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    Context, HandlerError, Subscriber,
    attempt::{event_of, panicked},
    context::Staged,
    handler::Form,
    keys,
    parking::Held,
};
use crate::{
    event::Key,
    journal::{Draft, Entry},
    message::Position,
    runtime::{Timestamp, inside_task},
    storage::StorageError,
};

/// What the handler of a dead letter said in a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DryVerdict {
    /// A retry would succeed now.
    WouldSucceed,
    /// A retry would fail now, with this error.
    WouldFail(String),
    /// The handler came to this step, an effect that [`Context::once`] has not done before. Nobody
    /// knows what comes after it.
    ReachesEffect(String),
}

/// What came of calling a handler with an event of the past, of which nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DryOutcome {
    /// The event's position.
    pub position: Position,
    /// Its name.
    pub event: Arc<str>,
    /// What it is about.
    pub key: Option<Key>,
    /// What the handler said.
    pub verdict: DryVerdict,
    /// What it would have published, in this order; first what at once, then what later.
    pub published: Vec<DryEvent>,
    /// What it would have stored, by name; `None` where it would have removed it. JSON.
    pub stored: Vec<(String, Option<String>)>,
}

/// An event that a handler would have published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DryEvent {
    /// The event's name.
    pub name: Arc<str>,
    /// What it is about.
    pub key: Option<Key>,
    /// The event, encoded as its type says: JSON, unless it says otherwise.
    pub payload: Vec<u8>,
    /// When it would have been published, if later.
    pub due: Option<Timestamp>,
}

impl DryEvent {
    fn of(draft: &Draft, due: Option<Timestamp>) -> Self {
        let (envelope, payload) = (draft.envelope(), draft.payload().to_vec());
        Self { name: Arc::clone(&envelope.name), key: envelope.key.clone(), payload, due }
    }
}

impl DryEvent {
    /// The same event, at about the same time.
    fn is_like(&self, other: &Self) -> bool {
        let times = self.due.zip(other.due);
        let is_near = times.is_none_or(|(one, other)| {
            one.since(other).max(other.since(one)) < Duration::from_secs(1)
        });
        is_near
            && self.due.is_some() == other.due.is_some()
            && (&self.name, &self.key, &self.payload) == (&other.name, &other.key, &other.payload)
    }
}

impl fmt::Display for DryEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, String::from_utf8_lossy(&self.payload))
    }
}

impl DryOutcome {
    fn of(subscription: &str, entry: &Entry, verdict: DryVerdict, staged: &Staged) -> Self {
        let now = staged.drafts.iter().map(|draft| DryEvent::of(draft, None));
        let later = staged.later.iter().map(|later| DryEvent::of(&later.draft, Some(later.due)));
        let key = entry.envelope.key.as_ref();
        let prefix = keys::state(subscription, key, "");
        let stored = keys::under_prefix(&staged.writes, &prefix).into_iter();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let stored = stored.map(|(name, value)| {
            let name = name.strip_prefix(prefix.as_slice()).unwrap_or_default();
            (text(name), value.as_deref().map(text))
        });
        Self {
            position: entry.position,
            event: Arc::clone(&entry.envelope.name),
            key: key.cloned(),
            verdict,
            published: now.chain(later).collect(),
            stored: stored.collect(),
        }
    }

    /// Whether another handler of the event has said and done the same.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let published = self.published.iter().zip(&other.published);
        (&self.verdict, &self.stored) == (&other.verdict, &other.stored)
            && self.published.len() == other.published.len()
            && published.into_iter().all(|(one, other)| one.is_like(other))
    }
}

/// What a dry run has come to, as the handler goes on.
#[derive(Debug, Default)]
pub(super) struct DryRunning {
    reached: Option<String>,
}

impl Context {
    /// Whether this is a [dry run](crate::DeadLetters::dry_run): nothing that is published or stored
    /// through the context is kept. A handler that does something outside without [`once`](Self::once)
    /// has to ask, and leave it.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.is_some()
    }

    /// An effect is about to be done: not in a dry run.
    pub(super) fn permit_effect(&mut self, step: &str) -> Result<(), HandlerError> {
        let Some(dry_run) = &mut self.dry_run else { return Ok(()) };
        dry_run.reached.get_or_insert_with(|| step.to_owned());
        Err(HandlerError::reject(format!("the effect `{step}` is not done in a dry run")))
    }
}

impl Subscriber {
    /// Whether the handler for that event, if there is one, runs to its end where it is called.
    pub(crate) fn allows_dry_run(&self, event: &str) -> bool {
        let mut handlers = self.handlers.values().filter(|one| *one.event.name == *event);
        handlers.all(|one| matches!(one.run.form, Form::Called { .. }) && !one.run.is_inline())
    }

    /// Calls the handler with the event of a dead letter, on this thread. `None` where there is no
    /// such letter.
    pub(crate) fn dry_run(
        self: &Arc<Self>,
        position: Position,
    ) -> Result<Option<DryVerdict>, StorageError> {
        let held = self.dead.held(position, &keys::Writes::new())?;
        // Handlers act as in a lane: what must not be waited for there is not waited for here.
        Ok(held.map(|held| inside_task(|| self.try_dry(&held))))
    }

    /// Calls the handler of an event of the past, on this thread, and says what came of it. What it
    /// stores is seen by later calls with the same `stored`, and kept nowhere else. `None` for an event
    /// that it does not handle.
    pub(crate) fn replay_dry(
        self: &Arc<Self>,
        entry: Entry,
        stored: &mut keys::Writes,
    ) -> Option<DryOutcome> {
        if !self.handlers.contains_key(&entry.kind) || !self.wants(&entry) {
            return None;
        }
        let held = Held::new(Arc::new(entry));
        let (verdict, staged) = inside_task(|| self.call_dry(&held, stored));
        let outcome = DryOutcome::of(&self.name, &held.entry, verdict, &staged);
        stored.extend(staged.writes);
        Some(outcome)
    }

    fn try_dry(self: &Arc<Self>, held: &Held) -> DryVerdict {
        self.call_dry(held, &mut keys::Writes::new()).0
    }

    /// What the handler says, and what it has staged if it succeeds.
    fn call_dry(self: &Arc<Self>, held: &Held, earlier: &mut keys::Writes) -> (DryVerdict, Staged) {
        let fails = |error: String| (DryVerdict::WouldFail(error), Staged::default());
        let Some(registered) = self.handlers.get(&held.entry.kind) else {
            return fails("the subscription has no handler for it".into());
        };
        let Form::Called { call, .. } = &registered.run.form else {
            return fails("its handler is only started in a lane".into());
        };
        let event = match event_of(registered, &held.entry) {
            Ok(event) => event,
            Err(error) => return fails(error),
        };
        let mut context = Context {
            subscriber: Arc::clone(self),
            entry: Arc::clone(&held.entry),
            attempt: held.all_attempts() + 1,
            beyond_window: false,
            staged: Staged::default(),
            earlier: std::mem::take(earlier),
            steps: None,
            dry_run: Some(DryRunning::default()),
        };
        let called = catch_unwind(AssertUnwindSafe(|| call(&event, &mut context)));
        *earlier = std::mem::take(&mut context.earlier);
        // Even if the handler has made something else of the error.
        if let Some(step) = context.dry_run.and_then(|dry_run| dry_run.reached) {
            return (DryVerdict::ReachesEffect(step), Staged::default());
        }
        let called = called.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        match context.staged.ended(called) {
            Ok(staged) => (DryVerdict::WouldSucceed, staged),
            Err(error) => fails(error.describe()),
        }
    }
}
