//! What a bus promises, as a plain model.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Debug},
    sync::Arc,
};

use super::{
    Model,
    fate::{Attempts, Fate, Judge},
    order::assert_keys_are_in_order,
};
use crate::{
    bus::{Error, Receipt},
    delivery::{DeadLetter, DeadLetterReason},
    event::{Event, Key},
    message::{Message, Position},
    testing::{Ending, TestBus, strategies::Step},
};

/// How many processes in a row may end while one event is handled, unless a subscription says otherwise.
const MAX_CRASHES: u32 = 3;

/// What a bus promises, for events of one type that the test publishes: all of them are in the journal;
/// each is handled, or a dead letter, exactly as its handler says; in the order of its key; and the
/// [`Ledger`](crate::Ledger)s say the same. Whatever else a handler does is for a model of your own.
///
/// It knows subscriptions that get all events of the type, from the beginning on, without filters, held
/// keys ([`OnDeadLetter`](crate::OnDeadLetter)), expiry or a bound of time to retries. A process that is
/// killed may count as a failed attempt at what it was handling, so that where `judge` depends on the
/// attempt there may be several ends that are right.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, Serialize, Deserialize)] struct Ping(u64);
/// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
/// use tidings::{
///     Backoff, Context, Error, HandlerError, Message,
///     testing::{Ending, TestBus, model::{self, BusModel}, strategies::Step},
/// };
///
/// // Fails at first, and odd ones always.
/// let handle = |ping: &Ping, ctx: &mut Context| match (ctx.attempt() > 1, ping.0 % 2 == 0) {
///     (true, true) => Ok(()),
///     _ => Err(HandlerError::retry("no")),
/// };
/// let mut bus = TestBus::start(move |bus| {
///     let bus = bus.build()?;
///     bus.subscribe("pings").retry(Backoff::default().max_attempts(2)).on(handle).start()?;
///     Ok::<_, Error>(bus)
/// })?;
///
/// let mut model = BusModel::new().subscription("pings", 2, |ping: &Ping, attempt| {
///     if attempt > 1 && ping.0 % 2 == 0 { Ending::Handled } else { Ending::Failed }
/// });
/// let publish = |number| Step::Publish(Message::new(Ping(number)));
/// let steps = [publish(1), Step::Kill, publish(2)];
/// model::run(&mut model, &steps, &mut bus);
/// # Ok::<(), Error>(())
/// ```
pub struct BusModel<E> {
    published: BTreeMap<Position, Fact<E>>,
    subscriptions: BTreeMap<Arc<str>, Expected<E>>,
    kills: u32,
}

/// An event that was published.
struct Fact<E> {
    event: E,
    key: Option<Key>,
    /// How many processes had been killed before.
    kills: u32,
}

/// What is to become of the events of a subscription.
struct Expected<E> {
    judge: Judge<E>,
    max_attempts: u32,
    /// Dead letters that were tried again since they were last seen at rest, by the attempts made before.
    retried: BTreeMap<Position, Retried>,
    /// How many calls there were when it was paused, if it is.
    paused: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Retried {
    /// Attempts that were made before.
    done: u32,
    /// The process has ended since, so that it may not have come to that.
    is_certain: bool,
}

impl<E: Event + Clone> BusModel<E> {
    /// Nothing was published, and there is no subscription.
    #[must_use]
    pub fn new() -> Self {
        Self { published: BTreeMap::new(), subscriptions: BTreeMap::new(), kills: 0 }
    }

    /// There is a subscription that tries events so many times, and whose handler makes of each, at each
    /// attempt, what `judge` says.
    #[must_use]
    pub fn subscription(
        mut self,
        name: &str,
        max_attempts: u32,
        judge: impl Fn(&E, u32) -> Ending + Send + Sync + 'static,
    ) -> Self {
        let judge: Judge<E> = Arc::new(judge);
        let expected = Expected { judge, max_attempts, retried: BTreeMap::new(), paused: None };
        self.subscriptions.insert(name.into(), expected);
        self
    }

    /// The events that were published, by position.
    pub fn published(&self) -> impl Iterator<Item = (Position, &E)> {
        self.published.iter().map(|(position, fact)| (*position, &fact.event))
    }

    #[track_caller]
    fn note_published(&mut self, receipts: &[Receipt], messages: &[Message<E>]) {
        assert_eq!(receipts.len(), messages.len(), "each message has a receipt");
        for (receipt, message) in receipts.iter().zip(messages) {
            let (event, key) = (message.event().clone(), message.routing_key());
            let fact = Fact { event, key, kills: self.kills };
            let before = self.published.insert(receipt.position, fact);
            assert!(before.is_none(), "two events have one position: {:?}", receipt.position);
        }
    }

    /// Letters that are there are to be tried again.
    #[track_caller]
    fn note_retry(&mut self, name: &str, bus: &TestBus) {
        let letters = letters(name, bus);
        let Some(expected) = self.subscriptions.get_mut(name) else { return };
        for letter in letters {
            let retried = Retried { done: letter.attempts(), is_certain: true };
            expected.retried.insert(letter.position(), retried);
        }
    }

    fn note_end(&mut self) {
        for expected in self.subscriptions.values_mut() {
            expected.paused = None;
            for retried in expected.retried.values_mut() {
                retried.is_certain = false;
            }
        }
    }

    fn set_paused(&mut self, name: &str, paused: Option<usize>) {
        if let Some(expected) = self.subscriptions.get_mut(name) {
            expected.paused = paused;
        }
    }

