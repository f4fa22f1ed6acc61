//! Describing how a sink is fed, and starting it.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Sink,
    feed::Feed,
    handle::{Shared, SinkFeed},
};
use crate::{
    bus::{Bus, SubscribeError},
    event::is_valid_name,
    policy::{Backoff, Start},
    projection::ProjectError,
    replay::{Select, Told},
    runtime::Runtime,
};

/// How a sink is fed, being described. Nothing is until it is started.
#[must_use = "a sink gets nothing until it is started"]
pub struct SinkBuilder<S> {
    bus: Bus,
    name: Arc<str>,
    sink: S,
    most: usize,
    pool: String,
    retry: Backoff,
}

impl<S: Sink> SinkBuilder<S> {
    pub(super) fn new(bus: Bus, name: Arc<str>, sink: S) -> Self {
        let retry = Backoff::exponential(Duration::from_millis(100));
        let retry = retry.max_delay(Duration::from_mins(1)).equal_jitter();
        Self { bus, name, sink, most: 1000, pool: Runtime::DEFAULT_POOL.into(), retry }
    }

    /// The most events that the sink gets at once, from 1; 1,000 unless set.
    pub fn batch(mut self, events: usize) -> Self {
        self.most = events.max(1);
        self
    }

    /// When a sink that has failed is tried again: for ever unless set, after 100 milliseconds at first, and then
    /// after up to a minute. After the last attempt feeding halts, and [`SinkFeed::status`] says why.
    pub fn retry(mut self, backoff: Backoff) -> Self {
        self.retry = backoff;
        self
    }

    /// The pool to run on. [`Runtime::DEFAULT_POOL`] unless set. A sink blocks a thread of it.
    pub fn pool(mut self, name: &str) -> Self {
        self.pool = name.into();
        self
    }

    /// Starts to feed the sink, until the bus or the feed is stopped, whether or not the handle is kept.
    ///
    /// # Errors
    /// See [`ProjectError`].
    pub fn start(self) -> Result<SinkFeed, ProjectError> {
        let (journal, name) = (self.bus.journal(), &self.name);
        if !journal.is_durable() {
            return Err(ProjectError::Volatile { name: name.to_string() });
        }
        if !is_valid_name(name) {
            return Err(SubscribeError::InvalidName { name: name.to_string() }.into());
        }
        let unknown = || SubscribeError::UnknownPool { pool: self.pool.clone() };
        let pool = journal.runtime().find_pool(&self.pool).ok_or_else(unknown)?;
        let shared = Shared::new(journal, name);
        let waking = Arc::clone(&shared);
        let told: Arc<Told> = Arc::new(move || waking.wake());
        // It only tells that something has come; what, is read from storage.
        let listener = self.bus.subscribe(&format!("{name} feed")).ephemeral();
        let listener = S::Events::listen(listener.pool(&self.pool).start_at(Start::Latest), &told);
        let stopping = Arc::clone(&shared);
        let listener = listener.start_listening(Box::new(move || stopping.stop()))?;
        shared.listen(listener);
        let mut feed =
            Feed::new(&shared, self.sink, self.most, self.retry).inspect_err(|_| shared.stop())?;
        let task = journal.runtime().task(pool, move || feed.step());
        shared.attach(&task);
        shared.wake();
        Ok(SinkFeed::new(shared))
    }
}

impl<S> fmt::Debug for SinkBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
