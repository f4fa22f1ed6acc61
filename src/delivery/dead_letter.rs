//! Events that a subscription could not handle: kept, listed, retried.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    HandlerError, keys,
    parking::{Held, Revival},
};
use crate::{
    event::Key,
    journal::{Body, Entry, Journal},
    message::{CorrelationId, Envelope, Headers, MessageId, Position},
    runtime::Timestamp,
    storage::{StorageError, Write},
};

/// Why an event became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// Several processes in a row have ended while it was handled.
    Crashed,
    /// The last attempt that the policy allows has failed.
    Exhausted,
    /// The subscription was to get such events, and has no handler for them any more.
    NoHandler,
    /// The handler said that it is not to be tried again.
    Rejected,
    /// The payload does not decode, or is of a version or codec that this build does not know.
    Undecodable,
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crashed => "crashed",
            Self::Exhausted => "exhausted",
            Self::NoHandler => "no handler",
            Self::Rejected => "rejected",
            Self::Undecodable => "undecodable",
        })
    }
}

/// What makes an event a dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(super) reason: DeadLetterReason,
    pub(super) error: String,
}

impl Verdict {
    pub(super) fn new(reason: DeadLetterReason, error: &HandlerError) -> Self {
        Self { reason, error: error.describe() }
    }
}

/// An event that a subscription could not handle.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    position: Position,
    envelope: Arc<Envelope>,
    payload: Vec<u8>,
    reason: DeadLetterReason,
    error: String,
    attempts: u32,
    first_failed_at: Timestamp,
    died_at: Timestamp,
    /// It is to be tried again when the subscription starts.
    is_marked: bool,
}

impl DeadLetter {
    /// The event's place in the journal, by which it is retried or discarded.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Everything about the message but its payload.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The event's name.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.envelope.name
    }

    /// The encoded event, as published. Empty on a volatile bus, which encodes nothing.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Why it became a dead letter.
    #[must_use]
    pub fn reason(&self) -> DeadLetterReason {
        self.reason
    }

    /// The last error, as text.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// How many times a handler was called with it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When the first attempt failed.
    #[must_use]
    pub fn first_failed_at(&self) -> Timestamp {
        self.first_failed_at
    }

    /// When it became a dead letter.
    #[must_use]
    pub fn died_at(&self) -> Timestamp {
        self.died_at
    }

    /// Whether it will be tried again when the subscription starts next. See
    /// [`DeadLetters::retry_at_start`](crate::DeadLetters::retry_at_start).
    #[must_use]
    pub fn is_retried_at_start(&self) -> bool {
        self.is_marked
    }

    pub(super) fn new(held: &Held, verdict: &Verdict, payload: Vec<u8>, now: Timestamp) -> Self {
        Self {
            position: held.position(),
            envelope: Arc::clone(&held.entry.envelope),
            payload,
            reason: verdict.reason,
            error: verdict.error.clone(),
            attempts: held.all_attempts(),
            first_failed_at: held.first_failure().unwrap_or(now),
            died_at: now,
            is_marked: false,
        }
    }

    /// The head as JSON, a zero byte (which JSON never holds), and the payload as it is.
    fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(&Head::of(self))?;
        bytes.push(0);
        bytes.extend(&self.payload);
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
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
            first_failed_at: Timestamp::from_nanos(self.first_failed_at),
            died_at: Timestamp::from_nanos(self.died_at),
            is_marked: self.retry_at_start,
        })
    }
}

type Remembered = (DeadLetter, Arc<Entry>);

/// The dead letters of one subscription: in storage, or in memory where the subscription leaves
/// nothing behind.
pub(crate) struct DeadLetterStore {
    subscription: Arc<str>,
    journal: Arc<Journal>,
    /// Which letters there are, those included whose commit is still on its way.
    positions: Mutex<BTreeSet<Position>>,
    /// The letters and the events themselves; `None` where storage has them.
    memory: Option<Mutex<BTreeMap<Position, Remembered>>>,
}

impl DeadLetterStore {
    pub(crate) fn open(
        journal: &Arc<Journal>,
        subscription: &Arc<str>,
        stored: bool,
    ) -> Result<Self, StorageError> {
        let prefix = keys::dead_letters(subscription);
        let letters = if stored { journal.scan(&prefix)? } else { Vec::new() };
        let positions = letters.iter().filter_map(|(key, _)| keys::position(key)).collect();
        Ok(Self {
            subscription: Arc::clone(subscription),
            journal: Arc::clone(journal),
            positions: Mutex::new(positions),
            memory: (!stored).then(Mutex::default),
        })
    }

    pub(crate) fn count(&self) -> u64 {
        self.positions.lock().len() as u64
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.positions.lock().contains(&position)
    }

