//! What is moved: a message within its bounds.

use std::{sync::Arc, time::Duration};

use crate::{
    event::Key,
    message::{CorrelationId, Envelope, Headers, MAX_PAYLOAD, MessageId},
};

/// A message on its way between a bus and a broker: an envelope and a payload, both within the bounds
/// of what can be published.
///
/// Its id is the message's, and stays the same however often it is sent. Brokers that drop copies go by
/// it, and so do receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    envelope: Arc<Envelope>,
    payload: Vec<u8>,
    delay: Duration,
}

/// What was sent, or came, is no parcel: it is outside the bounds, or was never one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParcelError {
    /// A part of it is too long.
    #[error("its {part} has {bytes} bytes, more than {limit}")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// What came cannot be read as a message.
    #[error("it cannot be read: {reason}")]
    Unreadable {
        /// Why, in words that quote nothing of it.
        reason: &'static str,
    },
}

impl Parcel {
    /// The longest payload, in bytes: 8 MiB.
    pub const MAX_PAYLOAD: usize = MAX_PAYLOAD;

    /// A message as a parcel. Transports make parcels of what comes from outside by this, too, before
    /// anything of it is decoded.
    ///
    /// # Errors
    /// [`ParcelError::TooLong`]: the payload, the key, the idempotency key, the correlation id or the
    /// name of the event or the codec.
    pub fn new(envelope: Arc<Envelope>, payload: Vec<u8>) -> Result<Self, ParcelError> {
        within("payload", payload.len(), Self::MAX_PAYLOAD)?;
        check(&envelope)?;
        Ok(Self { envelope, payload, delay: Duration::ZERO })
    }

    /// Has it delivered only when this time has passed since it was accepted.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The id, the same however often the parcel is sent.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.envelope.id
    }

    /// Everything but the payload.
    #[must_use]
    pub fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// The encoded event.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// How long it is not delivered after it was accepted. Of an arrival it has no meaning.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// The envelope and the payload.
    #[must_use]
    pub fn into_parts(self) -> (Arc<Envelope>, Vec<u8>) {
        (self.envelope, self.payload)
    }

    /// About how many bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + self.envelope.bytes()
    }
}

fn check(envelope: &Envelope) -> Result<(), ParcelError> {
    within("event name", envelope.name.len(), Key::MAX_LEN)?;
    within("codec name", envelope.codec.len(), Key::MAX_LEN)?;
    within("key", envelope.key.as_ref().map_or(0, |key| key.as_str().len()), Key::MAX_LEN)?;
    let idempotency = envelope.headers.get(Headers::IDEMPOTENCY_KEY);
    within("idempotency key", idempotency.map_or(0, str::len), Key::MAX_LEN)?;
    match &envelope.correlation {
        Some(CorrelationId::Text(text)) => {
            within("correlation id", text.len(), CorrelationId::MAX_LEN)
        }
        _ => Ok(()),
    }
}

fn within(part: &'static str, bytes: usize, limit: usize) -> Result<(), ParcelError> {
    if bytes > limit { Err(ParcelError::TooLong { part, bytes, limit }) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests, though clippy does not see that
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope::new("name", 1, MessageId::from_bytes([1; 16]))
    }

    fn too_long(envelope: Envelope) -> Option<(&'static str, usize)> {
        match Parcel::new(Arc::new(envelope), Vec::new()) {
            Err(ParcelError::TooLong { part, bytes, limit }) if bytes == limit + 1 => {
                Some((part, limit))
            }
            _ => None,
        }
    }

    #[test]
    fn a_payload_may_be_as_long_as_the_limit_and_no_byte_longer() {
        let parcel = |bytes| Parcel::new(Arc::new(envelope()), vec![0; bytes]);
        parcel(Parcel::MAX_PAYLOAD).unwrap();
        assert!(parcel(Parcel::MAX_PAYLOAD + 1).is_err());
    }

    #[test]
    fn what_is_too_long_to_be_published_is_no_parcel() {
        let text = |bytes| "x".repeat(bytes);
        let mut long = envelope();
        long.key = Some(Key::new(&text(1025)));
        assert_eq!(too_long(long), Some(("key", 1024)));
        let mut long = envelope();
        long.headers.insert(Headers::IDEMPOTENCY_KEY, &text(1025)).unwrap();
        assert_eq!(too_long(long), Some(("idempotency key", 1024)));
        let mut long = envelope();
        long.correlation = Some(CorrelationId::Text(text(256).into()));
        assert_eq!(too_long(long), Some(("correlation id", 255)));
        let mut long = envelope();
        long.name = text(1025).into();
        assert_eq!(too_long(long), Some(("event name", 1024)));
        let mut long = envelope();
        long.codec = text(1025).into();
        assert_eq!(too_long(long), Some(("codec name", 1024)));
    }
}
