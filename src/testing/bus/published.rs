//! What was published, read from the journal.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use serde_json::Value;

use super::{CallOutcome, TestBus};
use crate::{
    event::Event,
    message::{Envelope, Position},
    storage::{Filter, MemoryStorage, Query, Record, Storage},
};

/// An event in the journal, with its metadata.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Published<E> {
    /// Its place.
    pub position: Position,
    /// Everything about the message but its payload.
    pub envelope: Arc<Envelope>,
    /// The event.
    pub event: E,
}

/// The journal of a bus under test shows what was published, whoever did it: the test, or handlers once
/// they have succeeded. What a [`Retention`](crate::Retention) has dropped is not there any more.
impl TestBus {
    /// Every event of this type, in the order of the journal.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping(u8);
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use tidings::testing::TestBus;
    ///
    /// let bus = TestBus::start(|bus| bus.build())?;
    /// bus.publish(Ping(7))?;
    /// assert_eq!(bus.published::<Ping>()[0].0, 7);
    /// # Ok::<(), tidings::Error>(())
    /// ```
    ///
    /// # Panics
    /// One of them does not decode.
    #[must_use]
    #[track_caller]
    pub fn published<E: Event>(&self) -> Vec<E> {
        self.published_messages().into_iter().map(|published| published.event).collect()
    }

    /// The same with positions and envelopes.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping;
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use tidings::{Error, Message, testing::TestBus};
    ///
    /// let bus = TestBus::start(|bus| bus.build())?;
    /// bus.publish(Message::new(Ping).header("tenant", "acme"))?;
    /// let published = bus.published_messages::<Ping>();
    /// assert_eq!(published[0].envelope.headers.get("tenant"), Some("acme"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Panics
    /// As above.
    #[must_use]
    #[track_caller]
    pub fn published_messages<E: Event>(&self) -> Vec<Published<E>> {
        let mut published = Vec::new();
        for (position, record) in self.records(Some(E::NAME)) {
            let event = event_of(position, &record);
            published.push(Published { position, envelope: record.envelope, event });
        }
        published
    }

    /// The events of this type that a subscription's handler was called with and succeeded, over all
    /// restarts, in the order of the calls. One is there twice where that was so twice.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping(u8);
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use tidings::{Error, HandlerError, testing::TestBus};
    ///
    /// let bus = TestBus::start(|bus| {
    ///     let bus = bus.build()?;
    ///     let handler = |ping: &Ping| match ping.0 {
    ///         0 => Err(HandlerError::reject("zero")),
    ///         _ => Ok(()),
    ///     };
    ///     bus.subscribe("pings").on(handler).start()?;
    ///     Ok::<_, Error>(bus)
    /// })?;
    /// bus.publish_all([Ping(0), Ping(7)])?;
    /// bus.run_until_idle();
    /// let handled = bus.handled_by::<Ping>("pings");
    /// assert_eq!(handled.iter().map(|ping| ping.0).collect::<Vec<_>>(), [7]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Panics
    /// One of them does not decode.
    #[must_use]
    #[track_caller]
    pub fn handled_by<E: Event>(&self, subscription: &str) -> Vec<E> {
        let records: BTreeMap<_, _> = self.records(Some(E::NAME)).into_iter().collect();
        let mut handled = Vec::new();
        for call in self.handler_calls(subscription) {
            if call.outcome == CallOutcome::Succeeded
                && let Some(record) = records.get(&call.position)
            {
                handled.push(event_of(call.position, record));
            }
        }
        handled
    }

    /// An event of this type was published for which `is_expected` says true.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping(u8);
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use tidings::testing::TestBus;
    ///
    /// let bus = TestBus::start(|bus| bus.build())?;
    /// bus.publish(Ping(7))?;
    /// bus.assert_published::<Ping>(|ping| ping.0 == 7);
    /// # Ok::<(), tidings::Error>(())
    /// ```
    ///
    /// # Panics
    /// None was. The message shows those that were.
    #[track_caller]
    pub fn assert_published<E: Event>(&self, is_expected: impl Fn(&E) -> bool) {
        let found = self.published::<E>().iter().any(is_expected);
        assert!(found, "no `{}` is as expected; {}", E::NAME, self.what_was_published(E::NAME));
    }