    /// By position.
    pub(crate) fn list(&self) -> Result<Vec<DeadLetter>, StorageError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.lock().values().map(|(letter, _)| letter.clone()).collect());
        }
        let stored = self.journal.scan(&keys::dead_letters(&self.subscription))?;
        stored.iter().map(|(_, bytes)| DeadLetter::decode(bytes).ok_or_else(damaged)).collect()
    }

    pub(crate) fn get(&self, position: Position) -> Result<Option<DeadLetter>, StorageError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.lock().get(&position).map(|(letter, _)| letter.clone()));
        }
        let stored = self.journal.get(&keys::dead_letter(&self.subscription, position))?;
        stored.map(|bytes| DeadLetter::decode(&bytes).ok_or_else(damaged)).transpose()
    }

    /// Has a letter tried again when the subscription starts next. The mark goes with the letter:
    /// when it is handled, or dies again. False where there is none.
    pub(crate) fn mark(&self, position: Position) -> Result<bool, StorageError> {
        let Some(mut letter) = self.get(position)? else { return Ok(false) };
        letter.is_marked = true;
        let bytes = letter.encode().map_err(|_| damaged())?;
        let key = keys::dead_letter(&self.subscription, position);
        self.journal.write(vec![Write::put(key, bytes)])?;
        Ok(true)
    }

    /// The letters that are to be tried again at the start.
    pub(super) fn marked(&self) -> Result<Vec<Position>, StorageError> {
        if self.memory.is_some() {
            return Ok(Vec::new());
        }
        let stored = self.journal.scan(&keys::dead_letters(&self.subscription))?;
        let letters = stored.iter().filter_map(|(_, bytes)| DeadLetter::decode(bytes));
        Ok(letters.filter(|letter| letter.is_marked).map(|letter| letter.position).collect())
    }

    /// The event of a letter, to be handled again.
    pub(super) fn held(&self, position: Position) -> Result<Option<Held>, StorageError> {
        if !self.contains(position) {
            return Ok(None);
        }
        let Some(letter) = self.get(position)? else { return Ok(None) };
        let (attempts, first_failed_at) = (letter.attempts, letter.first_failed_at);
        let remembered = self
            .memory
            .as_ref()
            .and_then(|memory| memory.lock().get(&position).map(|(_, entry)| Arc::clone(entry)));
        let entry = remembered.unwrap_or_else(|| {
            let kind = self.journal.contract().name_id(&letter.envelope.name);
            let (envelope, body) = (letter.envelope, Body::Encoded(letter.payload));
            Arc::new(Entry { position, kind, envelope, body })
        });
        Ok(Some(Held::revived(entry, Revival { attempts, first_failed_at })))
    }

    /// Adds a letter, or replaces it. What is to be stored goes into `writes`. One that was tried
    /// again and discarded meanwhile stays discarded.
    pub(super) fn add(
        &self,
        letter: DeadLetter,
        held: &Held,
        writes: &mut keys::Writes,
    ) -> Result<(), serde_json::Error> {
        let (position, entry) = (letter.position, &held.entry);
        let mut positions = self.positions.lock();
        if held.is_revived() && !positions.contains(&position) {
            return Ok(());
        }
        positions.insert(position);
        drop(positions);
        match &self.memory {
            Some(memory) => {
                let old = memory.lock().insert(position, (letter, Arc::clone(entry)));
                drop(old);
            }
            None => {
                let key = keys::dead_letter(&self.subscription, position);
                writes.insert(key, Some(letter.encode()?));
            }
        }
        Ok(())
    }

    /// Submits writes while no letter can be discarded: those of letters that are gone by now are
    /// taken back, so that a discard is either seen here or comes later.
    pub(super) fn fence<R>(
        &self,
        mut writes: keys::Writes,
        submit: impl FnOnce(keys::Writes) -> R,
    ) -> R {
        if self.memory.is_some() || writes.is_empty() {
            return submit(writes);
        }
        let prefix = keys::dead_letters(&self.subscription);
        if !keys::any_under(&writes, &prefix) {
            return submit(writes);
        }
        let positions = self.positions.lock();
        let letters = writes.iter_mut().filter(|(key, _)| key.starts_with(&prefix));
        for (key, value) in letters {
            if keys::position(key).is_some_and(|position| !positions.contains(&position)) {
                *value = None;
            }
        }
        submit(writes)
    }

    /// Removes a letter that was handled after all. False if it was discarded meanwhile.
    pub(super) fn remove(&self, position: Position, writes: &mut keys::Writes) -> bool {
        let was_there = self.positions.lock().remove(&position);
        match &self.memory {
            Some(memory) => drop(take(memory, position)),
            None => drop(writes.insert(keys::dead_letter(&self.subscription, position), None)),
        }
        was_there
    }

    /// Removes a letter for good, and writes what `also` says. False where there is none.
    pub(crate) fn discard(
        &self,
        position: Position,
        also: impl FnOnce() -> Option<Write>,
    ) -> Result<bool, StorageError> {
        if !self.positions.lock().remove(&position) {
            return Ok(false);
        }
        match &self.memory {
            Some(memory) => {
                also();
                drop(take(memory, position));
            }
            None => {
                let key = keys::dead_letter(&self.subscription, position);
                let writes = std::iter::once(Write::remove(key)).chain(also()).collect();
                if let Err(error) = self.journal.write(writes) {
                    self.positions.lock().insert(position);
                    return Err(error);
                }
            }
        }
        Ok(true)
    }
}

/// Takes a letter out, to be dropped once the lock is free: dropping an event runs its owner's code.
fn take(memory: &Mutex<BTreeMap<Position, Remembered>>, position: Position) -> Option<Remembered> {
    memory.lock().remove(&position)
}

fn damaged() -> StorageError {
    let reason = "a dead letter does not decode";
    StorageError::Corrupt { file: "state".into(), offset: 0, reason }
}
