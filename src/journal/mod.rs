//! The bus's single total order: what was published, and who reads it.
//!
//! The newest part is the [`ring`] in memory. Behind it, on a durable bus, is the [`Log`], which
//! commits first and shows events only then. A volatile bus has the ring alone.

mod caretaker;
mod entry;
mod error;
mod expected;
mod ids;
mod inline;
mod lead;
mod log;
#[cfg(all(test, tidings_loom))]
mod models;
mod planted;
mod published;
mod reading;
mod recent;
mod ring;
mod schedule;
mod spare;
mod ticket;
mod topic;
mod volatile;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

pub(crate) use entry::{Body, Draft, Entry, Transaction};
pub(crate) use error::Rejected;
pub use error::{PublishAllError, PublishError, PublishFailure};
pub use expected::Expected;
use ids::Ids;
pub(crate) use inline::{Inline, OnThread, Unhandled};
pub(crate) use log::Log;
#[cfg_attr(not(any(test, feature = "testing")), allow(unreachable_pub))]
pub use planted::Mistake;
pub(crate) use planted::Planted;
use published::{Mark, Published};
pub(crate) use published::{Place, Places};
pub(crate) use recent::{Recent, Remembered, Slot};
pub(crate) use ring::{
    Batch, CellRef, GroupId, Leaving, Open, Opened, Overrun, Phase, Relieved, Ring, Rouse, Route,
    Seat, Seats, Seen, Shared, Tag,
};
pub use schedule::ScheduledEvent;
pub(crate) use schedule::{Cancel, Later};
use schedule::{Encoded, Schedule};
use spare::Spare;
pub(crate) use ticket::Ticket;
pub(crate) use topic::Topic;
use topic::Topics;
use volatile::{Admission, position};

use crate::{
    contract::{Contract, EventType, NameId, NameTaken},
    event::{Durability, Event, Key},
    message::{
        CorrelationId, Envelope, Headers, MAX_PAYLOAD, Message, MessageId, Position, Publishable,
    },
    policy::Window,
    runtime::{Clock, Monitor, Runtime, Seeded, Task, Tick, Timestamp},
    storage::{Storage, StorageError, Write},
};

/// A publish that was not waited for.
pub(crate) enum Enqueued {
    Done(Position, MessageId),
    Waiting(Arc<Ticket>, MessageId),
}

/// The bus's single total order.
pub(crate) struct Journal {
    runtime: Runtime,
    clock: Clock,
    ids: Ids,
    contract: Contract,
    topics: Topics,
    ring: Ring,
    log: Option<Arc<Log>>,
    /// On a volatile bus.
    published: Mutex<Published>,
    schedule: Schedule,
    /// Notified when a reader comes to rest.
    quiet: Monitor,
    /// What else is under way that has an end.
    busy: AtomicUsize,
    planted: Planted,
}

impl Journal {
    pub(crate) fn volatile(
        runtime: Runtime,
        ring: usize,
        dedup: Window,
        planted: Planted,
    ) -> Arc<Self> {
        let journal = Arc::new(Self::new(runtime, ring, Position::FIRST, None, dedup, planted));
        journal.start_tender();
        journal.schedule.start(&journal);
        journal
    }

    pub(crate) fn durable(
        runtime: Runtime,
        ring: usize,
        storage: Arc<dyn Storage>,
        durability: Durability,
        queue: usize,
        dedup: Window,
        planted: Planted,
    ) -> Arc<Self> {
        let end = storage.end();
        let log = Log::new(&runtime, storage, durability, queue, dedup);
        let journal = Arc::new(Self::new(runtime, ring, end, Some(log), dedup, planted));
        if let Some(log) = &journal.log {
            log.start(&journal);
        }
        journal.schedule.start(&journal);
        journal
    }

