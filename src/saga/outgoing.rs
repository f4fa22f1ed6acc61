//! Events that a saga sends, with their type erased.

use std::fmt;

use serde_json::Value;

use crate::{
    codec::CodecError,
    delivery::{Context, HandlerError},
    event::Event,
    message::{Message, Publishable},
};

/// An event to be published with the acknowledgement.
pub(crate) trait Outgoing: Send {
    /// The event's name.
    fn name(&self) -> &'static str;

    /// Publishes it with the acknowledgement of what is being handled.
    fn publish(self: Box<Self>, ctx: &mut Context) -> Result<(), HandlerError>;

    /// The event.
    #[cfg(any(test, feature = "testing"))]
    fn event(&self) -> &dyn std::any::Any;

    /// The event, to be looked at.
    fn to_json(&self) -> Value;
}

impl<E: Event> Outgoing for Message<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn publish(self: Box<Self>, ctx: &mut Context) -> Result<(), HandlerError> {
        // Nothing that is wrong with an event of a pure decision will be right the next time.
        ctx.publish(*self).map_err(HandlerError::reject)
    }

    #[cfg(any(test, feature = "testing"))]
    fn event(&self) -> &dyn std::any::Any {
        Message::<E>::event(self)
    }

    fn to_json(&self) -> Value {
        serde_json::to_value(self.event()).unwrap_or_default()
    }
}

pub(super) fn erase<P: Publishable>(message: P) -> Box<dyn Outgoing> {
    Box::new(message.into_message())
}

impl fmt::Debug for dyn Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.to_json())
    }
}

/// The bytes of an event.
pub(super) fn encode<E: Event>(event: &E) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    E::codec().encode(event, &mut bytes)?;
    Ok(bytes)
}
