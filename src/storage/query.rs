//! What is asked of the log, and what it answers.

use std::sync::Arc;

use super::Record;
use crate::{
    event::Key,
    message::{Envelope, MessageId, Position},
    runtime::Timestamp,
};

/// Which records are wanted, from a position on.
///
/// ```
/// use tidings::{Position, storage::Query};
///
/// let query = Query::from(Position::FIRST).of("orders.placed").key("7").records(100);
/// assert_eq!(query.max_records, 100);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Query {
    /// The position to begin at.
    pub from: Position,
    /// The position to stop before.
    pub to: Position,
    /// At most so many records.
    pub max_records: usize,
    /// No more records once their payloads exceed so many bytes together.
    pub max_bytes: usize,
    /// Only those that match.
    pub filter: Filter,
}

/// What records must have. The empty filter lets all pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// One of these event names; any if there is none.
    pub names: Vec<Arc<str>>,
    /// This key.
    pub key: Option<Key>,
    /// Published then or later.
    pub since: Option<Timestamp>,
    /// Published before.
    pub until: Option<Timestamp>,
}

/// Records in the order of the log, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // storage written elsewhere builds it
pub struct Page {
    /// The records, with their positions.
    pub records: Vec<(Position, Record)>,
    /// Where to go on. Between the last record and here nothing matches. A page may have no records
    /// and yet not be at the end.
    pub next: Position,
}

/// A record where it lies.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs)] // storage written elsewhere builds it
pub struct RecordRef<'a> {
    /// Its position.
    pub position: Position,
    /// The event's name.
    pub name: &'a str,
    /// The version of the event type.
    pub version: u32,
    /// The name of the codec.
    pub codec: &'a str,
    /// The message's id.
    pub id: MessageId,
    /// When it was published.
    pub published_at: Timestamp,
    /// The event's key.
    pub key: Option<&'a str>,
    /// The encoded event.
    pub payload: &'a [u8],
}

/// Which old records are no longer wanted: those before a position, and only while a bound of age or
/// size is exceeded, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trim {
    /// Nothing from here on is dropped.
    pub before: Position,
    /// Records published before may be dropped.
    pub published_before: Option<Timestamp>,
    /// While the log has more bytes than this, its oldest records may be dropped.
    pub max_bytes: Option<u64>,
}

/// Which events a later one of the same key makes superfluous.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Events of these names, where they have a key.
    pub names: Vec<Arc<str>>,
    /// Nothing from here on is dropped.
    pub before: Position,
    /// Only where enough has come since the last time for it to be worth the work.
    pub only_if_due: bool,
}

impl Compaction {
    /// Of events of these names, those before a position that are not the newest of their key.
    #[must_use]
    pub fn new(names: Vec<Arc<str>>, before: Position) -> Self {
        Self { names, before, only_if_due: false }
    }

    /// Only where it is worth the work.
    #[must_use]
    pub fn if_due(mut self) -> Self {
        self.only_if_due = true;
        self
    }
}

impl Trim {
    /// Everything before a position.
    #[must_use]
    pub fn before(before: Position) -> Self {
        Self { before, published_before: None, max_bytes: None }
    }

    /// Of that, what was published before.
    #[must_use]
    pub fn published_before(mut self, time: Timestamp) -> Self {
        self.published_before = Some(time);
        self
    }

    /// Of that, what makes the log larger than this; or what is too old, if that is given as well.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Whether something may be dropped for its age or for the size of the log.
    #[must_use]
    pub fn is_due(&self, newest: impl FnOnce() -> Timestamp, log_bytes: u64) -> bool {
        let too_large = self.max_bytes.is_some_and(|most| log_bytes > most);
        let unbounded = self.max_bytes.is_none() && self.published_before.is_none();
        unbounded || too_large || self.published_before.is_some_and(|time| newest() < time)
    }
}

impl Query {
    /// Everything from a position on, in pages of at most 512 records and 1 MiB.
    #[must_use]
    pub fn from(from: Position) -> Self {
        Self {
            from,
            to: Position::LAST,
            max_records: 512,
            max_bytes: 1024 * 1024,
            filter: Filter::default(),
        }
    }

    /// Stops before a position.
    #[must_use]
    pub fn to(mut self, to: Position) -> Self {
        self.to = to;
        self
    }

    /// At most so many records.
    #[must_use]
    pub fn records(mut self, most: usize) -> Self {
        self.max_records = most;
        self
    }

    /// No more records once their payloads exceed so many bytes together.
    #[must_use]
    pub fn bytes(mut self, most: usize) -> Self {
        self.max_bytes = most;
        self
    }

    /// Only events of this name, or of another that was named so.
    #[must_use]
    pub fn of(mut self, name: impl Into<Arc<str>>) -> Self {
        self.filter.names.push(name.into());
        self
    }

    /// Only events with this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.filter.key = Some(key.into());
        self
    }

    /// Only events published then or later.
    #[must_use]
    pub fn since(mut self, time: Timestamp) -> Self {
        self.filter.since = Some(time);
        self
    }

    /// Only events published before.
    #[must_use]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.filter.until = Some(time);
        self
    }
}

impl Filter {
    /// Whether everything matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.key.is_none() && self.since.is_none() && self.until.is_none()
    }

    /// Whether a record matches.
    #[must_use]
    pub fn matches(&self, envelope: &Envelope) -> bool {
        let key = envelope.key.as_ref().map(Key::as_str);
        self.lets_pass(&envelope.name, key, envelope.published_at)
    }

    /// Whether a record with these matches.
    #[must_use]
    pub fn lets_pass(&self, name: &str, key: Option<&str>, published_at: Timestamp) -> bool {
        (self.names.is_empty() || self.names.iter().any(|wanted| **wanted == *name))
            && self.key.as_ref().is_none_or(|wanted| key == Some(wanted.as_str()))
            && self.since.is_none_or(|since| published_at >= since)
            && self.until.is_none_or(|until| published_at < until)
    }
}

impl<'a> RecordRef<'a> {
    /// A record in memory, as one where it lies.
    #[must_use]
    pub fn new(position: Position, record: &'a Record) -> Self {
        let envelope = &record.envelope;
        Self {
            position,
            name: &envelope.name,
            version: envelope.version,
            codec: &envelope.codec,
            id: envelope.id,
            published_at: envelope.published_at,
            key: envelope.key.as_ref().map(Key::as_str),
            payload: &record.payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_of_time_has_its_beginning_and_not_its_end() {
        let time = Timestamp::from_nanos;
        let query = Query::from(Position::FIRST).since(time(10)).until(time(20));
        let passes = |nanos| query.filter.lets_pass("name", None, time(nanos));
        assert_eq!([9, 10, 19, 20].map(passes), [false, true, true, false]);
    }

    #[test]
    fn a_trim_is_due_for_age_or_size_or_neither_was_given() {
        let (all, time) = (Trim::before(Position::LAST), Timestamp::from_nanos);
        let is_due = |trim: &Trim, newest, bytes| trim.is_due(|| time(newest), bytes);
        assert!(is_due(&all, 5, 5));
        let by_size = all.max_bytes(100);
        assert_eq!([100, 101].map(|bytes| is_due(&by_size, 5, bytes)), [false, true]);
        let by_age = all.published_before(time(10));
        assert_eq!([9, 10].map(|newest| is_due(&by_age, newest, 500)), [true, false]);
        let by_both = by_age.max_bytes(100);
        assert!(is_due(&by_both, 9, 0) && is_due(&by_both, 10, 101));
        assert!(!is_due(&by_both, 10, 100));
    }
}
