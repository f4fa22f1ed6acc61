//! One attempt: decode the event where needed, call the handler, catch its panic.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Context, DeadLetterReason, HandlerError, Subscriber, context::Staged, dead_letter::Verdict,
    gate::Start, handler::Form, idempotency::Entrance, keys, ledger::Skip, parking::Held,
    started::Completion, subscriber::Registered,
};
use crate::journal::{Body, CellRef, Entry};

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

/// Makes an attempt. `earlier` is what the lane has written to the state and not committed yet.
pub(super) fn attempt(
    subscriber: &Arc<Subscriber>,
    held: &mut Held,
    earlier: &mut keys::Writes,
) -> Attempted {
    let Some(registered) = subscriber.handlers.get(&held.entry.kind) else {
        let error = format!("the subscription has no handler for `{}`", held.entry.envelope.name);
        return Attempted::Hopeless(Verdict { reason: DeadLetterReason::NoHandler, error });
    };
    let event = match event_of(registered, &held.entry) {
        Ok(event) => event,
        Err(error) => {
            let reason = DeadLetterReason::Undecodable;
            return Attempted::Hopeless(Verdict { reason, error });
        }
    };
    let mut beyond_window = false;
    match enter(registered, held, &event) {
        Ok(None | Some(Entrance::Open(_))) => {}
        Ok(Some(Entrance::BeyondWindow(_))) => {
            subscriber.note_beyond_window(&held.entry);
            beyond_window = true;
        }
        Ok(Some(Entrance::Busy)) => return Attempted::Busy,
        Ok(Some(Entrance::Duplicate)) => {
            return Attempted::Succeeded(Staged::skipped(Skip::Duplicate));
        }
        Err(error) => return Attempted::Failed(error),
    }
    let mut context = Context {
        subscriber: Arc::clone(subscriber),
        entry: Arc::clone(&held.entry),
        attempt: held.all_attempts() + 1,
        beyond_window,
        staged: Staged::default(),
        earlier: keys::Writes::new(),
        steps: None,
        dry_run: None,
    };
    match &registered.run.form {
        Form::Called { call, .. } => {
            context.earlier = std::mem::take(earlier);
            let result = catch_unwind(AssertUnwindSafe(|| call(&event, &mut context)));
            *earlier = context.earlier;
            let result = result.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
            match context.staged.ended(result) {
                Ok(staged) => Attempted::Succeeded(staged),
                Err(error) => Attempted::Failed(error),
            }
        }
        Form::Started(start) => {
            let prefix = keys::state(&subscriber.name, held.key(), "");
            context.earlier = keys::under_prefix(earlier, &prefix);
            let begun = subscriber.start();
            start(event, context, Completion::new(subscriber, &held.entry, &begun));
            Attempted::Started(begun)
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

pub(super) fn panicked(panic: &(dyn Any + Send)) -> HandlerError {
    HandlerError::retry(format!("the handler panicked: {}", text_of(panic)))
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