    fn new(
        runtime: Runtime,
        ring: usize,
        end: Position,
        log: Option<Arc<Log>>,
        dedup: Window,
        planted: Planted,
    ) -> Self {
        Self {
            clock: runtime.clock(),
            ids: Ids::new(&runtime),
            contract: Contract::default(),
            topics: Topics::default(),
            ring: Ring::new(end.get(), ring, log.is_none()),
            log,
            published: Mutex::new(Published::new(dedup, Seeded::new(&runtime))),
            schedule: Schedule::new(),
            quiet: Monitor::default(),
            busy: AtomicUsize::new(0),
            planted,
            runtime,
        }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Whether the tests have planted this mistake. Never, outside of tests.
    #[inline]
    pub(crate) fn is_planted(&self, mistake: Mistake) -> bool {
        self.planted.is(mistake)
    }

    pub(crate) fn planted(&self) -> Planted {
        self.planted
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.contract
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The position that the next event will get.
    #[inline]
    pub(crate) fn end(&self) -> Position {
        position(self.ring.end())
    }

    /// An event type, looked up.
    pub(crate) fn topic<E: Event>(&self) -> Result<Arc<Topic>, NameTaken> {
        self.topics.of::<E>(&self.contract)
    }

    /// The route of what a subscription's inline handlers could not handle.
    pub(crate) fn route(&self, kind: NameId) -> Arc<Route> {
        self.topics.route(kind)
    }

    /// The places of a subscription's lanes, which want these kinds of events.
    pub(crate) fn seats(&self, kinds: impl IntoIterator<Item = NameId>, lanes: u32) -> Seats {
        Seats::new(kinds.into_iter().map(|kind| self.topics.route(kind)).collect(), lanes)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn storage(&self) -> Option<&dyn Storage> {
        self.log.as_ref().map(|log| &*log.storage)
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
        match self.topic::<E>() {
            Ok(topic) => self.draft_as(&topic, message, cause),
            Err(taken) => Err(PublishError::new(taken.into(), message)),
        }
    }

    /// The same for an event type that was looked up before.
    pub(crate) fn draft_as<E: Event>(
        &self,
        topic: &Arc<Topic>,
        message: Message<E>,
        cause: Option<&Envelope>,
    ) -> Result<Draft, PublishError<E>> {
        self.draft_at(topic, message, cause, self.clock.wall())
    }

    /// The same for one that stands for that time.
    #[cfg(feature = "cron")]
    pub(crate) fn draft_for<E: Event>(
        &self,
        message: Message<E>,
        time: Timestamp,
    ) -> Result<Draft, PublishError<E>> {
        match self.topic::<E>() {
            Ok(topic) => self.draft_at(&topic, message, None, time),
            Err(taken) => Err(PublishError::new(taken.into(), message)),
        }
    }

    /// The same for one that is published at that time.
    fn draft_at<E: Event>(
        &self,
        topic: &Arc<Topic>,
        message: Message<E>,
        cause: Option<&Envelope>,
        now: Timestamp,
    ) -> Result<Draft, PublishError<E>> {
        if let Some(refused) = message.refused() {
            return Err(PublishError::new(refused.clone().into(), message));
        }
        let (level, mark) = (message.level(), Mark::of(&message, &topic.event.name));
        let names = (&topic.event.name, &topic.event.codec);
        let (event, envelope) = message.seal(|| self.ids.fresh(now), now, names, cause);
        if envelope.expires_at().is_some() {
            topic.route.set_expires();
        }
        let mut spare = self.log.as_ref().map_or_else(Spare::default, |log| log.spares.take());
        match self.encode(&event, &envelope, &mut spare.payload) {
            Ok(()) => Ok(Draft::new(topic, envelope, event, spare, (level, mark))),
            Err(failure) => {
                Err(PublishError::new(failure, Message::unseal(event, envelope, level)))
            }
        }
    }

    /// Shows what storage has committed to the readers. Only the leader of the log does that.
    fn show(&self, log: &Log, mut drafts: Vec<Draft>) {
        // In pieces: a reader that lags is left behind, and so there is room for the next one.
        let most = self.ring.capacity().div_ceil(2);
        while !drafts.is_empty() {
            let later = drafts.split_off(drafts.len().min(most));
            let mut now = std::mem::replace(&mut drafts, later);
            let mut old = Vec::with_capacity(now.len());
            let mut keep = |cell| old.push(cell);
            while self.ring.append(&mut now, Draft::into_incoming, &mut keep).is_err() {
                if self.ring.make_room(now.len()).is_err() {
                    self.runtime.yield_now();
                }
            }
            log.spares.keep_cells(old);
        }
    }

    /// An event of the ring, to be held for longer. Its type need not be known where the event has
    /// an envelope, as every event of a durable bus has.
    pub(crate) fn entry(&self, event: Option<&EventType>, open: &Open<'_>) -> Arc<Entry> {
        let cell = open.keep();
        let at = open.position();
        let bare = || self.bare_envelope(event, at, &cell);
        let envelope = cell.envelope().cloned().unwrap_or_else(bare);
        let (position, kind) = (position(at), open.kind());
        let body = match cell.get::<Encoded>() {
            Some(Encoded(payload)) => Body::Encoded(payload.clone()),
            None => Body::Value(cell),
        };
        Arc::new(Entry { position, kind, envelope, body })
    }

    /// Of an event that was published without metadata.
    fn bare_envelope(&self, event: Option<&EventType>, at: u64, cell: &CellRef) -> Arc<Envelope> {
        let published_at = cell.published_at();
        let id = self.ids.at(at, published_at);
        let named = |event: &EventType| event.envelope(id);
        let mut envelope = event.map_or_else(|| Envelope::new("", 1, id), named);
        envelope.key = cell.key();
        envelope.published_at = published_at;
        Arc::new(envelope)
    }

    fn encode<E: Event>(
        &self,
        event: &E,
        envelope: &Envelope,
        payload: &mut Vec<u8>,
    ) -> Result<(), PublishFailure> {
        check_bounds(envelope)?;
        if self.log.is_some() {
            E::codec().encode(event, payload)?;
        }
        let bytes = payload.len();
        if bytes > MAX_PAYLOAD {
            return Err(PublishFailure::TooLarge { bytes, limit: MAX_PAYLOAD });
        }
        Ok(())
    }

    /// Publishes from a user's thread, and returns once that is as durable as promised.
    #[allow(clippy::inline_always)] // see `publish_to_lanes`
    #[inline(always)]
    pub(crate) fn publish<E: Event>(
        &self,
        topic: &Arc<Topic>,
        message: impl Publishable<Event = E>,
    ) -> Result<(Position, MessageId), PublishError<E>> {
        match &self.log {
            Some(log) => self.publish_durable(log, topic, message.into_message()),
            None => self.publish_volatile(topic, message, Admission::Wait),
        }
    }

    fn publish_durable<E: Event>(
        &self,
        log: &Log,
        topic: &Arc<Topic>,
        message: Message<E>,
    ) -> Result<(Position, MessageId), PublishError<E>> {
        let draft = self.draft_as(topic, message, None)?;
        let id = draft.envelope().id;
        let published = log.publish(self, Transaction::publishing(log.spares.list(draft)));
        let places = published.map_err(Rejected::into_error)?;
        Ok(places.of_one(id))
    }

    /// Publishes several drafts as one.
    pub(crate) fn publish_all(&self, drafts: Vec<Draft>) -> Result<Places, Rejected> {
        match &self.log {
            Some(log) => log.publish(self, Transaction::publishing(drafts)),
            None => self.publish_all_volatile(drafts, Admission::Wait),
        }
    }

    /// Publishes events of one type as one, and takes them out of `events` if it succeeds.
    pub(crate) fn publish_batch<E: Event>(
        &self,
        topic: &Arc<Topic>,
        events: &mut Vec<E>,
    ) -> Result<Position, PublishFailure> {
        if events.is_empty() {
            return Ok(self.end());
        }
        if self.log.is_none() {
            return match topic.route.inline() {
                0 => self.publish_batch_to_lanes(topic, events),
                _ => self.publish_batch_inline(topic, events),
            };
        }
        let drafts = self.draft_batch(topic, events)?;
        let places = self.publish_all(drafts).map_err(|rejected| rejected.into_events(events))?;
        Ok(places.first)
    }

    /// Takes the events out, or leaves them all in.
    fn draft_batch<E: Event>(
        &self,
        topic: &Arc<Topic>,
        events: &mut Vec<E>,
    ) -> Result<Vec<Draft>, PublishFailure> {
        let mut drafts = Vec::with_capacity(events.len());
        let mut left = std::mem::take(events).into_iter();
        let failed = left.by_ref().find_map(|event| {
            self.draft_as(topic, Message::new(event), None).map(|draft| drafts.push(draft)).err()
        });
        let Some(error) = failed else { return Ok(drafts) };
        let (failure, message) = error.into_parts();
        let failure = Rejected { failure, drafts }.into_events(events);
        events.extend(std::iter::once(message.into_event()).chain(left));
        Err(failure)
    }

    /// Publishes without waiting. Fails at once where the queue (or a volatile bus's ring) is full.
    pub(crate) fn enqueue<E: Event>(
        &self,
        topic: &Arc<Topic>,
        message: Message<E>,
    ) -> Result<Enqueued, PublishError<E>> {
        let Some(log) = &self.log else {
            let (at, id) = self.publish_volatile(topic, message, Admission::Fail)?;
            return Ok(Enqueued::Done(at, id));
        };
        let draft = self.draft_as(topic, message, None)?;
        let id = draft.envelope().id;
        let ticket = log.enqueue(Transaction::publishing(log.spares.list(draft)));
        ticket.map(|ticket| Enqueued::Waiting(ticket, id)).map_err(Rejected::into_error)
    }

    /// Publishes a draft without waiting. `None` where it is done already.
    pub(crate) fn enqueue_draft(&self, draft: Draft) -> Result<Option<Arc<Ticket>>, Rejected> {
        match &self.log {
            Some(log) => log.enqueue(Transaction::publishing(log.spares.list(draft))).map(Some),
            None => self.publish_all_volatile(vec![draft], Admission::Fail).map(|_| None),
        }
    }

    /// The answer to an enqueued transaction.
    pub(crate) fn wait(&self, ticket: &Arc<Ticket>) -> Result<Places, Rejected> {
        let gone = || match &self.log {
            Some(log) => log.withdraw(ticket),
            None => Rejected { failure: PublishFailure::Closed, drafts: Vec::new() },
        };
        ticket.wait(&self.runtime).unwrap_or_else(|| Err(gone()))
    }

    /// Commits what a lane has done. `waker` is woken once the ticket is done; a volatile bus has
    /// none, and is done at once. Never refused for lack of room, since lanes are what makes room.
    pub(crate) fn commit(
        &self,
        mut transaction: Transaction,
        waker: &Arc<Task>,
    ) -> Option<Arc<Ticket>> {
        match &self.log {
            Some(log) => {
                let late = self.split(log, &mut transaction);
                let ticket = log.submit(transaction, Some(waker));
                if let Some(late) = late {
                    log.submit(late, None);
                }
                Some(ticket)
            }
            None => {
                self.publish_always(transaction.drafts);
                self.reschedule(transaction.later, &transaction.cancels);
                None
            }
        }
    }

    /// What of a transaction is to be committed after it. Nothing, but for mistakes.
    fn split(&self, log: &Log, transaction: &mut Transaction) -> Option<Transaction> {
        let is_first = self.is_planted(Mistake::OutputsFirst);
        if !(is_first || self.is_planted(Mistake::OutputsLast)) || transaction.drafts.is_empty() {
            return None;
        }
        let outputs = Transaction::publishing(std::mem::take(&mut transaction.drafts));
        if !is_first {
            return Some(outputs);
        }
        log.submit(outputs, None);
        None
    }

    /// Writes state from a user's thread, and waits for it. Nothing to write is a barrier: what was
    /// submitted before is done when this returns. A volatile bus has no state to write.
    pub(crate) fn write(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        let Some(log) = &self.log else { return Ok(()) };
        let durability = writes.is_empty().then_some(Durability::Buffered);
        let transaction = Transaction { writes, durability, ..Transaction::default() };
        match log.publish(self, transaction) {
            Ok(_) => Ok(()),
            Err(rejected) => Err(rejected.failure.into_storage()),
        }
    }

    /// Publishes and writes state as one from a user's thread, and waits for it.
    pub(crate) fn publish_with(
        &self,
        drafts: Vec<Draft>,
        writes: Vec<Write>,
    ) -> Result<Places, Rejected> {
        if drafts.is_empty() && writes.is_empty() {
            return Ok(Places::from(self.end()));
        }
        match &self.log {
            Some(log) => {
                log.publish(self, Transaction { drafts, writes, ..Transaction::default() })
            }
            None => self.publish_all_volatile(drafts, Admission::Wait),
        }
    }

    /// Writes state from inside a handler, and waits for it.
    pub(crate) fn write_from_handler(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        self.commit_for_handler(Transaction { writes, ..Transaction::default() })
    }

    /// The same for what need not survive more than the end of the process.
    pub(crate) fn note_from_handler(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        let durability = Some(Durability::Buffered);
        self.commit_for_handler(Transaction { writes, durability, ..Transaction::default() })
    }

    fn commit_for_handler(&self, transaction: Transaction) -> Result<(), StorageError> {
        let Some(log) = &self.log else { return Ok(()) };
        let committed = log.commit_for_handler(self, transaction);
        committed.map(drop).map_err(|rejected| rejected.failure.into_storage())
    }

    /// The same from an async handler.
    #[cfg(feature = "tokio")]
    pub(crate) async fn write_later(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        let Some(log) = &self.log else { return Ok(()) };
        let ticket = log.submit(Transaction { writes, ..Transaction::default() }, None);
        let committed = std::future::poll_fn(|cx| ticket.poll(cx.waker())).await;
        committed.map(drop).map_err(|rejected| rejected.failure.into_storage())
    }

    /// Whether everything submitted has reached the ring.
    pub(crate) fn is_flushed(&self) -> bool {
        self.log.as_ref().is_none_or(|log| log.is_flushed())
    }

    /// Something is under way until what this returns is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Waits until everything submitted has reached the ring and all readers are at rest. What waits for its time
    /// `is_quiet`, and so is what can as well be done later, or they are not.
    pub(crate) fn wait_quiet(&self, deadline: Option<Tick>, parked_is_quiet: bool) -> bool {
        let is_busy = || !parked_is_quiet && self.busy.load(Ordering::Acquire) > 0;
        let quiet = || !is_busy() && self.is_flushed() && self.ring.is_quiet(parked_is_quiet);
        self.runtime.wait(&self.quiet, deadline, quiet)
    }

    /// Notified when a reader comes to rest.
    pub(crate) fn quiet(&self) -> &Monitor {
        &self.quiet
    }

    /// Takes no more from users. Lanes may still commit.
    pub(crate) fn close_intake(&self) {
        self.schedule.stop();
        match &self.log {
            Some(log) => log.close_intake(),
            None => self.ring.close(),
        }
    }

    /// Takes nothing more at all, and releases the storage.
    pub(crate) fn close(&self) -> Result<(), StorageError> {
        self.close_intake();
        self.log.as_ref().map_or(Ok(()), |log| log.close())
    }
}

/// Something that is under way.
pub(crate) struct Busy(Arc<Journal>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
        self.0.quiet.notify();
    }
}

fn check_bounds(envelope: &Envelope) -> Result<(), PublishFailure> {
    let key = envelope.key.as_ref().map_or(0, |key| key.as_str().len());
    if key > Key::MAX_LEN {
        return Err(PublishFailure::KeyTooLong { bytes: key });
    }
    let key = envelope.headers.get(Headers::IDEMPOTENCY_KEY).map_or(0, str::len);
    if key > Key::MAX_LEN {
        return Err(PublishFailure::IdempotencyKeyTooLong { bytes: key });
    }
    match &envelope.correlation {
        Some(CorrelationId::Text(text)) if text.len() > CorrelationId::MAX_LEN => {
            Err(PublishFailure::CorrelationTooLong { bytes: text.len() })
        }
        _ => Ok(()),
    }
}