    /// So many events of this type were published.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping(u8);
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use tidings::testing::TestBus;
    ///
    /// let bus = TestBus::start(|bus| bus.build())?;
    /// bus.publish_all([Ping(1), Ping(2)])?;
    /// bus.assert_published_times::<Ping>(2);
    /// # Ok::<(), tidings::Error>(())
    /// ```
    ///
    /// # Panics
    /// It were more, or fewer. The message shows them.
    #[track_caller]
    pub fn assert_published_times<E: Event>(&self, times: usize) {
        let found = self.records(Some(E::NAME)).len();
        assert!(
            found == times,
            "`{}` was published {found} times, not {times}; {}",
            E::NAME,
            self.what_was_published(E::NAME)
        );
    }

    /// No event of this type was published.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping(u8);
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use tidings::testing::TestBus;
    ///
    /// let bus = TestBus::start(|bus| bus.build())?;
    /// bus.assert_nothing_published::<Ping>();
    /// # Ok::<(), tidings::Error>(())
    /// ```
    ///
    /// # Panics
    /// One was. The message shows it.
    #[track_caller]
    pub fn assert_nothing_published<E: Event>(&self) {
        let found = self.records(Some(E::NAME));
        let event = E::NAME;
        assert!(found.is_empty(), "`{event}` was published; {}", self.what_was_published(event));
    }

    #[track_caller]
    fn records(&self, name: Option<&str>) -> Vec<(Position, Record)> {
        let storage = self.ground.storage.reopened();
        assert!(
            storage.end() == self.bus.end(),
            "the set-up has given its bus another storage, which the test cannot look into"
        );
        records(&storage, name)
    }

    /// For messages: the events of that name, or which others there are.
    #[track_caller]
    fn what_was_published(&self, name: &str) -> String {
        let found = self.records(Some(name));
        if !found.is_empty() {
            return format!("these were published:{}", describe_all(&found));
        }
        let mut counts = BTreeMap::<String, usize>::new();
        for (_, record) in self.records(None) {
            *counts.entry(record.envelope.name.to_string()).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        if counts.is_empty() {
            return "nothing at all was published".into();
        }
        format!("none was published, but {}", counts.join(", "))
    }
}

/// What is in a storage, of one name or all.
#[track_caller]
pub(in crate::testing) fn records(
    storage: &MemoryStorage,
    name: Option<&str>,
) -> Vec<(Position, Record)> {
    let mut query = Query::from(storage.first()).records(usize::MAX).bytes(usize::MAX);
    query.filter =
        Filter { names: name.map(Into::into).into_iter().collect(), ..Filter::default() };
    match storage.read(&query) {
        Ok(page) => page.records,
        Err(error) => panic!("the journal could not be read: {error}"),
    }
}

#[track_caller]
fn event_of<E: Event>(position: Position, record: &Record) -> E {
    match decode(record) {
        Ok(event) => event,
        Err(why) => panic!("{} does not decode: {why}", describe(position, record)),
    }
}

pub(in crate::testing) fn decode<E: Event>(record: &Record) -> Result<E, String> {
    let (version, codec) = (record.envelope.version, &*record.envelope.codec);
    if (version, codec) != (E::VERSION, E::codec().name()) {
        return Err(format!("it is of version {version} and codec `{codec}`"));
    }
    E::codec().decode(&record.payload).map_err(|error| error.to_string())
}

/// For values that need not be comparable.
#[track_caller]
pub(in crate::testing) fn json<T: Serialize>(value: &T) -> Value {
    match serde_json::to_value(value) {
        Ok(value) => value,
        Err(error) => panic!("a value does not encode: {error}"),
    }
}

/// As in `#3 orders.placed key 7 {"order":7}`.
pub(in crate::testing) fn describe(position: Position, record: &Record) -> String {
    let Envelope { name, key, codec, .. } = &*record.envelope;
    let key = key.as_ref().map(|key| format!(" key {key}")).unwrap_or_default();
    let payload = match std::str::from_utf8(&record.payload) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{} bytes of {codec}", record.payload.len()),
    };
    format!("{position:?} {name}{key} {payload}")
}

pub(in crate::testing) fn describe_all(records: &[(Position, Record)]) -> String {
    let lines: Vec<_> =
        records.iter().map(|(position, record)| describe(*position, record)).collect();
    format!("\n  {}", lines.join("\n  "))
}
