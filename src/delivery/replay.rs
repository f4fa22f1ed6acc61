//! A subscription that goes through a part of the past, and no further.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Subscriber,
    handler::Form,
    keys,
    register::{Meta, Plan, json, load_meta},
    subscriber::Registered,
};
use crate::{
    event::Key,
    journal::{Entry, Journal},
    message::Position,
    runtime::Tick,
    storage::{Filter, StorageError, Write},
};

/// Which part of the past.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplayPlan {
    /// Before which it ends; `None`: before what is published after its first start.
    pub(crate) to: Option<Position>,
    /// Events of this key alone.
    pub(crate) key: Option<Key>,
    /// The subscription in whose name effects are told apart, if it is not its own.
    pub(crate) effects_of: Option<Arc<str>>,
}

/// What is stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replayed {
    pub(crate) to: Position,
    /// It has come to its end.
    #[serde(default)]
    pub(crate) is_over: bool,
}

/// What storage knows of a subscription of some name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Nothing,
    Subscription,
    Replay(Replayed),
}

/// What storage knows of a subscription of that name.
pub(crate) fn known(journal: &Journal, name: &str) -> Result<Known, StorageError> {
    Ok(match load_meta(journal, name)? {
        None => Known::Nothing,
        Some(Meta { replay: None, .. }) => Known::Subscription,
        Some(Meta { replay: Some(replay), .. }) => Known::Replay(replay),
    })
}

/// Takes note that a replay is over, and keeps no events for it any more. Its state stays.
pub(crate) fn retire(journal: &Journal, name: &str) -> Result<(), StorageError> {
    journal.write(Vec::new())?; // what is on its way is to be seen here
    let Some(mut meta) = load_meta(journal, name)? else { return Ok(()) };
    let Some(replay) = &mut meta.replay else { return Ok(()) };
    replay.is_over = true;
    let mut writes = vec![Write::put(keys::subscription(name), json(&meta)?)];
    let left = [keys::cursors(name), keys::careful(name), keys::inboxes(name)];
    for prefix in left {
        let stored = journal.scan(&prefix)?;
        writes.extend(stored.into_iter().map(|(key, _)| Write::remove(key)));
    }
    journal.write(writes)
}

impl Plan {
    /// In whose name effects are told apart.
    pub(super) fn effects_of(&self) -> Arc<str> {
        let other = self.replay.as_ref().and_then(|replay| replay.effects_of.as_ref());
        Arc::clone(other.unwrap_or(&self.name))
    }
}

impl Meta {
    /// Of a replay that begins, if it is one.
    pub(super) fn of_replay(self, journal: &Journal, plan: &Plan) -> Self {
        let end = journal.end();
        let to = |replay: &ReplayPlan| replay.to.map_or(end, |to| to.min(end));
        let replay = plan.replay.as_ref();
        Self { replay: replay.map(|plan| Replayed { to: to(plan), is_over: false }), ..self }
    }

    /// Before which position everything has come before.
    pub(super) fn repeats_before(&self) -> Position {
        match self.replay {
            Some(_) => Position::LAST,
            None => self.repeats_before.unwrap_or(Position::FIRST),
        }
    }
}

impl Subscriber {
    /// What is to be kept of it being a replay.
    pub(super) fn replayed(&self) -> Option<Replayed> {
        Some(Replayed { to: self.until?, is_over: false })
    }

    /// Where it ends, if it is a replay.
    pub(crate) fn until(&self) -> Option<Position> {
        self.until
    }

    pub(super) fn is_before_end(&self, position: u64) -> bool {
        self.until.is_none_or(|until| position < until.get())
    }

    /// Whether an event of a kind that it wants is in the part of the past that it goes through.
    #[inline]
    pub(super) fn is_in_part(&self, entry: &Entry) -> bool {
        if self.until.is_none() {
            return true;
        }
        let is_of_key = |key: &Key| entry.envelope.key.as_ref() == Some(key);
        self.is_before_end(entry.position.get()) && self.filter.key.as_ref().is_none_or(is_of_key)
    }

    /// Where its first lane begins.
    pub(crate) fn begins_at(&self) -> Position {
        self.low(self.journal.end())
    }

    /// What of the log it wants.
    pub(crate) fn wanted(&self) -> &Filter {
        &self.filter
    }

    /// The first of its events whose handler is only started in a lane, or called with several at once.
    pub(crate) fn first_started(&self) -> Option<String> {
        let is_called = |one: &&Registered| {
            matches!(one.run.form, Form::Called { .. }) && !one.run.is_batched()
        };
        let started = self.handlers.values().find(|one| !is_called(one));
        started.map(|one| one.event.name.to_string())
    }

    /// How far a replay has come, at most to its end.
    pub(crate) fn reached(&self) -> Position {
        let low = self.low(self.journal.end());
        self.until.map_or(low, |until| low.min(until))
    }

    /// Waits for a replay to come to its end. False where it has not, at the deadline or because it was
    /// stopped.
    pub(crate) fn wait_through(&self, deadline: Tick) -> bool {
        let is_through = || Some(self.reached()) == self.until;
        let ready = || is_through() || !self.is_alive();
        self.wake();
        self.runtime().wait(self.journal.quiet(), Some(deadline), ready);
        is_through()
    }
}
