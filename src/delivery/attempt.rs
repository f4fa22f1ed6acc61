//! One attempt: decode the event where needed, call the handler, catch its panic.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Context, DeadLetterReason, HandlerError, Run, Subscriber, context::Staged,
    dead_letter::Verdict, keys, lane_handle::LaneHandle, parking::Held, started::Completion,
};
use crate::journal::Body;

/// How an attempt ended.
pub(super) enum Attempted {
    Succeeded(Staged),
    Failed(HandlerError),
    /// No attempt can succeed.
    Hopeless(Verdict),
    /// It goes on elsewhere; the lane will be told.
    Started,
}

pub(super) fn attempt(
    subscriber: &Subscriber,
    lane: &Arc<LaneHandle>,
    held: &Held,
    earlier: &mut keys::Writes,
) -> Attempted {
    let entry = &held.entry;
    let Some(registered) = subscriber.handlers.get(&entry.kind) else {
        let error = format!("the subscription has no handler for `{}`", entry.envelope.name);
        return Attempted::Hopeless(Verdict { reason: DeadLetterReason::NoHandler, error });
    };
    let value = match &entry.body {
        Body::Value(value) => Arc::clone(value),
        Body::Encoded(payload) => match registered.event.decode(&entry.envelope, payload) {
            Ok(value) => value,
            Err(error) => {
                let (reason, error) = (DeadLetterReason::Undecodable, error.to_string());
                return Attempted::Hopeless(Verdict { reason, error });
            }
        },
    };
    let mut context = Context {
        journal: Arc::clone(&subscriber.journal),
        subscription: Arc::clone(&subscriber.name),
        entry: Arc::clone(entry),
        attempt: held.all_attempts() + 1,
        single_lane: subscriber.lanes.len() == 1,
        staged: Staged::default(),
        earlier: keys::Writes::new(),
    };
    match &registered.run {
        Run::Inline(run) => {
            context.earlier = std::mem::take(earlier);
            let result = catch_unwind(AssertUnwindSafe(|| run(&value, &mut context)));
            *earlier = context.earlier;
            match result {
                Ok(Ok(())) => Attempted::Succeeded(context.staged),
                Ok(Err(error)) => Attempted::Failed(error),
                Err(panic) => Attempted::Failed(panicked(panic.as_ref())),
            }
        }
        Run::Started(start) => {
            context.earlier = earlier.clone();
            let completion = Completion::new(lane, held.position());
            // A panic drops the completion, which tells the lane.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| start(value, context, completion)))
            {
                tracing::warn!(error = %panicked(panic.as_ref()), "a handler panicked at its start");
            }
            Attempted::Started
        }
    }
}

pub(super) fn panicked(panic: &(dyn Any + Send)) -> HandlerError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    HandlerError::retry(format!("the handler panicked: {}", text.unwrap_or("no message")))
}
