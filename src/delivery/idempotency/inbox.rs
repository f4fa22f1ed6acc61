//! What a handler has handled.

use parking_lot::Mutex;

use super::Idempotency;
use crate::{
    delivery::keys,
    event::Key,
    journal::{Journal, Mistake, Planted, Recent, Remembered, Slot},
    message::{MessageId, Position},
    policy::Window,
    runtime::{Seeded, Timestamp},
    storage::{StorageError, Write},
};

/// What the copies of an event have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::delivery) enum IdempotencyKey {
    Id(MessageId),
    Text(Key),
}

const ID: u8 = 0;
const TEXT: u8 = 1;

impl IdempotencyKey {
    /// Appended to a state key.
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Id(id) => {
                bytes.push(ID);
                bytes.extend(id.to_bytes());
            }
            Self::Text(key) => {
                bytes.push(TEXT);
                bytes.extend(key.as_str().bytes());
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&ID, id) => Some(Self::Id(MessageId::from_bytes(id.try_into().ok()?))),
            (&TEXT, text) => Some(Self::Text(Key::new(std::str::from_utf8(text).ok()?))),
            _ => None,
        }
    }
}

/// Whether an event may be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Entrance {
    /// It may. The caller says how that ended.
    Open(Entered),
    /// It may, though a copy of it may have been handled and forgotten.
    BeyondWindow(Entered),
    /// A copy of it is being handled.
    Busy,
    /// A copy of it was handled.
    Duplicate,
}

/// An event that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) struct Entered {
    slot: Slot,
    position: Position,
}

/// What a handler has handled, as far as it is remembered. In storage it changes in the commit that
/// acknowledges the event.
pub(in crate::delivery) struct Inbox {
    pub(in crate::delivery) idempotency: Idempotency,
    /// What its state keys begin with; `None` where nothing is stored.
    prefix: Option<Vec<u8>>,
    events: Mutex<Recent<IdempotencyKey, Progress>>,
    planted: Planted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Running,
    Handled,
}

impl Inbox {
    pub(in crate::delivery) fn open(
        journal: &Journal,
        subscription: &str,
        event: &str,
        idempotency: &Idempotency,
        is_stored: bool,
    ) -> Result<Self, StorageError> {
        let prefix = is_stored.then(|| keys::inbox(subscription, event));
        let seed = Seeded::new(journal.runtime());
        let handled = match &prefix {
            Some(prefix) => load(journal, prefix, idempotency.window, seed)?,
            None => Recent::new(idempotency.window, None, seed),
        };
        let (idempotency, events) = (idempotency.clone(), Mutex::new(handled));
        Ok(Self { idempotency, prefix, events, planted: journal.planted() })
    }

    /// Asks for an event to be let in, to be handled.
    pub(in crate::delivery) fn enter(
        &self,
        key: IdempotencyKey,
        position: Position,
        published_at: Timestamp,
    ) -> Entrance {
        let mut events = self.events.lock();
        let running = Remembered { position, published_at, value: Progress::Running };
        let slot = match events.claim(key, running) {
            Ok(slot) => slot,
            Err(slot) => match events.at(slot) {
                Some((_, Remembered { value: Progress::Handled, .. })) => {
                    return Entrance::Duplicate;
                }
                Some((_, other))
                    if other.position != position
                        && !self.planted.is(Mistake::CopyBesideOriginal) =>
                {
                    return Entrance::Busy;
                }
                _ => slot,
            },
        };
        let entered = Entered { slot, position };
        match events.forgotten() {
            Some(forgotten) if position <= forgotten => Entrance::BeyondWindow(entered),
            _ => Entrance::Open(entered),
        }
    }

