//! One attempt: decode the event where needed, call the handler, catch its panic.

use std::{
    any::Any,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Context, DeadLetterReason, HandlerError, Subscriber, context::Staged, dead_letter::Verdict,
    gate::Start, handler::Form, idempotency::Entrance, keys, ledger::Skip, parking::Held,
    started::Completion, subscriber::Registered,
};
use crate::journal::{Body, CellRef, Entry, Mistake};

/// How an attempt ended.
pub(super) enum Attempted {
    Succeeded(Staged),
    Failed(HandlerError),
    /// No attempt can succeed.
    Hopeless(Verdict),
    /// It goes on elsewhere; the lane will be told.
    Started(Start),
    /// A copy of it is being handled.
    Busy,
}

/// What is to come to its handler.
pub(super) struct Ready<'a> {
    pub(super) registered: &'a Registered,
    pub(super) event: CellRef,
    beyond_window: bool,
}

/// Decodes the event where needed, and asks the inbox for it. Breaks where its handler is not to be
/// called.
pub(super) fn prepare<'a>(
    subscriber: &'a Subscriber,
    held: &mut Held,
) -> ControlFlow<Attempted, Ready<'a>> {
    let Some(registered) = subscriber.handlers.get(&held.entry.kind) else {
        let error = format!("the subscription has no handler for `{}`", held.entry.envelope.name);
        return hopeless(DeadLetterReason::NoHandler, error);
    };
    let event = match event_of(registered, &held.entry) {
        Ok(event) => event,
        Err(error) => return hopeless(DeadLetterReason::Undecodable, error),
    };
    let beyond_window = match enter(registered, held, &event) {
        Ok(None | Some(Entrance::Open(_))) => false,
        Ok(Some(Entrance::BeyondWindow(_))) => {
            subscriber.note_beyond_window(&held.entry);
            true
        }
        Ok(Some(Entrance::Busy)) => return ControlFlow::Break(Attempted::Busy),
        Ok(Some(Entrance::Duplicate)) => {
            let skipped = Staged::skipped(Skip::Duplicate);
            return ControlFlow::Break(Attempted::Succeeded(skipped));
        }
        Err(error) => return ControlFlow::Break(Attempted::Failed(error)),
    };
    ControlFlow::Continue(Ready { registered, event, beyond_window })
}

fn hopeless<T>(reason: DeadLetterReason, error: String) -> ControlFlow<Attempted, T> {
    ControlFlow::Break(Attempted::Hopeless(Verdict { reason, error }))
}

/// Makes an attempt. `earlier` is what the lane has written to the state and not committed yet.
pub(super) fn attempt(
    subscriber: &Arc<Subscriber>,
    ready: Ready<'_>,
    held: &Held,
    earlier: &mut keys::Writes,
) -> Attempted {
    let mut context = ready.context(subscriber, held);
    let Ready { registered, event, .. } = ready;
    match &registered.run.form {
        Form::Called { call, .. } => {
            context.earlier = std::mem::take(earlier);
            let result = subscriber.call_probed(&mut context, |context| {
                let result = catch_unwind(AssertUnwindSafe(|| call(&event, context)));
                result.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
            });
            *earlier = context.earlier;
            if result.is_err() && subscriber.is_planted(Mistake::KeepFailedWrites) {
                earlier.extend(std::mem::take(&mut context.staged.writes));
            }
            match context.staged.ended(result) {
                Ok(staged) => Attempted::Succeeded(staged),
                Err(error) => Attempted::Failed(error),
            }
        }
        Form::Started(start) => {
            let prefix = keys::state(&subscriber.name, held.key(), "");
            context.earlier = keys::under_prefix(earlier, &prefix);
            let begun = subscriber.start();
            let completion = Completion::new(subscriber, &held.entry, &begun);
            match subscriber.probed.begins(&context) {
                Ok(()) => start(event, context, completion),
                Err(error) => completion.finish(Err(error)),
            }
            Attempted::Started(begun)
        }
    }
}

impl Ready<'_> {
    pub(super) fn context(&self, subscriber: &Arc<Subscriber>, held: &Held) -> Context {
        Context {
            subscriber: Arc::clone(subscriber),
            entry: Arc::clone(&held.entry),
            attempt: held.all_attempts() + 1,
            beyond_window: self.beyond_window,
            staged: Staged::default(),
            earlier: keys::Writes::new(),
            steps: None,
            dry_run: None,
        }
    }
}

/// Asks the inbox, where there is one. Finding the key runs the user's code, which may panic.
fn enter(
    registered: &Registered,
    held: &mut Held,
    event: &CellRef,
) -> Result<Option<Entrance>, HandlerError> {
    let Some(inbox) = &registered.inbox else { return Ok(None) };
    let of = || inbox.idempotency.key_of(event, &held.entry.envelope);
    let key = catch_unwind(AssertUnwindSafe(of)).map_err(|panic| panicked(panic.as_ref()))?;
    let Some(key) = key else { return Ok(None) };
    let entrance = inbox.enter(key, held.position(), held.entry.envelope.published_at);
    if let Entrance::Open(entered) | Entrance::BeyondWindow(entered) = entrance {
        held.entered = Some(entered);
    }
    Ok(Some(entrance))
}

/// The event, or why it is none. Decoding runs the user's code, which may panic.
pub(super) fn event_of(registered: &Registered, entry: &Entry) -> Result<CellRef, String> {
    let payload = match &entry.body {
        Body::Value(event) => return Ok(event.clone()),
        Body::Encoded(payload) => payload,
    };
    let decode = || {
        let decode = registered.run.decode;
        let decoded = decode(&registered.event, &entry.envelope, payload);
        decoded.map_err(|error| error.to_string())
    };
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|panic| Err(format!("decoding it panicked: {}", text_of(panic.as_ref()))))
}

pub(crate) fn panicked(panic: &(dyn Any + Send)) -> HandlerError {
    HandlerError::retry(format!("the handler panicked: {}", text_of(panic)))
}

pub(crate) fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
