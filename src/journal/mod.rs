//! The bus's single total order: what was published, and who reads it.
//!
//! The newest part is the [`Tail`] in memory. Behind it, on a durable bus, is the [`Log`], which
//! commits first and shows events only then. A volatile bus has the tail alone.

mod caretaker;
mod entry;
mod error;
mod lead;
mod log;
mod tail;
mod ticket;

use std::{path::Path, sync::Arc, time::Duration};

pub(crate) use entry::{Body, Draft, Entry, Transaction};
pub(crate) use error::Rejected;
pub use error::{PublishAllError, PublishError, PublishFailure};
pub(crate) use log::Log;
use tail::Admission;
pub(crate) use tail::{GroupId, Phase, ReaderId, Tail, Taken};
pub(crate) use ticket::Ticket;

use crate::{
    contract::{Contract, EventType},
    event::Durability,
    event::{Event, Key},
    message::{CorrelationId, Envelope, Message, MessageId, Position},
    runtime::{Runtime, Task, Tick},
    storage::{
        Compaction, Filter, KeyValue, Page, Query, Record, Storage, StorageError, Trim, Write,
    },
};

/// The longest payload that can be published, in bytes.
const MAX_PAYLOAD: usize = 8 * 1024 * 1024;

/// The bus's single total order.
pub(crate) struct Journal {
    runtime: Runtime,
    contract: Contract,
    tail: Tail,
    log: Option<Arc<Log>>,
}

impl Journal {
    pub(crate) fn volatile(runtime: Runtime, ring: usize) -> Arc<Self> {
        let tail = Tail::new(Position::FIRST, ring, false);
        Arc::new(Self { runtime, contract: Contract::default(), tail, log: None })
    }

    pub(crate) fn durable(
        runtime: Runtime,
        ring: usize,
        storage: Arc<dyn Storage>,
        durability: Durability,
        queue: usize,
    ) -> Arc<Self> {
        let tail = Tail::new(storage.end(), ring, true);
        let log = Log::new(&runtime, storage, durability, queue);
        let contract = Contract::default();
        let journal = Arc::new(Self { runtime, contract, tail, log: Some(log) });
        if let Some(log) = &journal.log {
            log.start(&journal);
        }
        journal
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.contract
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.log.is_some()
    }

    /// Turns a message into what a transaction takes: checked, sealed and, on a durable bus,
    /// encoded. A refused message is handed back.
    pub(crate) fn draft<E: Event>(
        &self,
        message: Message<E>,
        cause: Option<&Envelope>,
    ) -> Result<Draft, PublishError<E>> {
        match self.contract.of::<E>() {
            Ok(known) => self.draft_as(&known, message, cause),
            Err(taken) => Err(PublishError::new(taken.into(), message)),
        }
    }

    /// The same for an event type that was looked up before.
    pub(crate) fn draft_as<E: Event>(
        &self,
        known: &EventType,
        message: Message<E>,
        cause: Option<&Envelope>,
    ) -> Result<Draft, PublishError<E>> {
        if let Some(refused) = message.refused() {
            return Err(PublishError::new(refused.clone().into(), message));
        }
        let now = self.runtime.wall();
        let level = message.level();
        let fresh = || MessageId::v7(now, [self.runtime.random(), self.runtime.random()]);
        let (event, envelope) = message.seal(fresh, now, (&known.name, &known.codec), cause);
        match self.encode(&event, &envelope) {
            Ok(payload) => Ok(Draft::new(known.id, envelope, event, payload, level)),
            Err(failure) => {
                Err(PublishError::new(failure, Message::unseal(event, envelope, level)))
            }
        }
    }

    fn encode<E: Event>(&self, event: &E, envelope: &Envelope) -> Result<Vec<u8>, PublishFailure> {
        check_bounds(envelope)?;
        let mut payload = Vec::new();
        if self.log.is_some() {
            E::codec().encode(event, &mut payload)?;
        }
        let bytes = payload.len();
        if bytes > MAX_PAYLOAD {
            return Err(PublishFailure::TooLarge { bytes, limit: MAX_PAYLOAD });
        }
        Ok(payload)
    }

