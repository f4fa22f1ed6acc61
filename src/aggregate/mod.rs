//! Event-sourced aggregates: a state that is what its events make of it, and decisions upon it.

mod error;
mod snapshot;

use std::{fmt, time::Duration};

pub use error::ExecuteError;
use snapshot::{Snapshot, Snapshots};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    bus::Bus,
    event::{Event, Key, is_valid_name},
    journal::{Expected, PublishAllError, PublishFailure},
    message::{Message, Position},
    policy::{Backoff, Retries},
    replay::HistoryError,
    runtime::Monitor,
    storage::{StorageError, Write},
};

/// A state that is what its events make of it, such as an account, of which there is one for each key.
///
/// ```
/// # use std::convert::Infallible;
/// # use serde::{Deserialize, Serialize};
/// # use tidings::{Bus, storage::MemoryStorage};
/// use tidings::{Aggregate, Event};
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// #[event(name = "accounts.changed")]
/// enum AccountChanged { Deposited { cents: u64 }, Withdrawn { cents: u64 } }
///
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// struct Account { cents: u64 }
///
/// impl Aggregate for Account {
///     type Event = AccountChanged;
///     const NAME: &'static str = "accounts";
///
///     fn apply(&mut self, event: &AccountChanged) {
///         match event {
///             AccountChanged::Deposited { cents } => self.cents += cents,
///             AccountChanged::Withdrawn { cents } => self.cents -= cents,
///         }
///     }
/// }
///
/// impl Account {
///     fn withdraw(&self, cents: u64) -> Result<[AccountChanged; 1], String> {
///         if self.cents < cents {
///             return Err(format!("only {} are there", self.cents));
///         }
///         Ok([AccountChanged::Withdrawn { cents }])
///     }
/// }
///
/// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
/// let account = bus.aggregate::<Account>("7").snapshot_every(100);
/// account.execute(|_| Ok::<_, Infallible>([AccountChanged::Deposited { cents: 50 }]))?;
/// account.execute(|account| account.withdraw(20))?;
/// assert_eq!(account.load()?.state.cents, 30);
///
/// let refused = account.execute(|account| account.withdraw(40)).unwrap_err();
/// assert_eq!(refused.to_string(), "refused: only 30 are there");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Aggregate: Default + 'static {
    /// What happens to it. Mostly an enum, since it is one event with one order.
    type Event: Event;

    /// Under which name its snapshots are kept: 1 to 128 characters out of `a-z A-Z 0-9 . _ -`.
    const NAME: &'static str;

    /// The version of the state's shape, and of what `apply` makes of events. Snapshots of another
    /// version are not used.
    const VERSION: u32 = 1;

    /// What an event makes of it. It has happened, so that there is nothing to refuse.
    fn apply(&mut self, event: &Self::Event);
}

/// One aggregate of a bus: the one with a key. Nothing is kept in memory between calls. Keeps the bus alive,
/// as a clone does.
pub struct AggregateRef<A: Aggregate> {
    bus: Bus,
    key: Key,
    conflicts: Backoff,
    snapshots: Option<Snapshots<A>>,
}

/// An aggregate as its events have made it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded<A> {
    /// The state.
    pub state: A,
    /// Where its last event is; `None` before there is any.
    pub position: Option<Position>,
    /// How many events it has.
    pub events: u64,
}

impl Bus {
    /// The aggregate with this key: its events are those of its event type with that key. On a durable bus
    /// alone, which keeps them: where a [retention](crate::Retention) has dropped any event at all, only
    /// aggregates with a newer snapshot can be loaded.
    ///
    /// See [`Aggregate`] for an example.
    pub fn aggregate<A: Aggregate>(&self, key: impl Into<Key>) -> AggregateRef<A> {
        const {
            assert!(is_valid_name(A::NAME), "Aggregate::NAME must be a valid name");
            assert!(!A::Event::COMPACTED, "an aggregate needs all of its events");
        }
        AggregateRef {
            bus: self.clone(),
            key: key.into(),
            conflicts: AggregateRef::<A>::CONFLICTS,
            snapshots: None,
        }
    }
}

impl<A: Aggregate> AggregateRef<A> {
    const CONFLICTS: Backoff = Backoff::exponential(Duration::from_millis(1))
        .max_delay(Duration::from_millis(100))
        .max_attempts(20)
        .full_jitter();

    /// How often, and after how long, a decision is made anew because another one came first: 20 attempts
    /// unless set, from one millisecond on.
    #[must_use]
    pub fn conflict_retry(mut self, backoff: Backoff) -> Self {
        self.conflicts = backoff;
        self
    }

