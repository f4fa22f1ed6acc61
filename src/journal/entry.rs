//! A published event, before and after it has its position.

use std::sync::Arc;

use super::{
    Topic,
    expected::Condition,
    published::Mark,
    ring::{CellRef, Incoming, Route, Tag},
    spare::Spare,
};
use crate::{
    contract::NameId,
    event::{Durability, Event},
    message::{Envelope, Message, Position},
    storage::Write,
};

/// A published event at its position, for whoever holds it longer than the ring does.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) position: Position,
    pub(crate) kind: NameId,
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) body: Body,
}

impl Entry {
    /// What decides the lane of the event.
    pub(crate) fn tag(&self) -> Tag {
        Tag::hashed(self.kind, self.envelope.key.as_ref())
    }
}

/// The event itself: the publisher's own value, or bytes read back from storage.
#[derive(Debug)]
pub(crate) enum Body {
    Value(CellRef),
    Encoded(Vec<u8>),
}

/// About what a mark takes in storage; an old one may have to go for it.
const MARK_BYTES: usize = 128;

/// An event on its way into the journal, in the cell in which readers will find it.
#[derive(Debug)]
pub(crate) struct Draft {
    topic: Arc<Topic>,
    pub(super) envelope: Arc<Envelope>,
    cell: CellRef,
    /// Empty on a volatile bus.
    pub(super) payload: Vec<u8>,
    /// What it is to survive, where that is not what the bus promises.
    durability: Option<Durability>,
    /// By what copies of it are known, where there may be any.
    pub(super) mark: Option<Mark>,
}

impl Draft {
    pub(super) fn new<E: Event>(
        topic: &Arc<Topic>,
        envelope: Envelope,
        event: E,
        Spare { cell, payload }: Spare,
        (durability, mark): (Option<Durability>, Option<Mark>),
    ) -> Self {
        let (cell, envelope) = match cell {
            Some(cell) => cell.reuse(event, envelope),
            None => CellRef::enveloped(event, envelope),
        };
        Self { topic: Arc::clone(topic), envelope, cell, payload, durability, mark }
    }

    pub(crate) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// About how much storage will have to write.
    pub(crate) fn bytes(&self) -> usize {
        let mark = self.mark.as_ref().map_or(0, |_| 2 * MARK_BYTES);
        self.payload.len() + self.envelope.bytes() + mark
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn cell(&self) -> &CellRef {
        &self.cell
    }

    pub(super) fn is_marked(&self) -> bool {
        self.mark.is_some()
    }

    /// The event, for whoever drops it.
    pub(super) fn into_cell(self) -> CellRef {
        self.cell
    }

    pub(super) fn has_inline(&self) -> bool {
        self.topic.route.inline() != 0
    }

    /// The same event on another route.
    pub(super) fn detour(&self, route: Arc<Route>) -> Incoming {
        let tag = Tag::hashed(route.kind, self.envelope.key.as_ref());
        Incoming { route, tag, cell: self.cell.clone() }
    }

    /// A share of it, to be put into the ring.
    pub(super) fn incoming(&self) -> Incoming {
        self.detour(Arc::clone(&self.topic.route))
    }

    pub(super) fn into_incoming(self) -> Incoming {
        let tag = Tag::hashed(self.topic.route.kind, self.envelope.key.as_ref());
        Incoming { route: Arc::clone(&self.topic.route), tag, cell: self.cell }
    }

    /// The message that this draft was made of. `None` only for a wrong `E`, or while a reader
    /// holds the event, neither of which happens to a draft that was refused.
    pub(super) fn into_message<E: Event>(self) -> Option<Message<E>> {
        let event = self.cell.into_event::<E>()?;
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
    /// What must be so.
    pub(crate) condition: Option<Box<Condition>>,
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