    /// Publishes from a user's thread, and returns once that is as durable as promised.
    pub(crate) fn publish(&self, transaction: Transaction) -> Result<Position, Rejected> {
        match &self.log {
            Some(log) => log.publish(self, transaction),
            None => self.tail.append_new(&self.runtime, transaction, Admission::Wait),
        }
    }

    /// Publishes without waiting. Fails at once where the queue (or a volatile bus's ring) is full.
    pub(crate) fn enqueue(&self, transaction: Transaction) -> Result<Arc<Ticket>, Rejected> {
        match &self.log {
            Some(log) => log.enqueue(transaction),
            None => {
                let first = self.tail.append_new(&self.runtime, transaction, Admission::Fail)?;
                Ok(Ticket::done(first))
            }
        }
    }

    /// The answer to an enqueued transaction.
    pub(crate) fn wait(&self, ticket: &Arc<Ticket>) -> Result<Position, Rejected> {
        let gone = || match &self.log {
            Some(log) => log.withdraw(ticket),
            None => Rejected { failure: PublishFailure::Closed, drafts: Vec::new() },
        };
        ticket.wait(&self.runtime).unwrap_or_else(|| Err(gone()))
    }

    /// Commits what a lane has done. `waker` is woken once the ticket is done. Never refused for
    /// lack of room, since lanes are what makes room.
    pub(crate) fn commit(&self, transaction: Transaction, waker: &Arc<Task>) -> Arc<Ticket> {
        match &self.log {
            Some(log) => log.submit(transaction, waker),
            None => match self.tail.append_new(&self.runtime, transaction, Admission::Force) {
                Ok(first) => Ticket::done(first),
                Err(rejected) => Ticket::failed(rejected),
            },
        }
    }

    /// Writes state from a user's thread, and waits for it. Nothing to write is a barrier: what was
    /// submitted before is done when this returns. A volatile bus has no state to write.
    pub(crate) fn write(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        let Some(log) = &self.log else { return Ok(()) };
        let durability = writes.is_empty().then_some(Durability::Buffered);
        let transaction = Transaction { drafts: Vec::new(), writes, durability };
        match log.publish(self, transaction) {
            Ok(_) => Ok(()),
            Err(rejected) => Err(rejected.failure.into_storage()),
        }
    }

