//! What handlers publish in a circle: every message says through how many handlers it came, and that
//! has a limit.

use std::time::Duration;

use super::{Context, HandlerError, context::Staged};
use crate::{
    event::Event,
    journal::{PublishError, PublishFailure},
    message::{Delayed, Message},
};

/// A circle that takes so long for each round does no harm.
const PACED: Duration = Duration::from_secs(1);

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

    /// The same for one that is to be published later; what waits for a while does not count.
    pub(super) fn paced<E: Event>(
        &mut self,
        delayed: Delayed<E>,
    ) -> Result<Delayed<E>, PublishError<E>> {
        let now = self.subscriber.clock().wall();
        if delayed.due(now) >= now.plus(PACED) {
            return Ok(delayed);
        }
        delayed.try_map(|message| self.one_hop_on(message))
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
