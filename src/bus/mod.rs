//! The front door: building a bus, publishing, subscribing, shutting down.

mod builder;
mod dead_letters;
mod deliveries;
mod description;
mod error;
mod protect;
mod publish;
mod request;
mod reservation;
mod retention;
mod rewind;
mod schedule;
mod shutdown;
mod subscribe;
mod subscription;

use std::{any::TypeId, collections::BTreeMap, fmt, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;

pub use builder::BusBuilder;
pub use dead_letters::{
    DeadLetterError, DeadLetters, DryRun, LetterGroup, Letters, Rerun, RerunProgress,
};
pub use deliveries::Deliveries;
pub use description::{Description, HandlerDescription, SubscriptionDescription};
pub use error::{Error, OpenError};
pub use publish::{Pending, Publisher, Receipt, SettleError};
pub use request::{Asked, Reply, RequestError, RequestFailure};
pub(crate) use reservation::{Reservation, WeakBus};
pub use retention::TrimError;
pub use rewind::RewindError;
pub use schedule::ScheduledEvents;
pub use shutdown::{Report, ShutdownError, SubscriptionReport};
pub use subscribe::{SubscribeError, SubscriptionBuilder};
pub use subscription::Subscription;

#[cfg(any(test, feature = "testing"))]
use crate::event::is_valid_name;
use crate::{
    delivery::{
        self, Area, Budget, Probed, Quarantine, Record, Replies, StoredSubscription, Subscriber,
    },
    event::Event,
    journal::{Expected, Journal, PublishAllError, PublishError},
    message::{Position, Publishable},
    policy::Retention,
    runtime::{PoolStatus, Task, in_task},
    storage::StorageError,
};

/// An event bus. Cheap to clone: every clone is the same bus.
///
/// When the last clone is dropped, the bus stops as if the process had ended: nothing acknowledged
/// is lost, and what was not handled comes again next time. [`Bus::shutdown`] lets handlers finish
/// first. A handler that captures a clone keeps the bus alive; [`Context::publish`] needs none.
///
/// [`Context::publish`]: crate::Context::publish
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

/// What all clones share. Dropped with the last one; the engine itself never holds it.
pub(crate) struct Inner {
    journal: Arc<Journal>,
    subscriptions: Mutex<Subscriptions>,
    /// Who waits for answers, by their type.
    replies: Mutex<BTreeMap<TypeId, Arc<Replies>>>,
    quarantine: Arc<Quarantine>,
    probed: Probed,
    max_hops: u32,
    retention: Retention,
    /// Set once the bus has shut down.
    report: Mutex<Option<Report>>,
    /// What retries cost that run on a pool, by its name.
    budgets: BTreeMap<String, Arc<Budget>>,
}

#[derive(Default)]
struct Subscriptions {
    running: BTreeMap<Arc<str>, Arc<Subscriber>>,
    /// Names that are taken by subscriptions about to run, with what is done before they do.
    starting: BTreeMap<Arc<str>, Option<Arc<Task>>>,
    /// None may start any more.
    closed: bool,
}

impl Bus {
    /// A bus that keeps nothing: events live until every subscription has handled them, and the ring
    /// that they lie in comes round. Nothing is serialised.
    #[must_use]
    pub fn volatile() -> Self {
        BusBuilder::new().volatile()
    }

    /// A durable bus on an embedded log in this directory, which is made if it is not there.
    ///
    /// # Errors
    /// The log is in use, damaged, or of another version of the format; or the file system fails.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path)
    }

    /// A bus with settings of one's own.
    pub fn builder() -> BusBuilder {
        BusBuilder::new()
    }

    /// Publishes, and returns once that is as durable as the bus promises.
    ///
    /// On a volatile bus whose ring is full it waits for room; inside a handler, where that could be
    /// for ever, it fails instead. It blocks the thread: async code takes [`Bus::enqueue`]. Costs one disk sync on a bus that is [`Synced`]; publishers
    /// that come meanwhile share the next one.
    ///
    /// # Errors
    /// See [`PublishFailure`]. The message is handed back.
    ///
    /// [`Synced`]: crate::Durability::Synced
    /// [`PublishFailure`]: crate::PublishFailure
    pub fn publish<P: Publishable>(&self, message: P) -> Result<Receipt, PublishError<P::Event>> {
        match self.inner.journal.topic::<P::Event>() {
            Ok(topic) => publish::one(&self.inner.journal, &topic, message),
            Err(taken) => Err(PublishError::new(taken.into(), message.into_message())),
        }
    }

    /// Publishes without waiting. The [`Pending`] is a future, and can be waited for; dropping it
    /// cancels nothing.
    ///
    /// # Errors
    /// As for [`Bus::publish`], and where the queue is full. Failures of storage come from the
    /// `Pending`.
    pub fn enqueue<P: Publishable>(
        &self,
        message: P,
    ) -> Result<Pending<P::Event>, PublishError<P::Event>> {
        let message = message.into_message();
        match self.inner.journal.topic::<P::Event>() {
            Ok(topic) => publish::later(&self.inner.journal, &topic, message),
            Err(taken) => Err(PublishError::new(taken.into(), message)),
        }
    }

    /// Publishes several events as one: all or none, at adjacent positions. Nothing is fine.
    ///
    /// # Errors
    /// As for [`Bus::publish`], and where there are more of them than the ring of a volatile bus
    /// holds. All messages are handed back.
    pub fn publish_all<P: Publishable>(
        &self,
        messages: impl IntoIterator<Item = P>,
    ) -> Result<Vec<Receipt>, PublishAllError<P::Event>> {
        let messages = messages.into_iter().map(P::into_message).collect();
        match self.inner.journal.topic::<P::Event>() {
            Ok(topic) => publish::all(&self.inner.journal, &topic, messages),
            Err(taken) => Err(PublishAllError::new(taken.into(), messages)),
        }
    }

    /// Publishes, if the last event with a key is the one that is expected: optimistic appending, for code
    /// that decides by what it has read. Who comes second loses, and has its event back.
    ///
    /// The last event with that key among those *of the same name*: whoever published it, and however.
    /// It is decided where the event gets its position, so that of any number of threads that
    /// expect the same, one succeeds. On a durable bus alone. Costs, besides the publish, a look into
    /// the index of the log from the expected position on; for [`Expected::none_of`], from the beginning.
    ///
    /// A message with the idempotency key or the id of an earlier one gets the receipt of that, as
    /// everywhere, whatever it expects.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event, storage::MemoryStorage};
    /// use tidings::{Expected, PublishFailure};
    ///
    /// #[derive(Debug, Serialize, Deserialize, Event)]
    /// #[event(name = "seats.taken", key = "seat")]
    /// struct SeatTaken { seat: u64, by: String }
    ///
    /// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
    /// let anna = SeatTaken { seat: 7, by: "Anna".into() };
    /// bus.publish_if(Expected::none_of(7), anna)?;
    ///
    /// let bert = SeatTaken { seat: 7, by: "Bert".into() };
    /// let lost = bus.publish_if(Expected::none_of(7), bert).unwrap_err();
    /// assert!(matches!(lost.failure(), PublishFailure::Conflict { found: Some(_), .. }));
    /// assert_eq!(lost.into_event().by, "Bert");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PublishFailure::Conflict`](crate::PublishFailure::Conflict), and as for [`Bus::publish`]. The
    /// message is handed back.
    pub fn publish_if<P: Publishable>(
        &self,
        expected: Expected,
        message: P,
    ) -> Result<Receipt, PublishError<P::Event>> {
        let message = message.into_message();
        match self.inner.journal.topic::<P::Event>() {
            Ok(topic) => publish::one_if(&self.inner.journal, &topic, expected, message),
            Err(taken) => Err(PublishError::new(taken.into(), message)),
        }
    }

    /// Publishes several events as one, if the last event with a key is the one that is expected. What is
    /// expected is looked at once, before the first of them. Nothing is fine, whatever is expected.
    ///
    /// # Errors
    /// As for [`Bus::publish_if`]. All messages are handed back.
    pub fn publish_all_if<P: Publishable>(
        &self,
        expected: Expected,
        messages: impl IntoIterator<Item = P>,
    ) -> Result<Vec<Receipt>, PublishAllError<P::Event>> {
        let messages = messages.into_iter().map(P::into_message).collect();
        match self.inner.journal.topic::<P::Event>() {
            Ok(topic) => publish::all_if(&self.inner.journal, &topic, expected, messages),
            Err(taken) => Err(PublishAllError::new(taken.into(), messages)),
        }
    }

    /// A handle that publishes one type of event, looked up once. For hot paths.
    ///
    /// # Errors
    /// Another Rust type has the event's name.
    pub fn publisher<E: Event>(&self) -> Result<Publisher<E>, crate::NameTaken> {
        Publisher::new(Arc::clone(&self.inner))
    }

    /// Asks, and waits for the answer: publishes a question, and returns the first event of type `A`
    /// that a handler publishes through its context while it handles that question.
    ///
    /// Question and answer are events as any others: other subscriptions get them, too. The first
    /// request for a type of answer starts to listen for it. A question with the idempotency key of an
    /// earlier one is not asked again, and gets no answer. Blocks the thread; async code awaits
    /// [`Bus::ask`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// use tidings::{Bus, Context, Event, HandlerError};
    ///
    /// #[derive(Serialize, Deserialize, Event)]
    /// #[event(name = "prices.asked")]
    /// struct PriceAsked { article: String }
    ///
    /// #[derive(Serialize, Deserialize, Event)]
    /// #[event(name = "prices.quoted")]
    /// struct PriceQuoted { cents: u64 }
    ///
    /// let bus = Bus::volatile();
    /// bus.subscribe("prices")
    ///     .on(|asked: &PriceAsked, ctx: &mut Context| -> Result<(), HandlerError> {
    ///         ctx.publish(PriceQuoted { cents: 100 * asked.article.len() as u64 })?;
    ///         Ok(())
    ///     })
    ///     .start()?;
    ///
    /// let question = PriceAsked { article: "chair".into() };
    /// let answer = bus.request::<_, PriceQuoted>(question, Duration::from_secs(1))?;
    /// assert_eq!(answer.cents, 500);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`RequestFailure`]. The message is handed back unless it was published.
    pub fn request<Q: Publishable, A: Event>(
        &self,
        question: Q,
        timeout: Duration,
    ) -> Result<Reply<A>, RequestError<Q::Event>> {
        if in_task() {
            let message = question.into_message();
            return Err(RequestError::unpublished(RequestFailure::InsideHandler, message));
        }
        request::ask(&self.inner, question, request::now)?.wait(timeout)
    }

    /// As [`Bus::request`], without waiting: what it returns is a future of the answer.
    ///
    /// # Errors
    /// As there, and where the queue is full.
    pub fn ask<Q: Publishable, A: Event>(
        &self,
        question: Q,
    ) -> Result<Asked<Q::Event, A>, RequestError<Q::Event>> {
        request::ask(&self.inner, question, request::later)
    }

    /// Begins a subscription. The name is durable: on a durable bus the subscription resumes where
    /// one of that name stopped.
    pub fn subscribe(&self, name: &str) -> SubscriptionBuilder {
        SubscriptionBuilder::new(Arc::clone(&self.inner), name)
    }

    /// Copies everything that is committed into a directory that is empty or not there yet: events,
    /// cursors, dead letters, state, all as of one moment. Publishing and handling go on meanwhile.
    ///
    /// To restore it, open a bus on the copy, or on a copy of the copy.
    ///
    /// # Errors
    /// The directory is not empty, or the copy could not be written; a volatile bus, or a storage
    /// without backups.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<(), StorageError> {
        self.inner.journal.backup(path.as_ref())
    }

    /// The dead letters of a subscription. To list them, it need not be running.
    #[must_use]
    pub fn dead_letters(&self, subscription: &str) -> DeadLetters {
        DeadLetters::new(Arc::clone(&self.inner), subscription)
    }

    /// Every subscription that storage knows, running or not, as of its last commit. None on a
    /// volatile bus.
    ///
    /// # Errors
    /// Storage failed, or what it has does not decode.
    pub fn stored_subscriptions(&self) -> Result<Vec<StoredSubscription>, StorageError> {
        delivery::stored_subscriptions(&self.inner.journal)
    }

    /// What the bus consists of: the running subscriptions, and what each does with which events, in
    /// its order.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping;
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// # let bus = tidings::Bus::volatile();
    /// bus.subscribe("log").filter(|_: &Ping| true).on(|_: &Ping| println!("ping")).start()?;
    ///
    /// let text = "log (1 lanes, leaves nothing behind)\n  ping v1 > filter > handler\n";
    /// assert_eq!(bus.describe().to_string(), text);
    /// # Ok::<(), tidings::Error>(())
    /// ```
    #[must_use]
    pub fn describe(&self) -> Description {
        Description::of(&self.inner)
    }

    /// The records that a subscription has in storage, running or not.
    pub(crate) fn stored_records(
        &self,
        subscription: &str,
        area: Area,
    ) -> Result<Vec<Record>, StorageError> {
        delivery::stored_records(&self.inner.journal, subscription, area, None)
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.inner.journal
    }

    /// Whether the bus keeps what was published, after its end too.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.inner.journal.is_durable()
    }

    /// Where the events of each running subscription are.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn ledgers(&self) -> Vec<(Arc<str>, crate::Ledger)> {
        let running: Vec<_> = self.inner.subscriptions.lock().running.values().cloned().collect();
        let ledger = |one: Arc<Subscriber>| (Arc::clone(&one.name), one.ledger(Duration::MAX));
        running.into_iter().map(ledger).collect()
    }

    /// Where events and state are kept; `None` on a volatile bus.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn storage(&self) -> Option<&dyn crate::storage::Storage> {
        self.inner.journal.storage()
    }

    /// How the pools of threads are doing: those of the builder, the default one, and what the bus
    /// runs its own work on. A runtime that is shared says what all its buses have.
    ///
    /// A task that waits for long says that the pool is too small, or held up by handlers.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let bus = tidings::Bus::volatile();
    /// for pool in bus.pools() {
    ///     if pool.oldest.is_some_and(|waited| waited > Duration::from_secs(1)) {
    ///         println!("{}: {} tasks wait for {} threads", pool.name, pool.queued, pool.threads);
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn pools(&self) -> Vec<PoolStatus> {
        self.inner.journal.runtime().pools()
    }

    /// The position that the next event will get.
    #[must_use]
    pub fn end(&self) -> Position {
        self.inner.journal.end()
    }

    /// Waits until nothing is left to do: everything is published, and every subscription has
    /// settled every event, retries included. Paused subscriptions do not count. False where that
    /// is not so after `timeout`.
    ///
    /// Blocks the thread, as [`Bus::shutdown`] does: from async code call it in `spawn_blocking`, or
    /// handlers on the same tokio thread cannot go on.
    #[must_use]
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        let journal = &self.inner.journal;
        journal.wait_quiet(Some(journal.runtime().now().saturating_add(timeout)), false)
    }

    /// Takes no more from publishers, handles what can be handled until `timeout`, and closes.
    ///
    /// An event that waits for a retry is not waited for. On a durable bus, what is left comes
    /// again when the bus is opened next; on a volatile bus it is lost, and counted in the report.
    /// A handler that still runs after `timeout` is abandoned. Calling it twice is fine: the second
    /// call returns the first one's report.
    ///
    /// # Errors
    /// It was called from inside a handler, or storage failed while it was closed.
    pub fn shutdown(&self, timeout: Duration) -> Result<Report, ShutdownError> {
        shutdown::shutdown(&self.inner, timeout)
    }
}

/// For tests.
#[cfg(any(test, feature = "testing"))]
impl Bus {
    /// The subscriptions that run, by name.
    pub(crate) fn running(&self) -> Vec<Subscription> {
        let subscriptions = self.inner.subscriptions.lock();
        let running = subscriptions.running.values();
        running
            .filter(|subscriber| is_valid_name(&subscriber.name))
            .map(|one| Subscription::new(Arc::downgrade(&self.inner), Arc::clone(one)))
            .collect()
    }

    /// Whether a test sees the calls of its handlers.
    pub(crate) fn is_probed(&self) -> bool {
        self.inner.probed.is_on()
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("durable", &self.inner.journal.is_durable())
            .field("end", &self.end())
            .field("subscriptions", &self.inner.subscriptions.lock().running.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.journal.close_intake();
        for task in
            std::mem::take(&mut self.subscriptions.get_mut().starting).into_values().flatten()
        {
            task.stop();
        }
        for subscriber in self.subscriptions.get_mut().running.values() {
            subscriber.leave();
        }
        if let Err(error) = self.journal.close() {
            tracing::error!(%error, "the log did not close cleanly");
        }
    }
}
