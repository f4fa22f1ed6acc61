//! Everything about a published message but its payload.

use std::{sync::Arc, time::Duration};

use super::{CorrelationId, Headers, MessageId};
use crate::{event::Key, runtime::Timestamp};

/// Everything about a published message but its payload. Storage and bridges carry it unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// The event's name.
    pub name: Arc<str>,
    /// The version of the payload's shape.
    pub version: u32,
    /// The name of the codec that wrote the payload.
    pub codec: Arc<str>,
    /// The message's id.
    pub id: MessageId,
    /// What the event is about.
    pub key: Option<Key>,
    /// The conversation, where it is not simply the message's own id.
    pub correlation: Option<CorrelationId>,
    /// The message that caused this one.
    pub causation: Option<MessageId>,
    /// Free metadata.
    pub headers: Headers,
    /// When the publisher handed the message over. Order never depends on it.
    pub published_at: Timestamp,
}

impl Envelope {
    /// An envelope with the given identity and nothing else, for storage tests and tools.
    #[must_use]
    pub fn new(name: &str, version: u32, id: MessageId) -> Self {
        Self {
            name: name.into(),
            version,
            codec: "json".into(),
            id,
            key: None,
            correlation: None,
            causation: None,
            headers: Headers::default(),
            published_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// The conversation this message belongs to: as published, or else its own id.
    #[must_use]
    pub fn correlation_id(&self) -> CorrelationId {
        self.correlation.clone().unwrap_or(CorrelationId::Id(self.id))
    }

    /// Through how many handlers the message came, each of which published the next through its
    /// [`Context`](crate::Context): 0 for what no handler published. Of more than one the header
    /// [`Headers::HOPS`] tells; a message with a cause came through one at least.
    #[must_use]
    pub fn hops(&self) -> u32 {
        let told = self.headers.get(Headers::HOPS).and_then(|hops| hops.parse().ok());
        told.unwrap_or(0).max(self.causation.is_some().into())
    }

    /// When subscriptions begin to pass over the event, if ever.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        if self.headers.is_empty() {
            return None;
        }
        let millis = self.headers.get(Headers::EXPIRES_AFTER)?.parse().ok()?;
        Some(self.published_at.plus(Duration::from_millis(millis)))
    }

    /// About how many bytes it has in storage, at the most.
    pub(crate) fn bytes(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| key.as_str().len());
        let correlation = match &self.correlation {
            Some(CorrelationId::Text(text)) => text.len(),
            Some(CorrelationId::Id(_)) | None => 16,
        };
        let names = self.name.len() + self.codec.len();
        let header = |(name, value): (&str, &str)| name.len() + value.len() + 8;
        key + correlation + names + self.headers.iter().map(header).sum::<usize>() + 96
    }

    /// The lane among `lanes`: by key, or by position where there is no key.
    pub(crate) fn lane(&self, position: super::Position, lanes: u32) -> u32 {
        match &self.key {
            Some(key) => key.lane(lanes),
            #[allow(clippy::cast_possible_truncation)] // below `lanes`
            None => (position.get() % u64::from(lanes)) as u32,
        }
    }
}
