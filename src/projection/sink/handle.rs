//! The handle of a sink that is fed.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    bus::Subscription,
    journal::{Busy, Journal},
    message::Position,
    projection::Halted,
    runtime::Task,
};

/// The handle of a sink that is fed. Dropping it changes nothing; it keeps no bus alive.
#[derive(Clone)]
pub struct SinkFeed {
    shared: Arc<Shared>,
}

/// How feeding a sink is going.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkStatus {
    /// Everything before is in the sink; `None` before it has said where it is.
    pub position: Option<Position>,
    /// How many attempts have failed since the last that did not.
    pub failed: u32,
    /// Why the last of them did.
    pub error: Option<String>,
    /// Why feeding has stopped, if it has.
    pub halted: Option<Halted>,
}

impl SinkFeed {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The sink's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How far the sink is behind: positions to the end of the journal, events of others included.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let position = self.shared.status.lock().position.unwrap_or(Position::FIRST);
        self.shared.journal.end().since(position)
    }

    /// How feeding is going.
    #[must_use]
    pub fn status(&self) -> SinkStatus {
        self.shared.status.lock().clone()
    }

    /// Waits until the sink has what is at a position, such as that of a [`Receipt`](crate::Receipt). False where
    /// it has not after `timeout`, or feeding has halted. Blocks the thread.
    #[must_use]
    pub fn wait_applied(&self, position: Position, timeout: Duration) -> bool {
        let runtime = self.shared.journal.runtime();
        let deadline = runtime.now().saturating_add(timeout);
        let is_there = || self.shared.status.lock().position.is_some_and(|next| next > position);
        let is_over = || is_there() || self.shared.status.lock().halted.is_some();
        runtime.wait(self.shared.journal.quiet(), Some(deadline), is_over);
        is_there()
    }

    /// Feeds no more. What the sink is at, it finishes.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

impl fmt::Debug for SinkFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkFeed")
            .field("name", &self.name())
            .field("status", &self.status())
            .finish()
    }
}

/// What the feed, its handles and the listener share.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) journal: Arc<Journal>,
    pub(super) status: Mutex<SinkStatus>,
    /// Held while there may be something to feed.
    busy: Mutex<Option<Busy>>,
    task: OnceLock<Arc<Task>>,
    listener: OnceLock<Subscription>,
}

impl Shared {
    pub(super) fn new(journal: &Arc<Journal>, name: &Arc<str>) -> Arc<Self> {
        let status = SinkStatus { position: None, failed: 0, error: None, halted: None };
        Arc::new(Self {
            name: Arc::clone(name),
            journal: Arc::clone(journal),
            status: Mutex::new(status),
            busy: Mutex::default(),
            task: OnceLock::new(),
            listener: OnceLock::new(),
        })
    }

    pub(super) fn attach(&self, task: &Arc<Task>) {
        self.task.get_or_init(|| Arc::clone(task));
    }

    pub(super) fn listen(&self, listener: Subscription) {
        self.listener.get_or_init(|| listener);
    }

    pub(super) fn task(&self) -> Option<&Arc<Task>> {
        self.task.get()
    }

    /// Something has come.
    pub(super) fn wake(&self) {
        self.busy.lock().get_or_insert_with(|| self.journal.busy());
        if let Some(task) = self.task.get() {
            task.wake();
        }
    }

    /// Nothing is left to be done, if the sink has everything before this. False: something has come.
    pub(super) fn rest(&self, next: Position) -> bool {
        let mut busy = self.busy.lock();
        if self.journal.end() > next {
            return false;
        }
        let done = busy.take();
        drop(busy);
        drop(done);
        true
    }

    pub(super) fn halt(&self, halted: Halted) {
        tracing::error!(sink = &*self.name, position = %halted.position, error = &*halted.reason,
            "a sink is not fed any more");
        self.status.lock().halted = Some(halted);
        self.stop();
    }

    pub(super) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.stop();
        }
        if let Some(listener) = self.listener.get() {
            listener.begin_stop();
            listener.end_stop(false);
        }
        let done = self.busy.lock().take();
        drop(done);
        self.journal.quiet().notify();
    }
}