    /// Keeps the state after every so many events, so that loading reads no more than those after it. From
    /// 1; not at all unless set. A snapshot that does not decode, or is of another
    /// [`VERSION`](Aggregate::VERSION), is passed over.
    #[must_use]
    pub fn snapshot_every(mut self, events: u64) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        self.snapshots = Some(Snapshots::every(events.max(1)));
        self
    }

    /// The state, from its events.
    ///
    /// # Errors
    /// [`HistoryError`]: an event does not decode, or is not kept any more, so that the state is not known.
    pub fn load(&self) -> Result<Loaded<A>, HistoryError> {
        self.load_since_snapshot().map(|(loaded, _)| loaded)
    }

    /// Decides upon the state, and publishes what comes of it if that is still the state then; otherwise
    /// decides anew. Returns the state with those events. No event is fine, and publishes nothing.
    ///
    /// `decide` may be called several times, and so does nothing but decide. Blocks the thread.
    ///
    /// # Errors
    /// See [`ExecuteError`]. Nothing is published then.
    pub fn execute<I, R>(
        &self,
        mut decide: impl FnMut(&A) -> Result<I, R>,
    ) -> Result<Loaded<A>, ExecuteError<R>>
    where
        I: IntoIterator<Item = A::Event>,
    {
        let mut retries = Retries::by(self.conflicts.clone());
        loop {
            let (mut loaded, snapshot) = self.load_since_snapshot()?;
            let events = decide(&loaded.state).map_err(ExecuteError::Refused)?;
            let events: Vec<_> = events.into_iter().collect();
            for event in &events {
                loaded.state.apply(event);
            }
            match self.publish(loaded.position, events) {
                Ok((count, last)) => {
                    loaded.events += count;
                    loaded.position = last.or(loaded.position);
                    self.keep(&loaded, snapshot);
                    return Ok(loaded);
                }
                Err(PublishFailure::Conflict { .. }) if self.wait(&mut retries) => {}
                Err(PublishFailure::Conflict { .. }) => {
                    return Err(ExecuteError::Contended { attempts: retries.failed() });
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// Waits until it is time for another attempt. False: there is none.
    fn wait(&self, retries: &mut Retries) -> bool {
        let runtime = self.bus.journal().runtime();
        let now = runtime.now();
        let Some(delay) = retries.fail(now, runtime.random()) else { return false };
        runtime.wait(&Monitor::default(), Some(now.saturating_add(delay)), || false);
        true
    }

    /// Returns how many there are, and where the last one is.
    fn publish(
        &self,
        last: Option<Position>,
        events: Vec<A::Event>,
    ) -> Result<(u64, Option<Position>), PublishFailure> {
        let expected = Expected::new(self.key.clone(), last);
        let messages = events.into_iter().map(|event| Message::new(event).key(self.key.clone()));
        let receipts = self.bus.publish_all_if(expected, messages);
        let receipts = receipts.map_err(PublishAllError::into_failure)?;
        Ok((receipts.len() as u64, receipts.last().map(|receipt| receipt.position)))
    }

    /// The state, and how many of its events are in the snapshot that it began with.
    fn load_since_snapshot(&self) -> Result<(Loaded<A>, u64), HistoryError> {
        let snapshot = self.snapshot()?;
        let kept = snapshot.as_ref().map_or(0, |snapshot| snapshot.events);
        let mut loaded = snapshot.map_or_else(Loaded::default, Loaded::from);
        let from = loaded.position.map_or(Position::FIRST, Position::next);
        let history = self.bus.history().of::<A::Event>().key(self.key.clone()).from(from);
        history.each(|event, record| {
            loaded.state.apply(event);
            loaded.position = Some(record.position);
            loaded.events += 1;
        })?;
        Ok((loaded, kept))
    }

    fn snapshot(&self) -> Result<Option<Snapshot<A>>, StorageError> {
        let Some(snapshots) = &self.snapshots else { return Ok(None) };
        let stored = self.bus.journal().get(&snapshot::key::<A>(&self.key))?;
        let snapshot = stored.and_then(|stored| (snapshots.decode)(&stored));
        Ok(snapshot.filter(|snapshot| snapshot.position < self.bus.end()))
    }

    /// Keeps a snapshot, if it is time. It is worth nothing but time.
    fn keep(&self, loaded: &Loaded<A>, kept: u64) {
        let (Some(snapshots), Some(position)) = (&self.snapshots, loaded.position) else { return };
        if loaded.events - kept < snapshots.every {
            return;
        }
        let Some(value) = (snapshots.encode)(&loaded.state, position, loaded.events) else {
            tracing::warn!(aggregate = A::NAME, key = %self.key, "a snapshot does not encode");
            return;
        };
        let write = Write::put(snapshot::key::<A>(&self.key), value);
        if let Err(error) = self.bus.journal().note_from_handler(vec![write]) {
            tracing::warn!(aggregate = A::NAME, key = %self.key, %error, "a snapshot is not kept");
        }
    }
}

impl<A: Default> Default for Loaded<A> {
    fn default() -> Self {
        Self { state: A::default(), position: None, events: 0 }
    }
}

impl<A> From<Snapshot<A>> for Loaded<A> {
    fn from(Snapshot { position, events, state, .. }: Snapshot<A>) -> Self {
        Self { state, position: Some(position), events }
    }
}

impl<A: Aggregate> fmt::Debug for AggregateRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AggregateRef")
            .field("name", &A::NAME)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
