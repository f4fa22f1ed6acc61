//! Which dead letters are meant.

use crate::{
    delivery::{DeadLetter, DeadLetterReason},
    event::Key,
    runtime::Timestamp,
};

/// Which dead letters are meant: those that meet everything that was asked for.
///
/// ```
/// use tidings::{DeadLetterReason, Letters};
///
/// let timeouts = Letters::all().reason(DeadLetterReason::Exhausted).error("timed out").at_most(100);
/// # drop(timeouts);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a filter selects nothing by itself"]
pub struct Letters {
    event: Option<String>,
    reason: Option<DeadLetterReason>,
    key: Option<Key>,
    error: Option<String>,
    since: Option<Timestamp>,
    before: Option<Timestamp>,
    most: Option<usize>,
}

impl Letters {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// Events of this name.
    pub fn event(mut self, name: &str) -> Self {
        self.event = Some(name.to_owned());
        self
    }

    /// Letters that died for this reason.
    pub fn reason(mut self, reason: DeadLetterReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Events with this key.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Letters whose last error contains this text.
    pub fn error(mut self, text: &str) -> Self {
        self.error = Some(text.to_owned());
        self
    }

    /// Letters that died then or later.
    pub fn died_since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Letters that died before.
    pub fn died_before(mut self, time: Timestamp) -> Self {
        self.before = Some(time);
        self
    }

    /// Of all these only so many, those of the oldest events.
    pub fn at_most(mut self, letters: usize) -> Self {
        self.most = Some(letters);
        self
    }

    pub(super) fn most(&self) -> usize {
        self.most.unwrap_or(usize::MAX)
    }

    pub(super) fn select(&self, letter: &DeadLetter) -> bool {
        self.event.as_ref().is_none_or(|event| letter.event() == event)
            && self.reason.is_none_or(|reason| letter.reason() == reason)
            && self.key.as_ref().is_none_or(|key| letter.envelope().key.as_ref() == Some(key))
            && self.error.as_ref().is_none_or(|error| letter.error().contains(error))
            && self.since.is_none_or(|since| letter.died_at() >= since)
            && self.before.is_none_or(|before| letter.died_at() < before)
    }
}
