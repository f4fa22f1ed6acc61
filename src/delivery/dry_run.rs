//! Calling a handler with the event of a dead letter to see what it says, and keeping nothing.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Context, HandlerError, Subscriber,
    attempt::{event_of, panicked},
    context::Staged,
    handler::Form,
    keys,
    parking::Held,
};
use crate::{message::Position, runtime::inside_task, storage::StorageError};

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

    fn try_dry(self: &Arc<Self>, held: &Held) -> DryVerdict {
        let Some(registered) = self.handlers.get(&held.entry.kind) else {
            return DryVerdict::WouldFail("the subscription has no handler for it".into());
        };
        let Form::Called { call, .. } = &registered.run.form else {
            return DryVerdict::WouldFail("its handler is only started in a lane".into());
        };
        let event = match event_of(registered, &held.entry) {
            Ok(event) => event,
            Err(error) => return DryVerdict::WouldFail(error),
        };
        let mut context = Context {
            subscriber: Arc::clone(self),
            entry: Arc::clone(&held.entry),
            attempt: held.all_attempts() + 1,
            beyond_window: false,
            staged: Staged::default(),
            earlier: keys::Writes::new(),
            steps: None,
            dry_run: Some(DryRunning::default()),
        };
        let called = catch_unwind(AssertUnwindSafe(|| call(&event, &mut context)));
        // Even if the handler has made something else of the error.
        if let Some(step) = context.dry_run.and_then(|dry_run| dry_run.reached) {
            return DryVerdict::ReachesEffect(step);
        }
        let called = called.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        match context.staged.ended(called) {
            Ok(_) => DryVerdict::WouldSucceed,
            Err(error) => DryVerdict::WouldFail(error.describe()),
        }
    }
}