    /// An event that was let in was handled. Adds to the writes of the commit that acknowledges it.
    pub(in crate::delivery) fn finish(&self, entered: Entered, writes: &mut keys::Writes) {
        let mut events = self.events.lock();
        let Some((key, running)) = entered.find(&events) else { return };
        if let Some(prefix) = &self.prefix
            && !self.planted.is(Mistake::MarkNotStored)
        {
            let (position, published_at) = (running.position, running.published_at);
            let mark = Mark { position, published_at };
            writes.insert(storage_key(prefix, key), Some(mark.encode()));
        }
        if self.planted.is(Mistake::KeepClaim) {
            return;
        }
        events.confirm(entered.slot, Progress::Handled);
        while let Some(old) = events.forget() {
            let Some(prefix) = &self.prefix else { continue };
            writes.insert(storage_key(prefix, &old), None);
            let forgotten = events.forgotten().map(Position::get).unwrap_or_default();
            writes.insert(prefix.clone(), Some(forgotten.to_be_bytes().into()));
        }
    }

    /// An event that was let in was not handled.
    pub(in crate::delivery) fn give_up(&self, entered: Entered) {
        let mut events = self.events.lock();
        if entered.find(&events).is_some() {
            events.give_back(entered.slot);
        }
    }
}

impl Entered {
    /// What it is, while it is being handled.
    fn find(
        self,
        events: &Recent<IdempotencyKey, Progress>,
    ) -> Option<(&IdempotencyKey, &Remembered<Progress>)> {
        let is_running = |(_, event): &(&IdempotencyKey, &Remembered<Progress>)| {
            event.value == Progress::Running && event.position == self.position
        };
        events.at(self.slot).filter(is_running)
    }
}

fn storage_key(prefix: &[u8], key: &IdempotencyKey) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    key.encode(&mut bytes);
    bytes
}

/// What is stored of a handled event.
struct Mark {
    position: Position,
    published_at: Timestamp,
}

impl Mark {
    fn encode(&self) -> Vec<u8> {
        let numbers = [self.position.get(), self.published_at.as_nanos()];
        numbers.into_iter().flat_map(u64::to_be_bytes).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (position, published_at) = bytes.split_first_chunk()?;
        Some(Self {
            position: Position::new(u64::from_be_bytes(*position))?,
            published_at: Timestamp::from_nanos(u64::from_be_bytes(published_at.try_into().ok()?)),
        })
    }
}

/// What forgets which events from a position on were handled, so that they are handled again.
pub(in crate::delivery) fn forget_from(
    journal: &Journal,
    subscription: &str,
    from: Position,
) -> Result<Vec<Write>, StorageError> {
    let stored = journal.scan(&keys::inboxes(subscription))?;
    let is_later = |mark: Mark| mark.position >= from;
    let later = stored.into_iter().filter(|(_, value)| Mark::decode(value).is_some_and(is_later));
    Ok(later.map(|(key, _)| Write::remove(key)).collect())
}

/// Under the prefix itself is the last position of which something was forgotten.
fn load(
    journal: &Journal,
    prefix: &[u8],
    window: Window,
    seed: Seeded,
) -> Result<Recent<IdempotencyKey, Progress>, StorageError> {
    let stored = journal.scan(prefix)?;
    let own = stored.first().filter(|(key, _)| key.len() == prefix.len());
    let forgotten = own.and_then(|(_, value)| value.as_slice().try_into().ok());
    let forgotten = forgotten.map(u64::from_be_bytes).and_then(Position::new);
    let mut handled = Recent::new(window, forgotten, seed);
    let mut marks = Vec::with_capacity(stored.len());
    for (key, value) in stored.iter().skip(usize::from(own.is_some())) {
        let key = key.strip_prefix(prefix).and_then(IdempotencyKey::decode);
        let (Some(key), Some(mark)) = (key, Mark::decode(value)) else { return Err(damaged()) };
        marks.push((key, mark));
    }
    marks.sort_unstable_by_key(|(_, mark)| mark.position);
    for (key, Mark { position, published_at }) in marks {
        handled.insert(key, Remembered { position, published_at, value: Progress::Handled });
    }
    Ok(handled)
}

fn damaged() -> StorageError {
    let reason = "what is stored of handled events does not decode";
    StorageError::Corrupt { file: "state".into(), offset: 0, reason }
}
