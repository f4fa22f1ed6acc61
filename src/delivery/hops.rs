//! What handlers publish in a circle: every message says through how many handlers it came, and that
//! has a limit.

use super::{Context, HandlerError, context::Staged};
use crate::{
    event::Event,
    journal::{PublishError, PublishFailure},
    message::Message,
};

impl Context {
    /// The message, one handler further than the event at hand.
    pub(super) fn one_hop_on<E: Event>(
        &mut self,
        message: Message<E>,
    ) -> Result<Message<E>, PublishError<E>> {
        let (hops, limit) = (self.entry.envelope.hops(), self.subscriber.policy.max_hops);
        if hops >= limit {
            self.staged.too_far = Some(limit);
            return Err(PublishError::new(PublishFailure::TooManyHops { limit }, message));
        }
        Ok(message.hops(hops + 1))
    }
}

impl Staged {
    /// What is to be committed of an attempt that has ended so. Nothing where the handler has published
    /// in a circle, whatever it has made of the refusal: it would go on for ever.
    pub(super) fn ended(self, result: Result<(), HandlerError>) -> Result<Self, HandlerError> {
        match self.too_far {
            Some(limit) => Err(HandlerError::too_many_hops(limit)),
            None => result.map(|()| self),
        }
    }
}
