//! Feeding a sink: read, decode, apply, note.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use super::{Batch, Sink, handle::Shared};
use crate::{
    delivery::{checkpoint, lose, text_of},
    error::BoxError,
    event::Durability,
    journal::Transaction,
    message::Position,
    policy::{Backoff, Retries},
    projection::{Halted, ProjectError},
    replay::{Past, Select, Types},
    runtime::{Step, ends_process},
    storage::{Query, RecordRef, StorageError},
};

pub(super) struct Feed<S: Sink> {
    shared: Arc<Shared>,
    sink: S,
    types: Types,
    query: Query,
    /// Where the sink is, as it has said itself. `None`: it is to be asked.
    next: Option<Position>,
    retries: Retries,
}

/// Why a sink was not fed.
enum Wrong {
    /// It may work later.
    Failed(String),
    /// It never will.
    Hopeless(String),
    Storage(StorageError),
}

impl From<StorageError> for Wrong {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl<S: Sink> Feed<S> {
    pub(super) fn new(
        shared: &Arc<Shared>,
        sink: S,
        most: usize,
        retry: Backoff,
    ) -> Result<Self, ProjectError> {
        let types = Types::of::<S::Events>(shared.journal.contract())?;
        let mut query = Query::from(Position::FIRST).records(most);
        query.filter.names = types.names();
        let (shared, retries) = (Arc::clone(shared), Retries::by(retry));
        Ok(Self { shared, sink, types, query, next: None, retries })
    }

    pub(super) fn step(&mut self) -> Step {
        match self.feed() {
            Ok(next) => {
                self.retries.succeed();
                self.note(next);
                if self.shared.rest(next) { Step::Wait } else { Step::Again }
            }
            Err(Wrong::Failed(error)) => self.fail(error),
            Err(Wrong::Hopeless(reason)) => self.halt(reason),
            Err(Wrong::Storage(StorageError::Closed)) => {
                self.shared.stop();
                Step::Wait
            }
            Err(Wrong::Storage(error @ StorageError::Io { .. })) => self.fail(error.to_string()),
            Err(Wrong::Storage(error)) => self.halt(error.to_string()),
        }
    }

    /// Feeds what comes next. Returns where the sink is then.
    fn feed(&mut self) -> Result<Position, Wrong> {
        let next = match self.next {
            Some(next) => next,
            None => self.ask()?,
        };
        let end = self.shared.journal.end();
        if next >= end {
            return Ok(next);
        }
        (self.query.from, self.query.to) = (next, end);
        let page = match self.shared.journal.query(&self.query) {
            Ok(page) => page,
            Err(StorageError::Truncated { wanted, first }) => {
                let loss = lose(&self.shared.name, wanted, first);
                self.shared.journal.note_from_handler(loss.into_iter().collect())?;
                return Ok(first);
            }
            Err(error) => return Err(error.into()),
        };
        let decode = |(position, record)| {
            let event = S::Events::decode(&self.types, &RecordRef::new(position, &record));
            let event = event.map_err(|reason| {
                let name = &record.envelope.name;
                Wrong::Hopeless(format!("the `{name}` at position {position}: {reason}"))
            })?;
            Ok(Past::new(position, record.envelope, event))
        };
        let events: Vec<_> = page.records.into_iter().map(decode).collect::<Result<_, Wrong>>()?;
        if !events.is_empty() {
            self.apply(&events, page.next)?;
        }
        Ok(page.next)
    }

    /// Asks the sink where it is.
    fn ask(&mut self) -> Result<Position, Wrong> {
        let sink = &mut self.sink;
        let checkpoint = guarded(|| sink.checkpoint())?;
        let journal = &self.shared.journal;
        match checkpoint {
            Some(next) if next > journal.end() => Err(Wrong::Hopeless(format!(
                "the sink is at position {next}, and the log ends at {}: it is another one, or an older copy",
                journal.end()
            ))),
            Some(next) => Ok(next),
            None => Ok(journal.first()),
        }
    }

    fn apply(&mut self, events: &[Batch<S>], next: Position) -> Result<(), Wrong> {
        let sink = &mut self.sink;
        guarded(|| sink.apply(events, next))
    }

    /// Takes note of where the sink is, so that retention keeps what it does not have.
    fn note(&mut self, next: Position) {
        let Shared { name, journal, status, .. } = &*self.shared;
        let before = {
            let mut status = status.lock();
            (status.failed, status.error) = (0, None);
            status.position.replace(next)
        };
        self.next = Some(next);
        if before == Some(next) {
            return;
        }
        if let (Ok(write), Some(task)) = (checkpoint(name, next), self.shared.task()) {
            let (writes, durability) = (vec![write], Some(Durability::Buffered));
            // The sink itself says where it is: nobody waits for it.
            drop(
                journal.commit(Transaction { writes, durability, ..Transaction::default() }, task),
            );
        }
        journal.quiet().notify();
    }

    fn fail(&mut self, error: String) -> Step {
        self.next = None;
        let runtime = self.shared.journal.runtime();
        let delay = self.retries.fail(runtime.now(), runtime.random());
        let Some(delay) = delay else { return self.halt(error) };
        tracing::warn!(sink = &*self.shared.name, error, "a sink fails, and is tried again");
        let mut status = self.shared.status.lock();
        (status.failed, status.error) = (self.retries.failed(), Some(error));
        drop(status);
        if let Some(task) = self.shared.task() {
            runtime.wake_at(runtime.now().saturating_add(delay), task);
        }
        Step::Wait
    }

    fn halt(&mut self, reason: String) -> Step {
        let position = self.shared.status.lock().position.unwrap_or(Position::FIRST);
        self.shared.halt(Halted { position, reason });
        Step::Wait
    }
}

/// Calls the user's code, which may panic.
fn guarded<T, E: Into<BoxError>>(call: impl FnOnce() -> Result<T, E>) -> Result<T, Wrong> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(called) => called.map_err(|error| Wrong::Failed(error.into().to_string())),
        Err(panic) if ends_process(&*panic) => resume_unwind(panic),
        Err(panic) => Err(Wrong::Failed(format!("the sink panicked: {}", text_of(&*panic)))),
    }
}
