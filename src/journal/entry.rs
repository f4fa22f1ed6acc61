//! A published event, before and after it has its position.

use std::sync::Arc;

use super::{
    Later, Topic,
    expected::Condition,
    published::Mark,
    ring::{CellRef, Incoming, Route, Tag},
    schedule::{Cancel, Encoded},
    spare::Spare,
};
use crate::{
    contract::NameId,
    event::{Durability, Event},
    message::{Envelope, Message, Position},
    runtime::Timestamp,
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

/// About what is published at once of what is due.
const FIRED_BYTES: usize = 1024 * 1024;

/// An event on its way into the journal, in the cell in which readers will find it.
#[derive(Debug)]
pub(crate) struct Draft {
    origin: Origin,
    pub(super) envelope: Arc<Envelope>,
    cell: CellRef,
    /// Empty on a volatile bus.
    pub(super) payload: Vec<u8>,
    /// What it is to survive, where that is not what the bus promises.
    durability: Option<Durability>,
    /// By what copies of it are known, where there may be any.
    pub(super) mark: Option<Mark>,
}

/// Where a draft is from.
#[derive(Debug)]
enum Origin {
    /// A publisher.
    Publisher(Arc<Topic>),
    /// Storage, of which the event need not be of a type that is known here.
    Storage(Arc<Route>),
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
        let origin = Origin::Publisher(Arc::clone(topic));
        Self { origin, envelope, cell, payload, durability, mark }
    }

    /// One whose event was read from storage, encoded.
    pub(super) fn encoded(
        route: Arc<Route>,
        envelope: Envelope,
        payload: Vec<u8>,
        (durability, mark): (Option<Durability>, Option<Mark>),
    ) -> Self {
        let (cell, envelope) = CellRef::enveloped(Encoded(payload.clone()), envelope);
        Self { origin: Origin::Storage(route), envelope, cell, payload, durability, mark }
    }

    fn route(&self) -> &Arc<Route> {
        match &self.origin {
            Origin::Publisher(topic) => &topic.route,
            Origin::Storage(route) => route,
        }
    }

    pub(crate) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The event, encoded; empty on a volatile bus.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// About how much storage will have to write.
    pub(crate) fn bytes(&self) -> usize {
        let mark = self.mark.as_ref().map_or(0, |_| 2 * MARK_BYTES);
        self.payload.len() + self.envelope.bytes() + mark
    }

    /// The type of its event, where a publisher has made it.
    pub(super) fn topic(&self) -> Option<&Topic> {
        match &self.origin {
            Origin::Publisher(topic) => Some(topic),
            Origin::Storage(_) => None,
        }
    }

    /// What it is to survive, where that is not what the bus promises.
    pub(super) fn durability(&self) -> Option<Durability> {
        self.durability
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
        self.route().inline() != 0
    }

    /// The same event on another route.
    pub(super) fn detour(&self, route: Arc<Route>) -> Incoming {
        let tag = Tag::hashed(route.kind, self.envelope.key.as_ref());
        Incoming { route, tag, cell: self.cell.clone() }
    }

    /// A share of it, to be put into the ring.
    pub(super) fn incoming(&self) -> Incoming {
        self.detour(Arc::clone(self.route()))
    }

    pub(super) fn into_incoming(self) -> Incoming {
        let (route, cell) = (Arc::clone(self.route()), self.cell);
        Incoming { tag: Tag::hashed(route.kind, self.envelope.key.as_ref()), route, cell }
    }

    /// The message that this draft was made of. `None` only for a wrong `E`, or while a reader
    /// holds the event, neither of which happens to a draft that was refused.
    pub(super) fn into_message<E: Event>(self) -> Option<Message<E>> {
        let event = self.cell.into_event::<E>()?;
        let envelope = Arc::unwrap_or_clone(self.envelope);
        Some(Message::unseal(event, envelope, self.durability))
    }
}

/// What commits together: events to publish, now or later, and state to write.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) drafts: Vec<Draft>,
    pub(crate) later: Vec<Later>,
    /// What was to be published later, and is not to be any more.
    pub(crate) cancels: Vec<Cancel>,
    /// What is due by then is to be published.
    pub(crate) fires: Option<Timestamp>,
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

    /// Whether scheduled events are published or cancelled by it.
    pub(super) fn concerns_schedule(&self) -> bool {
        self.fires.is_some() || !self.cancels.is_empty()
    }

    /// The events in it, for whoever is refused.
    pub(super) fn into_drafts(self) -> Vec<Draft> {
        let mut drafts = self.drafts;
        drafts.extend(self.later.into_iter().map(|later| later.draft));
        drafts
    }

    /// What it is to survive on a bus that promises `usual`.
    pub(super) fn level(&self, usual: Durability) -> Durability {
        if let Some(level) = self.durability {
            return level.min(usual);
        }
        let own = (!self.writes.is_empty()).then_some(usual);
        let later = self.later.iter().map(|later| &later.draft);
        let drafts = self.drafts.iter().chain(later);
        let drafts = drafts.map(|draft| draft.durability.unwrap_or(usual));
        own.into_iter().chain(drafts).max().unwrap_or(usual)
    }

    /// About how much storage will have to write.
    pub(super) fn bytes(&self) -> usize {
        let written =
            |write: &Write| write.key.len() + write.value.as_ref().map_or(0, Vec::len) + 16;
        let drafts: usize = self.drafts.iter().map(Draft::bytes).sum();
        let due = if self.fires.is_some() { FIRED_BYTES } else { 0 };
        drafts + due + self.writes.iter().map(written).sum::<usize>()
    }
}
