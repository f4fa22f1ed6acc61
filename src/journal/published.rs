//! What was published under a key of the publisher's choice, so that copies of it are known.

use std::{collections::BTreeSet, sync::Arc};

use super::{Draft, Recent, Remembered, error::PublishFailure};
use crate::{
    event::{Event, Key},
    message::{Message, MessageId, Position},
    policy::Window,
    runtime::{Seeded, Timestamp},
    storage::{KeyValue, StorageError, Write},
};

/// By what copies of a message are known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mark {
    /// The id that the publisher gave it.
    Id(MessageId),
    /// An idempotency key, which is one of its event.
    Key { event: Arc<str>, key: Key },
}

/// What all stored marks begin with.
pub(super) const PREFIX: &[u8] = b"published\0";

const ID: u8 = 0;
const KEY: u8 = 1;

impl Mark {
    /// Of a message, if its publisher has given it any.
    pub(super) fn of<E: Event>(message: &Message<E>, event: &Arc<str>) -> Option<Self> {
        let (id, key) = message.marks();
        let key = key.map(|key| Self::Key { event: Arc::clone(event), key: Key::new(key) });
        key.or(id.map(Self::Id))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = PREFIX.to_vec();
        match self {
            Self::Id(id) => {
                bytes.push(ID);
                bytes.extend(id.to_bytes());
            }
            Self::Key { event, key } => {
                bytes.push(KEY);
                bytes.extend(event.bytes());
                bytes.push(0); // which no name holds
                bytes.extend(key.as_str().bytes());
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.strip_prefix(PREFIX)?.split_first()? {
            (&ID, id) => Some(Self::Id(MessageId::from_bytes(id.try_into().ok()?))),
            (&KEY, rest) => {
                let (event, key) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
                Some(Self::Key { event: event.into(), key: Key::new(key) })
            }
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Key { key, .. } => key.to_string(),
        }
    }
}

/// The first message of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Original {
    id: MessageId,
    /// Of the payload: 32 bits of checksum, 32 of length. 0 where nothing is encoded.
    print: u64,
}

/// The place and the id of a message.
pub(crate) type Place = (Position, MessageId);

/// Where the messages of a transaction are: one after another, but for copies of earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) first: Position,
    /// Which of the messages are copies, and where the originals are.
    pub(super) copies: Vec<(usize, Place)>,
}

impl Places {
    pub(super) fn from(first: Position) -> Self {
        Self { first, copies: Vec::new() }
    }

    /// Where the only message is.
    pub(crate) fn of_one(&self, id: MessageId) -> Place {
        self.copies.first().map_or((self.first, id), |(_, original)| *original)
    }

    /// Where each of the messages with these ids is.
    pub(crate) fn of(&self, ids: impl Iterator<Item = MessageId>) -> impl Iterator<Item = Place> {
        let (mut next, mut copies) = (self.first, self.copies.iter().peekable());
        ids.enumerate().map(move |(at, id)| {
            if let Some((_, original)) = copies.next_if(|(copy, _)| *copy == at) {
                return *original;
            }
            let place = (next, id);
            next = next.next();
            place
        })
    }
}

/// What was published under marks, as far as it is remembered.
pub(super) struct Published {
    recent: Recent<Mark, Original>,
    /// What storage has is loaded. Nothing is before anybody uses marks.
    is_loaded: bool,
    window: Window,
    seed: Seeded,
}

impl Published {
    pub(super) fn new(window: Window, seed: Seeded) -> Self {
        Self { recent: Recent::new(window, None, seed), is_loaded: false, window, seed }
    }

    /// Loads what storage has, unless that was done.
    pub(super) fn load(
        &mut self,
        stored: impl FnOnce() -> Result<Vec<KeyValue>, StorageError>,
    ) -> Result<(), StorageError> {
        if self.is_loaded {
            return Ok(());
        }
        let decoded =
            |(key, value): &KeyValue| Mark::decode(key).zip(decode(value)).ok_or_else(damaged);
        let marks: Result<Vec<_>, StorageError> = stored()?.iter().map(decoded).collect();
        let mut marks = marks?;
        marks.sort_unstable_by_key(|(_, original)| original.position);
        for (mark, original) in marks {
            self.recent.insert(mark, original);
        }
        self.is_loaded = true;
        Ok(())
    }

    /// Forgets everything, to be loaded anew: what was noted was not stored.
    pub(super) fn unload(&mut self) {
        *self = Self::new(self.window, self.seed);
    }

    /// Says whether any draft is marked as an earlier message that was another one.
    pub(super) fn check(&self, drafts: &[Draft]) -> Result<(), PublishFailure> {
        let differs =
            |draft: &&Draft| self.original(draft).is_some_and(|it| it.value.print != print(draft));
        let Some(draft) = drafts.iter().find(differs) else { return Ok(()) };
        let found = draft.mark.as_ref().zip(self.original(draft));
        found.map_or(Ok(()), |(mark, original)| {
            let (key, position) = (mark.text(), original.position);
            Err(PublishFailure::IdempotencyConflict { key, position })
        })
    }

