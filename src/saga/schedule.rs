//! The one place where a saga's timers meet the bus.

use std::time::Duration;

use crate::{
    delivery::{Context, HandlerError},
    event::{Event, Key},
    message::{Message, Scheduled},
};

/// Has the event published after so long, if the acknowledgement is committed.
pub(super) fn set<E: Event>(
    ctx: &mut Context,
    event: E,
    key: &Key,
    after: Duration,
) -> Result<Scheduled, HandlerError> {
    let message = Message::new(event).key(key.clone());
    ctx.schedule(message.delay(after)).map_err(HandlerError::reject)
}

/// Has it not published after all. One that is on its way already is known by its epoch.
pub(super) fn stop(ctx: &mut Context, scheduled: &Scheduled) {
    ctx.cancel(scheduled);
}
