//! A scheduled event as storage has it, and as readers get it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    event::{Durability, Event, Key},
    journal::{Draft, Journal, published::Mark},
    message::{CorrelationId, Envelope, Headers, MessageId, Scheduled},
};

/// An event that nobody has decoded: its type need not be known to this process.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::journal) struct Encoded(pub(in crate::journal) Vec<u8>);

/// Only to have a place in the ring: it is never published under a name of its own.
impl Event for Encoded {
    const NAME: &'static str = "tidings.encoded";
}

/// What is stored of an event before its payload: everything but id and time, which the key has.
#[derive(Serialize, Deserialize)]
struct Head {
    name: String,
    version: u32,
    codec: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conversation: Option<MessageId>,
    /// The conversation, where its name is from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conversation_text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_synced: Option<bool>,
    /// Copies of it are known by its id.
    #[serde(default, skip_serializing_if = "is_false")]
    is_marked: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(value: &bool) -> bool {
    !value
}

/// The head's length, the head, the payload.
pub(super) fn encode(draft: &Draft) -> Vec<u8> {
    let envelope = draft.envelope();
    let (conversation, conversation_text) = match &envelope.correlation {
        Some(CorrelationId::Id(id)) => (Some(*id), None),
        Some(CorrelationId::Text(text)) => (None, Some(text.to_string())),
        None => (None, None),
    };
    let header = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let head = Head {
        name: envelope.name.to_string(),
        version: envelope.version,
        codec: envelope.codec.to_string(),
        key: envelope.key.as_ref().map(|key| key.as_str().to_owned()),
        conversation,
        conversation_text,
        causation: envelope.causation,
        headers: envelope.headers.iter().map(header).collect(),
        is_synced: draft.durability().map(|level| level == Durability::Synced),
        is_marked: matches!(draft.mark, Some(Mark::Id(_))),
    };
    // Of texts and numbers alone, which always encode.
    let head = serde_json::to_vec(&head).unwrap_or_default();
    let mut bytes = Vec::with_capacity(4 + head.len() + draft.payload.len());
    bytes.extend(u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(head);
    bytes.extend(&draft.payload);
    bytes
}

/// The name and the key of a stored event.
pub(super) fn subject(bytes: &[u8]) -> Option<(Arc<str>, Option<Key>)> {
    let (head, _) = split(bytes)?;
    let key = head.key.as_deref().map(Key::new);
    Some((head.name.into(), key))
}

impl Journal {
    /// The event that storage has. `None` where it does not decode.
    pub(super) fn draft_stored(&self, scheduled: Scheduled, bytes: &[u8]) -> Option<Draft> {
        let (head, payload) = split(bytes)?;
        let mut headers = Headers::default();
        for (name, value) in &head.headers {
            headers.insert(name, value).ok()?;
        }
        let mut envelope = Envelope::new("", head.version, scheduled.id());
        (envelope.name, envelope.codec) = (head.name.into(), head.codec.into());
        envelope.key = head.key.as_deref().map(Key::new);
        let text = head.conversation_text.map(CorrelationId::from);
        envelope.correlation = text.or(head.conversation.map(CorrelationId::Id));
        envelope.causation = head.causation;
        envelope.headers = headers;
        envelope.published_at = scheduled.due();
        let key = envelope.headers.get(Headers::IDEMPOTENCY_KEY).map(Key::new);
        let event = Arc::clone(&envelope.name);
        let by_key = key.map(|key| Mark::Key { event, key });
        let mark = by_key.or(head.is_marked.then(|| Mark::Id(scheduled.id())));
        let level = |is_synced| if is_synced { Durability::Synced } else { Durability::Buffered };
        let kind = self.contract().name_id(&envelope.name);
        let durability = head.is_synced.map(level);
        Some(Draft::encoded(self.route(kind), envelope, payload.to_vec(), (durability, mark)))
    }
}

fn split(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (head, payload) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((serde_json::from_slice(head).ok()?, payload))
}