    #[track_caller]
    fn assert_published(&self, bus: &TestBus) {
        let found = bus.published_messages::<E>();
        let positions: Vec<_> = found.iter().map(|one| one.position).collect();
        let expected: Vec<_> = self.published.keys().copied().collect();
        assert_eq!(positions, expected, "`{}` is in the journal at other positions", E::NAME);
        for (one, Fact { event, key, .. }) in found.iter().zip(self.published.values()) {
            assert_eq!(json(&one.event), json(event), "{:?} has changed", one.position);
            assert_eq!(&one.envelope.key, key, "the key of {:?} has changed", one.position);
        }
    }

    #[track_caller]
    fn assert_in_order(&self, name: &str, bus: &TestBus) {
        let mut by_key = BTreeMap::<Key, Vec<Position>>::new();
        for (position, fact) in &self.published {
            if let Some(key) = &fact.key {
                by_key.entry(key.clone()).or_default().push(*position);
            }
        }
        let dead: BTreeSet<_> = letters(name, bus).iter().map(DeadLetter::position).collect();
        assert_keys_are_in_order(&bus.handler_calls(name), &by_key, &dead);
    }

    /// Whether so many processes have ended that an event may be taken for what ended them.
    fn may_have_crashed(&self, letter: Option<&DeadLetter>) -> bool {
        let reason = letter.map(DeadLetter::reason);
        self.kills > MAX_CRASHES && reason == Some(DeadLetterReason::Crashed)
    }

    #[track_caller]
    fn assert_settled(&self, name: &str, expected: &Expected<E>, bus: &TestBus) {
        let letters = letters(name, bus);
        let by_position: BTreeMap<_, _> =
            letters.iter().map(|letter| (letter.position(), letter)).collect();
        for (position, fact) in &self.published {
            let letter = by_position.get(position).copied();
            if self.may_have_crashed(letter) {
                continue;
            }
            let found =
                letter.map_or(Fate::Handled, |letter| Fate::Dead { attempts: letter.attempts() });
            let fates = expected.fates(*position, fact, self.kills);
            assert!(
                fates.contains(&found),
                "`{name}` was to have {position:?} end as one of {fates:?}, but it is {found:?}: {}",
                json(&fact.event)
            );
        }
        let ledger = bus.subscription(name).ledger();
        let (all, dead) = (self.published.len() as u64, letters.len() as u64);
        let books = (ledger.matched, ledger.acknowledged, ledger.dead);
        assert_eq!(books, (all, all - dead, dead), "the ledger of `{name}` says {ledger}");
    }
}

impl<E: Event> Expected<E> {
    /// What may have become of an event.
    fn fates(&self, position: Position, fact: &Fact<E>, kills: u32) -> BTreeSet<Fate> {
        let retried = self.retried.get(&position);
        let done = retried.map_or(0, |retried| retried.done);
        let kills = kills.saturating_sub(fact.kills);
        let attempts = Attempts { done, most: self.max_attempts, kills };
        let mut fates = attempts.fates(&fact.event, &self.judge);
        if retried.is_some_and(|retried| !retried.is_certain) {
            fates.insert(Fate::Dead { attempts: done });
        }
        fates
    }
}

impl<E: Event + Clone + Debug> Model for BusModel<E> {
    type Step = Step<E>;

    #[track_caller]
    fn apply(&mut self, step: &Step<E>, bus: &mut TestBus) {
        match step {
            Step::Publish(message) => {
                let receipts = published(bus.publish(message.clone()).map(|receipt| vec![receipt]));
                return self.note_published(&receipts, std::slice::from_ref(message));
            }
            Step::PublishAll(messages) => {
                let receipts = published(bus.publish_all(messages.iter().cloned()));
                return self.note_published(&receipts, messages);
            }
            Step::RetryDeadLetters(name) => self.note_retry(name, bus),
            Step::Restart | Step::Kill => self.note_end(),
            Step::Pause(name) => self.set_paused(name, Some(bus.handler_calls(name).len())),
            Step::Resume(name) => self.set_paused(name, None),
            Step::Advance(_) => {}
        }
        self.kills += u32::from(matches!(step, Step::Kill));
        step.take(bus);
    }

    #[track_caller]
    fn check(&self, bus: &TestBus) {
        self.assert_published(bus);
        bus.assert_ledgers_balance();
        for (name, expected) in &self.subscriptions {
            self.assert_in_order(name, bus);
            if let Some(calls) = expected.paused {
                let now = bus.handler_calls(name).len();
                assert_eq!(now, calls, "`{name}` is paused, and its handlers are called");
            }
        }
    }

    #[track_caller]
    fn check_at_rest(&mut self, bus: &TestBus) {
        for expected in self.subscriptions.values_mut() {
            expected.paused = None;
        }
        self.check(bus);
        for (name, expected) in &self.subscriptions {
            self.assert_settled(name, expected, bus);
        }
    }
}

impl<E: Event + Clone> Default for BusModel<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Debug for BusModel<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusModel")
            .field("published", &self.published.len())
            .field("subscriptions", &self.subscriptions.keys())
            .finish_non_exhaustive()
    }
}

#[track_caller]
fn published<R: Into<Error>>(result: Result<Vec<Receipt>, R>) -> Vec<Receipt> {
    result.unwrap_or_else(|error| panic!("{}", error.into()))
}

#[track_caller]
fn letters(name: &str, bus: &TestBus) -> Vec<DeadLetter> {
    let letters = bus.dead_letters(name).list();
    letters.unwrap_or_else(|error| panic!("the dead letters of `{name}`: {error}"))
}

fn json<E: Event>(event: &E) -> String {
    serde_json::to_string(event).unwrap_or_else(|error| error.to_string())
}