    /// The stored value of a state key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.log.as_ref().map_or(Ok(None), |log| log.storage().get(key))
    }

    /// Every stored state entry below a prefix.
    pub(crate) fn scan(&self, prefix: &[u8]) -> Result<Vec<KeyValue>, StorageError> {
        let Some(log) = &self.log else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        loop {
            let after = all.last().map(|(key, _): &KeyValue| key.clone());
            let page = log.storage().scan(prefix, after.as_deref(), 1024)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// What storage has from `from` on and below `end` that passes a filter, as entries, and where to
    /// go on. For readers that the tail has left behind.
    pub(crate) fn read(
        &self,
        from: Position,
        end: Position,
        filter: &Filter,
    ) -> Result<(Vec<Entry>, Position), StorageError> {
        let Some(log) = &self.log else {
            return Ok((Vec::new(), from));
        };
        let mut query = Query::from(from).to(end);
        query.filter = filter.clone();
        let page = log.storage().read(&query)?;
        let entry = |(position, record): (Position, Record)| Entry {
            position,
            kind: self.contract.name_id(&record.envelope.name),
            envelope: record.envelope,
            body: Body::Encoded(record.payload),
        };
        Ok((page.records.into_iter().map(entry).collect(), page.next))
    }

    /// What storage answers; nothing on a volatile bus.
    pub(crate) fn query(&self, query: &Query) -> Result<Page, StorageError> {
        match &self.log {
            Some(log) => log.storage().read(query),
            None => Ok(Page { records: Vec::new(), next: query.from }),
        }
    }

    /// Drops old records. Returns the first position that is kept.
    pub(crate) fn trim(&self, trim: &Trim) -> Result<Position, StorageError> {
        self.log.as_ref().map_or_else(|| Ok(self.first()), |log| log.storage().trim(trim))
    }

    /// Copies everything that is committed.
    pub(crate) fn backup(&self, path: &Path) -> Result<(), StorageError> {
        let nothing = Err(StorageError::Unsupported { what: "log to copy" });
        self.log.as_ref().map_or(nothing, |log| log.storage().backup(path))
    }

    /// Drops events that a later one of their key makes superfluous.
    pub(crate) fn compact(&self, compaction: &Compaction) -> Result<u64, StorageError> {
        self.log.as_ref().map_or(Ok(0), |log| log.storage().compact(compaction))
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.storage().log_bytes())
    }

    /// Has something done after each upkeep of the storage, on its thread. It says when it wants to
    /// be called again, if at all.
    pub(crate) fn after_upkeep(&self, work: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        if let Some(log) = &self.log {
            log.after_upkeep(work);
        }
    }

    /// The event at a position that was read before.
    pub(crate) fn read_one(&self, position: Position) -> Result<Entry, StorageError> {
        let (entries, _) = self.read(position, position.next(), &Filter::default())?;
        let reason = "an event that was there is not found";
        let missing = || StorageError::Corrupt { file: "log".into(), offset: 0, reason };
        entries.into_iter().next().ok_or_else(missing)
    }

    /// The encoded payload of an entry, where there is one.
    pub(crate) fn payload(&self, entry: &Entry) -> Result<Vec<u8>, StorageError> {
        if let Body::Encoded(payload) = &entry.body {
            return Ok(payload.clone());
        }
        if self.log.is_none() {
            return Ok(Vec::new());
        }
        match self.read_one(entry.position)?.body {
            Body::Encoded(payload) => Ok(payload),
            Body::Value(_) => Ok(Vec::new()),
        }
    }

    /// The oldest position that can be read.
    pub(crate) fn first(&self) -> Position {
        self.log.as_ref().map_or_else(|| self.tail.end(), |log| log.storage().first())
    }

    /// Whether everything submitted has reached the tail.
    pub(crate) fn is_flushed(&self) -> bool {
        self.log.as_ref().is_none_or(|log| log.is_flushed())
    }

    /// Waits until everything submitted has reached the tail and all readers are at rest.
    pub(crate) fn wait_quiet(&self, deadline: Option<Tick>, parked_is_quiet: bool) -> bool {
        let quiet = || self.is_flushed() && self.tail.is_quiet(parked_is_quiet);
        self.runtime.wait(self.tail.quiet(), deadline, quiet)
    }

    /// Takes no more from users. Lanes may still commit.
    pub(crate) fn close_intake(&self) {
        self.tail.close_intake();
        if let Some(log) = &self.log {
            log.close_intake();
        }
    }

    /// Takes nothing more at all, and releases the storage.
    pub(crate) fn close(&self) -> Result<(), StorageError> {
        self.close_intake();
        self.log.as_ref().map_or(Ok(()), |log| log.close())
    }
}

fn check_bounds(envelope: &Envelope) -> Result<(), PublishFailure> {
    let key = envelope.key.as_ref().map_or(0, |key| key.as_str().len());
    if key > Key::MAX_LEN {
        return Err(PublishFailure::KeyTooLong { bytes: key });
    }
    match &envelope.correlation {
        Some(CorrelationId::Text(text)) if text.len() > CorrelationId::MAX_LEN => {
            Err(PublishFailure::CorrelationTooLong { bytes: text.len() })
        }
        _ => Ok(()),
    }
}
