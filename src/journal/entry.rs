//! A published event, before and after it has its position.

use std::sync::Arc;

use crate::{
    contract::{NameId, Value},
    event::Durability,
    event::Event,
    message::{Envelope, Message, Position},
    storage::Write,
};

/// A published event at its position.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) position: Position,
    pub(crate) kind: NameId,
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) body: Body,
}

/// The event itself: the publisher's own value, or bytes read back from storage.
#[derive(Debug)]
pub(crate) enum Body {
    Value(Value),
    Encoded(Vec<u8>),
}

/// An event on its way into the journal.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) kind: NameId,
    pub(super) envelope: Arc<Envelope>,
    pub(super) value: Value,
    /// Empty on a volatile bus.
    pub(super) payload: Vec<u8>,
    /// What it is to survive, where that is not what the bus promises.
    pub(super) durability: Option<Durability>,
}

impl Draft {
    pub(super) fn new<E: Event>(
        kind: NameId,
        envelope: Envelope,
        event: E,
        payload: Vec<u8>,
        durability: Option<Durability>,
    ) -> Self {
        let (envelope, value) = (Arc::new(envelope), Arc::new(event));
        Self { kind, envelope, value, payload, durability }
    }

    pub(crate) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// About how much storage will have to write.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.envelope.bytes()
    }

    pub(super) fn into_entry(self, position: Position) -> Entry {
        let Self { kind, envelope, value, .. } = self;
        Entry { position, kind, envelope, body: Body::Value(value) }
    }

    /// The message that this draft was made of. `None` only for a wrong `E`, or while a reader
    /// holds the value, neither of which happens to a draft that was refused.
    pub(super) fn into_message<E: Event>(self) -> Option<Message<E>> {
        let event = Arc::into_inner(self.value.downcast::<E>().ok()?)?;
        let envelope = Arc::unwrap_or_clone(self.envelope);
        Some(Message::unseal(event, envelope, self.durability))
    }
}

/// What commits together: events to publish and state to write.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) drafts: Vec<Draft>,
    pub(crate) writes: Vec<Write>,
    /// What it is to survive; `None`: what its events ask for, and otherwise what the bus promises.
    pub(crate) durability: Option<Durability>,
}

impl Transaction {
    pub(crate) fn publishing(drafts: Vec<Draft>) -> Self {
        Self { drafts, ..Self::default() }
    }

    /// What it is to survive on a bus that promises `usual`.
    pub(super) fn level(&self, usual: Durability) -> Durability {
        if let Some(level) = self.durability {
            return level.min(usual);
        }
        let own = (!self.writes.is_empty()).then_some(usual);
        let drafts = self.drafts.iter().map(|draft| draft.durability.unwrap_or(usual));
        own.into_iter().chain(drafts).max().unwrap_or(usual)
    }

    /// About how much storage will have to write.
    pub(super) fn bytes(&self) -> usize {
        let written =
            |write: &Write| write.key.len() + write.value.as_ref().map_or(0, Vec::len) + 16;
        let drafts: usize = self.drafts.iter().map(Draft::bytes).sum();
        drafts + self.writes.iter().map(written).sum::<usize>()
    }
}
