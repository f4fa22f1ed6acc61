//! What a handler has made of an event.

use std::{collections::VecDeque, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{HandlerTest, SUBSCRIPTION};
use crate::{
    bus::Receipt,
    delivery::HandlerError,
    event::{Event, Key},
    message::{Position, Publishable},
    storage::Record,
    testing::bus::{CallOutcome, decode, describe_all, json, records},
};

/// What a handler has made of an event, to be looked at. Then the next event may come.
#[derive(Debug)]
pub struct Tested {
    test: HandlerTest,
    key: Option<Key>,
    /// `None` where the handler was not called.
    ended: Option<Result<(), HandlerError>>,
    /// What it has published, as far as nobody has looked at it.
    outputs: VecDeque<(Position, Record)>,
}

#[allow(clippy::must_use_candidate, clippy::return_self_not_must_use)] // the last one ends the test
impl Tested {
    #[track_caller]
    pub(super) fn new(test: HandlerTest, receipt: Receipt, key: Option<Key>) -> Self {
        let observer = &test.ground.observer;
        let calls = observer.calls_of(SUBSCRIPTION);
        let call = calls.last().filter(|call| call.position == receipt.position);
        let error = observer.take_error();
        let ended = call.and_then(|call| match (&call.outcome, error) {
            (CallOutcome::Filtered, _) => None,
            (_, Some(error)) => Some(Err(error)),
            (_, None) => Some(Ok(())),
        });
        let outputs = records(&test.ground.storage.reopened(), None).into_iter();
        let outputs =
            outputs.filter(|(_, record)| record.envelope.causation == Some(receipt.id)).collect();
        Self { test, key, ended, outputs }
    }

    /// The error with which the handler has ended, if it has failed.
    #[must_use]
    pub fn error(&self) -> Option<&HandlerError> {
        self.ended.as_ref()?.as_ref().err()
    }

    /// It succeeded.
    ///
    /// # Panics
    /// It failed, or was not called.
    #[track_caller]
    pub fn then_succeeds(self) -> Self {
        assert!(matches!(self.ended, Some(Ok(()))), "the handler {}", self.describe_end());
        self
    }

    /// It failed with an error whose text contains this, and the event would be tried again.
    ///
    /// # Panics
    /// It did not. The message says what it did.
    #[track_caller]
    pub fn then_fails_with(self, text: &str) -> Self {
        let fails = self.error().is_some_and(|error| !error.is_rejection());
        assert!(
            fails && self.error_contains(text),
            "the handler was to fail with `{text}`, but it {}",
            self.describe_end()
        );
        self
    }

    /// It failed, and asked for another attempt after this time.
    ///
    /// # Panics
    /// It did not. The message says what it did.
    #[track_caller]
    pub fn then_retries_after(self, delay: Duration) -> Self {
        let asked = self.error().and_then(HandlerError::delay);
        assert!(
            asked == Some(delay),
            "the handler was to ask for another attempt after {delay:?}, but it {}",
            self.describe_end()
        );
        self
    }

    /// It failed so that the event would not be tried again.
    ///
    /// # Panics
    /// It did not. The message says what it did.
    #[track_caller]
    pub fn then_rejects(self) -> Self {
        self.then_rejects_with("")
    }

    /// The same, with an error whose text contains this.
    ///
    /// # Panics
    /// It did not. The message says what it did.
    #[track_caller]
    pub fn then_rejects_with(self, text: &str) -> Self {
        let rejects = self.error().is_some_and(HandlerError::is_rejection);
        assert!(
            rejects && self.error_contains(text),
            "the handler was to reject the event{}, but it {}",
            if text.is_empty() { String::new() } else { format!(" with `{text}`") },
            self.describe_end()
        );
        self
    }

    /// The handler was not called: a filter or an idempotency key said so, or it is not for such events.
    ///
    /// # Panics
    /// It was called.
    #[track_caller]
    pub fn then_is_passed_over(self) -> Self {
        let end = self.describe_end();
        assert!(self.ended.is_none(), "the event was to be passed over, but the handler {end}");
        self
    }

    /// The next thing that it has published is this. Called several times, it goes through them in order.
    ///
    /// # Panics
    /// It is another event, or there is none. The message shows those that are left.
    #[track_caller]
    pub fn then_published<E: Event>(mut self, expected: &E) -> Self {
        let is_expected = self.outputs.front().is_some_and(|(_, record)| is(record, expected));
        assert!(
            is_expected,
            "the handler was to publish `{}` {} next, but {}",
            E::NAME,
            json(expected),
            self.describe_outputs()
        );
        self.outputs.pop_front();
        self
    }

    /// It has published nothing, or nothing more than was looked at.
    ///
    /// # Panics
    /// It has. The message shows it.
    #[track_caller]
    pub fn then_publishes_nothing(self) -> Self {
        let is_nothing = self.outputs.is_empty();
        assert!(
            is_nothing,
            "the handler was to publish nothing more, but {}",
            self.describe_outputs()
        );
        self
    }

    /// What is stored under that name for the key of the event is this.
    ///
    /// # Panics
    /// It is not. The message says what is.
    #[track_caller]
    pub fn then_state<T: Serialize + DeserializeOwned>(self, name: &str, expected: &T) -> Self {
        let (stored, expected) = (self.stored(name), json(expected));
        assert!(
            stored.as_ref() == Some(&expected),
            "`{name}` was to be {expected}, but {}",
            stored.map_or("nothing is stored".to_owned(), |value| format!("it is {value}"))
        );
        self
    }

    /// Nothing is stored under that name for the key of the event.
    ///
    /// # Panics
    /// Something is. The message says what.
    #[track_caller]
    pub fn then_no_state(self, name: &str) -> Self {
        if let Some(value) = self.stored(name) {
            panic!("nothing was to be stored as `{name}`, but it is {value}");
        }
        self
    }

    /// As [`HandlerTest::given_state`], for the next event.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn given_state<T: Serialize + ?Sized>(self, name: &str, value: &T) -> HandlerTest {
        self.test.given_state(name, value)
    }

    /// As [`HandlerTest::attempt`], for the next event.
    pub fn attempt(self, attempt: u32) -> HandlerTest {
        self.test.attempt(attempt)
    }

    /// The next event comes.
    ///
    /// # Panics
    /// As for [`HandlerTest::when`].
    #[must_use = "it says nothing unless something is expected of it"]
    #[track_caller]
    pub fn when<P: Publishable>(self, message: P) -> Self {
        self.test.when(message)
    }

    /// The same, inside `#[tokio::test]`.
    ///
    /// # Panics
    /// As there.
    #[cfg(feature = "tokio")]
    #[must_use = "it says nothing unless something is expected of it"]
    pub async fn when_async<P: Publishable>(self, message: P) -> Self {
        self.test.when_async(message).await
    }

    fn error_contains(&self, text: &str) -> bool {
        self.error().is_some_and(|error| error.to_string().contains(text))
    }

    #[track_caller]
    fn stored(&self, name: &str) -> Option<Value> {
        let running = self.test.bus.running();
        let subscription = running.first()?;
        match subscription.state(self.key.as_ref(), name) {
            Ok(bytes) => serde_json::from_slice(&bytes?).ok(),
            Err(error) => panic!("the state `{name}` could not be read: {error}"),
        }
    }

    fn describe_end(&self) -> String {
        match &self.ended {
            None => "was not called".into(),
            Some(Ok(())) => "succeeded".into(),
            Some(Err(error)) if error.is_rejection() => format!("rejected the event: {error}"),
            Some(Err(error)) => match error.delay() {
                Some(delay) => format!("failed, to be tried again after {delay:?}: {error}"),
                None => format!("failed: {error}"),
            },
        }
    }

    fn describe_outputs(&self) -> String {
        if self.outputs.is_empty() {
            return "there is nothing (more)".into();
        }
        let outputs: Vec<_> = self.outputs.iter().cloned().collect();
        format!("there is:{}", describe_all(&outputs))
    }
}

/// Compared as JSON, since events need not be comparable.
fn is<E: Event>(record: &Record, expected: &E) -> bool {
    *record.envelope.name == *E::NAME
        && decode::<E>(record).is_ok_and(|found| json(&found) == json(expected))
}
