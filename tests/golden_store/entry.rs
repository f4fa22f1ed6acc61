//! A record, in terms of neither the crate nor the reader.

use std::sync::Arc;

use tidings::{CorrelationId, Envelope, MessageId, Position, Timestamp, storage::Record};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) codec: String,
    pub(crate) id: [u8; 16],
    pub(crate) time: u64,
    pub(crate) key: Option<String>,
    pub(crate) correlation: Correlation,
    pub(crate) causation: Option<[u8; 16]>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Correlation {
    None,
    Id([u8; 16]),
    Text(String),
}

impl Entry {
    pub(crate) fn of(position: Position, record: &Record) -> Self {
        let envelope = &record.envelope;
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            position: position.get(),
            name: envelope.name.to_string(),
            version: envelope.version,
            codec: envelope.codec.to_string(),
            id: envelope.id.to_bytes(),
            time: envelope.published_at.as_nanos(),
            key: envelope.key.as_ref().map(|key| key.as_str().to_owned()),
            correlation: match &envelope.correlation {
                None => Correlation::None,
                Some(CorrelationId::Id(id)) => Correlation::Id(id.to_bytes()),
                Some(CorrelationId::Text(text)) => Correlation::Text(text.to_string()),
                Some(other) => panic!("another correlation: {other}"),
            },
            causation: envelope.causation.map(MessageId::to_bytes),
            headers: envelope.headers.iter().map(text).collect(),
            payload: record.payload.clone(),
        }
    }

    pub(crate) fn to_record(&self) -> Record {
        let mut envelope = Envelope::new(&self.name, self.version, MessageId::from_bytes(self.id));
        envelope.codec = self.codec.as_str().into();
        envelope.published_at = Timestamp::from_nanos(self.time);
        envelope.key = self.key.as_deref().map(Into::into);
        envelope.correlation = match &self.correlation {
            Correlation::None => None,
            Correlation::Id(id) => Some(MessageId::from_bytes(*id).into()),
            Correlation::Text(text) => Some(text.as_str().into()),
        };
        envelope.causation = self.causation.map(MessageId::from_bytes);
        for (name, value) in &self.headers {
            envelope.headers.insert(name, value).unwrap();
        }
        Record { envelope: Arc::new(envelope), payload: self.payload.clone() }
    }
}
