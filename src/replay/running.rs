//! A replay that runs, or did.

use std::{fmt, sync::Arc, time::Duration};

use super::ReplayError;
use crate::{
    bus::{Bus, Subscription},
    delivery::{Known, known, retire},
    message::Position,
    runtime::in_task,
    storage::StorageError,
};

/// How fast a replay goes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Speed {
    /// As fast as it can.
    #[default]
    Max,
    /// At most so many events a second.
    PerSecond(u32),
    /// So many times as fast as the events were published: with 1.0 they are as far from each other as
    /// they were. Times are those of the publishers' clocks. At most a lane's
    /// [`max_parked`](crate::SubscriptionBuilder::max_parked) events wait in memory.
    Times(f64),
}

/// A replay: the handle of it. Dropping it changes nothing.
#[must_use = "a replay is to be waited for, so that the log need keep nothing for it any more"]
pub struct Replay {
    bus: Bus,
    name: Arc<str>,
    end: Position,
    /// `None` where it is over.
    subscription: Option<Subscription>,
}

impl Replay {
    /// Where a replay of that name has ended, if it has.
    pub(super) fn end_of(bus: &Bus, name: &str) -> Result<Option<Position>, StorageError> {
        match known(bus.journal(), name)? {
            Known::Replay(replay) if replay.is_over => Ok(Some(replay.to)),
            _ => Ok(None),
        }
    }

    pub(super) fn over(bus: &Bus, name: &Arc<str>, end: Position) -> Self {
        Self { bus: bus.clone(), name: Arc::clone(name), end, subscription: None }
    }

    pub(super) fn running(bus: &Bus, subscription: Subscription) -> Self {
        let end = subscription.subscriber().until().unwrap_or(Position::LAST);
        let name = subscription.name().into();
        Self { bus: bus.clone(), name, end, subscription: Some(subscription) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Before which position it ends.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// How far it has come: everything before this position is settled.
    #[must_use]
    pub fn position(&self) -> Position {
        self.subscription.as_ref().map_or(self.end, |it| it.subscriber().reached())
    }

    /// Whether it has come to its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.position() >= self.end
    }

    /// Its subscription, to pause it, to see how it is doing, or to stop it for now. `None` where it
    /// was over when it was started.
    #[must_use]
    pub fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_ref()
    }

    /// Waits until it has come to its end; then it is stopped, and the log keeps nothing for it any
    /// more. What it could not handle is among [its dead letters](Bus::dead_letters), and what its
    /// handlers have stored stays. False where it is not over after `timeout`, and goes on.
    ///
    /// # Errors
    /// It was called from inside a handler, the replay was stopped or has failed, or storage failed.
    pub fn wait(&self, timeout: Duration) -> Result<bool, ReplayError> {
        let Some(subscription) = &self.subscription else { return Ok(true) };
        if in_task() {
            return Err(ReplayError::InsideHandler);
        }
        let subscriber = subscription.subscriber();
        let deadline = subscriber.runtime().now().saturating_add(timeout);
        if !subscriber.wait_through(deadline) {
            let is_alive = subscriber.is_alive();
            let stopped = || ReplayError::Stopped { name: self.name.to_string() };
            return if is_alive { Ok(false) } else { Err(stopped()) };
        }
        subscription.stop(timeout.max(Duration::from_secs(1)));
        retire(self.bus.journal(), &self.name)?;
        Ok(true)
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("name", &self.name)
            .field("position", &self.position())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
