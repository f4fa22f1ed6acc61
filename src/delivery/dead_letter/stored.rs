//! The stored form of a dead letter: a head as JSON, a zero byte, and the payload as it is.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{DeadLetter, DeadLetterReason, failure::StoredFailure};
use crate::{
    event::Key,
    message::{CorrelationId, Envelope, Headers, MessageId, Position},
    runtime::Timestamp,
};

impl DeadLetter {
    /// JSON never holds the zero byte that ends the head.
    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(&Head::of(self))?;
        bytes.push(0);
        bytes.extend(&self.payload);
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let (head, payload) = bytes.split_at_checked(end)?;
        let head: Head = serde_json::from_slice(head).ok()?;
        head.into_letter(payload.get(1..)?.to_vec())
    }
}

/// The stored form of everything but the payload.
#[derive(Serialize, Deserialize)]
struct Head {
    position: u64,
    name: String,
    version: u32,
    codec: String,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    published_at: u64,
    reason: DeadLetterReason,
    error: String,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failures: Vec<StoredFailure>,
    first_failed_at: u64,
    died_at: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retry_at_start: bool,
}

impl Head {
    fn of(letter: &DeadLetter) -> Self {
        let envelope = &letter.envelope;
        let (id, text) = match &envelope.correlation {
            Some(CorrelationId::Id(id)) => (Some(id.to_string()), None),
            Some(CorrelationId::Text(text)) => (None, Some(text.to_string())),
            None => (None, None),
        };
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            position: letter.position.get(),
            name: envelope.name.to_string(),
            version: envelope.version,
            codec: envelope.codec.to_string(),
            id: envelope.id.to_string(),
            key: envelope.key.as_ref().map(|key| key.as_str().to_owned()),
            correlation_id: id,
            correlation: text,
            causation: envelope.causation.map(|id| id.to_string()),
            headers: envelope.headers.iter().map(owned).collect(),
            published_at: envelope.published_at.as_nanos(),
            reason: letter.reason,
            error: letter.error.clone(),
            attempts: letter.attempts,
            failures: StoredFailure::all(&letter.failures),
            first_failed_at: letter.first_failed_at.as_nanos(),
            died_at: letter.died_at.as_nanos(),
            retry_at_start: letter.is_marked,
        }
    }

    fn into_letter(self, payload: Vec<u8>) -> Option<DeadLetter> {
        let mut headers = Headers::default();
        for (name, value) in &self.headers {
            headers.insert(name, value).ok()?;
        }
        let id: MessageId = self.id.parse().ok()?;
        let mut envelope = Envelope::new(&self.name, self.version, id);
        envelope.codec = self.codec.into();
        envelope.key = self.key.as_deref().map(Key::new);
        envelope.correlation = match (self.correlation_id, self.correlation) {
            (Some(id), _) => Some(CorrelationId::Id(id.parse().ok()?)),
            (None, text) => text.map(CorrelationId::from),
        };
        envelope.causation = self.causation.and_then(|id| id.parse().ok());
        envelope.headers = headers;
        envelope.published_at = Timestamp::from_nanos(self.published_at);
        Some(DeadLetter {
            position: Position::new(self.position)?,
            envelope: Arc::new(envelope),
            payload,
            reason: self.reason,
            error: self.error,
            attempts: self.attempts,
            failures: StoredFailure::restore(self.failures),
            first_failed_at: Timestamp::from_nanos(self.first_failed_at),
            died_at: Timestamp::from_nanos(self.died_at),
            is_marked: self.retry_at_start,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests, though clippy does not see that
mod tests {
    use super::*;

    /// As written before there was a history of failures.
    const OLD: &[u8] = br#"{"position":7,"name":"orders.placed","version":1,"codec":"json","id":"01900000-0000-7000-8000-000000000001","key":"k","published_at":5,"reason":"exhausted","error":"no","attempts":3,"first_failed_at":6,"died_at":9}"#;

    #[test]
    fn an_old_letter_decodes_and_stays_byte_by_byte_what_it_was() {
        let bytes = [OLD, b"\0", b"{\"order\":1}"].concat();
        let letter = DeadLetter::decode(&bytes).unwrap();
        assert_eq!((letter.attempts(), letter.failures()), (3, &[][..]));
        assert_eq!(letter.payload(), br#"{"order":1}"#);
        assert_eq!(letter.encode().unwrap(), bytes);
    }
}