    /// Takes the copies out of drafts that will be at `next` and the positions after it, and says what
    /// they are copies of. Notes the others.
    pub(super) fn sift(&mut self, drafts: &mut Vec<Draft>, mut next: Position) -> Sifted {
        let mut sifted = Sifted::default();
        for (at, draft) in std::mem::take(drafts).into_iter().enumerate() {
            if let Some(original) = self.original(&draft) {
                sifted.places.push((at, (original.position, original.value.id)));
                sifted.copies.push(draft);
                continue;
            }
            self.note(&draft, next, &mut sifted.writes);
            drafts.push(draft);
            next = next.next();
        }
        sifted
    }

    /// Those of the drafts that are no copies, of earlier ones or among themselves.
    pub(super) fn fresh<'a>(&self, drafts: &'a [Draft]) -> impl Iterator<Item = &'a Draft> {
        let mut marks = BTreeSet::new();
        drafts.iter().filter(move |draft| {
            let is_first = draft.mark.as_ref().is_none_or(|mark| marks.insert(mark));
            is_first && self.original(draft).is_none()
        })
    }

    fn original(&self, draft: &Draft) -> Option<&Remembered<Original>> {
        self.recent.get(draft.mark.as_ref()?)
    }

    fn note(&mut self, draft: &Draft, position: Position, writes: &mut Vec<Write>) {
        let Some(mark) = draft.mark.clone() else { return };
        let value = Original { id: draft.envelope.id, print: print(draft) };
        let published_at = draft.envelope.published_at;
        let original = Remembered { position, published_at, value };
        writes.push(Write::put(mark.encode(), encode(&original)));
        self.recent.insert(mark, original);
        while let Some(old) = self.recent.forget() {
            writes.push(Write::remove(old.encode()));
        }
    }
}

/// What was taken out of drafts, and what is to be written for those that are left.
#[derive(Default)]
pub(super) struct Sifted {
    pub(super) copies: Vec<Draft>,
    pub(super) places: Vec<(usize, Place)>,
    pub(super) writes: Vec<Write>,
}

fn print(draft: &Draft) -> u64 {
    match draft.payload.len() as u64 {
        0 => 0,
        length => u64::from(crc32c::crc32c(&draft.payload)) << 32 | length & u64::from(u32::MAX),
    }
}

/// Position, time, checksum and length, and id: 40 bytes.
fn encode(original: &Remembered<Original>) -> Vec<u8> {
    let numbers = [original.position.get(), original.published_at.as_nanos(), original.value.print];
    let numbers = numbers.into_iter().flat_map(u64::to_be_bytes);
    numbers.chain(original.value.id.to_bytes()).collect()
}

fn decode(bytes: &[u8]) -> Option<Remembered<Original>> {
    let (numbers, id) = bytes.as_chunks::<8>().0.split_at_checked(3)?;
    let &[position, published_at, print] = <&[[u8; 8]; 3]>::try_from(numbers).ok()?;
    let id = MessageId::from_bytes(id.as_flattened().try_into().ok()?);
    Some(Remembered {
        position: Position::new(u64::from_be_bytes(position))?,
        published_at: Timestamp::from_nanos(u64::from_be_bytes(published_at)),
        value: Original { id, print: u64::from_be_bytes(print) },
    })
}

fn damaged() -> StorageError {
    let reason = "what is stored of published messages does not decode";
    StorageError::Corrupt { file: "state".into(), offset: 0, reason }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests, though clippy does not see that
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_reads_back() {
        let id = MessageId::from_bytes(*b"0123456789abcdef");
        for mark in [Mark::Id(id), Mark::Key { event: "a.b".into(), key: Key::new("k\0k") }] {
            assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        }
        let original = Remembered {
            position: Position::new(7).unwrap(),
            published_at: Timestamp::from_nanos(8),
            value: Original { id, print: 9 },
        };
        assert_eq!(decode(&encode(&original)), Some(original));
        assert_eq!(decode(&encode(&original)[1..]), None);
    }

    #[test]
    fn places_go_on_around_copies() {
        let id = |number| MessageId::from_bytes([number; 16]);
        let at = |number| Position::new(number).unwrap();
        let places =
            Places { first: at(10), copies: vec![(1, (at(3), id(9))), (2, (at(10), id(0)))] };
        let found: Vec<_> = places.of((0..5).map(id)).collect();
        let expected =
            [(at(10), id(0)), (at(3), id(9)), (at(10), id(0)), (at(11), id(3)), (at(12), id(4))];
        assert_eq!(found, expected);
    }
}
