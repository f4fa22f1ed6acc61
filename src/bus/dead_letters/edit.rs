//! Publishing the event of a dead letter anew, corrected.

use super::{DeadLetterError, DeadLetters};
use crate::{
    bus::Receipt,
    event::Event,
    journal::{Body, Entry, PublishError, PublishFailure},
    message::{Headers, Message, Position},
};

impl DeadLetters {
    /// Publishes the event of a dead letter anew, as `edit` corrects it, and gives the letter up, with
    /// what was kept of its effects outside: all of that in one commit, or nothing.
    ///
    /// It is a new event with a position and an id of its own, so that **every subscription of that
    /// event gets it**, those too that have handled the old one. It names the old one as its
    /// [cause](crate::Context::causation_id), belongs to the same conversation, and has the old
    /// position in the header [`Headers::EDITED_FROM`]. Other headers are kept, but for the
    /// idempotency key, the expiry and the [hops](crate::Envelope::hops). Its key is the one that the edited event names.
    ///
    /// With [`OnDeadLetter::HoldKey`](crate::OnDeadLetter::HoldKey) the old key goes on with its next
    /// letter, and the new event comes after all that is there of its key. The ledger and
    /// [`Status::discarded`](crate::Status::discarded) count the letter as discarded. The subscription
    /// need not run. A letter that is being tried again at this moment may be handled as well.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, DeadLetterError, Event, Position};
    /// # #[derive(Clone, Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed")]
    /// # struct OrderPlaced { currency: String }
    /// # fn correct(bus: &Bus, position: Position) -> Result<(), DeadLetterError> {
    /// let letters = bus.dead_letters("billing");
    /// letters.edit_and_retry(position, |order: &mut OrderPlaced| order.currency = "EUR".into())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// There is no such letter, it is of another event or does not decode, or the corrected event
    /// cannot be published. The letter stays then.
    pub fn edit_and_retry<E: Event + Clone>(
        &self,
        position: Position,
        edit: impl FnOnce(&mut E),
    ) -> Result<Receipt, DeadLetterError> {
        let kept = self.kept()?;
        let entry = kept.letters().entry(position)?.ok_or_else(|| self.not_found(position))?;
        let mut event = self.event_of::<E>(&entry)?;
        edit(&mut event);
        let message = with_headers(Message::new(event), &entry);
        let draft = self.bus.journal.draft(message, Some(&entry.envelope));
        let draft = draft.map_err(PublishError::into_failure)?;
        let id = draft.envelope().id;
        let replaced = kept.replace(position, vec![draft]).map_err(|rejected| rejected.failure)?;
        let receipt = Receipt::of(replaced.ok_or_else(|| self.not_found(position))?.of_one(id));
        tracing::info!(subscription = &*self.subscription, %position, new = %receipt.position,
            "a dead letter was edited and published anew");
        Ok(receipt)
    }

    fn event_of<E: Event + Clone>(&self, entry: &Entry) -> Result<E, DeadLetterError> {
        let position = entry.position;
        let known = self.bus.journal.contract().of::<E>().map_err(PublishFailure::from)?;
        let other = || DeadLetterError::OtherEvent {
            position,
            event: entry.envelope.name.to_string(),
            expected: known.name.to_string(),
        };
        if entry.envelope.name != known.name {
            return Err(other());
        }
        match &entry.body {
            Body::Value(event) => event.get::<E>().cloned().ok_or_else(other),
            Body::Encoded(payload) => known.decode(&entry.envelope, payload).map_err(|error| {
                DeadLetterError::Undecodable { position, reason: error.to_string() }
            }),
        }
    }
}

/// What the old message was published with, but for what is true of that one alone.
fn with_headers<E: Event>(message: Message<E>, old: &Entry) -> Message<E> {
    let its_own = [Headers::IDEMPOTENCY_KEY, Headers::EXPIRES_AFTER, Headers::HOPS];
    let kept = old.envelope.headers.iter().filter(|(name, _)| !its_own.contains(name));
    let message = kept.fold(message, |message, (name, value)| message.header(name, value));
    message.header(Headers::EDITED_FROM, &old.position.get().to_string())
}
