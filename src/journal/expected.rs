//! Publishing on a condition: that nothing has come meanwhile.

use std::{ops::ControlFlow, sync::Arc};

use super::{Draft, Journal, Places, PublishFailure, Rejected, Topic, Transaction};
use crate::{
    event::Key,
    message::{Envelope, Position},
    storage::{Query, Storage, StorageError},
};

/// What must be so for an event to be published: which event of its name is the last one with a key.
///
/// Events of other names do not count, so that order 7 and customer 7 do not disturb each other. See
/// [`Bus::publish_if`](crate::Bus::publish_if).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub(super) key: Key,
    pub(super) last: Option<Position>,
}

impl Expected {
    /// The last event with this key is at this position. Where the log no longer keeps that position,
    /// nothing later is enough.
    #[must_use]
    pub fn last_of(key: impl Into<Key>, position: Position) -> Self {
        Self::new(key.into(), Some(position))
    }

    /// There is no event with this key, as far as the log reaches back.
    #[must_use]
    pub fn none_of(key: impl Into<Key>) -> Self {
        Self::new(key.into(), None)
    }

    pub(crate) fn new(key: Key, last: Option<Position>) -> Self {
        Self { key, last }
    }
}

impl Journal {
    /// Publishes drafts of one event as one, if what is expected of its key is so. The publisher itself
    /// looks at what is there, so that the leader of the log has to look at little.
    pub(crate) fn publish_if(
        &self,
        topic: &Topic,
        expected: Expected,
        drafts: Vec<Draft>,
    ) -> Result<Places, Rejected> {
        let Some(log) = &self.log else {
            let failure = PublishFailure::Unsupported { what: "publish on a condition" };
            return Err(Rejected { failure, drafts });
        };
        let looked = Condition::look(&*log.storage, &topic.event.name, expected, self.end());
        let condition = match looked {
            Ok(condition) => condition,
            Err(error) => return Err(Rejected { failure: error.into(), drafts }),
        };
        // Only the leader knows whether a marked message is a copy, which there would be no conflict about.
        if !drafts.iter().any(Draft::is_marked)
            && let Some(failure) = condition.conflict_found()
        {
            return Err(Rejected { failure, drafts });
        }
        let condition = Some(Box::new(condition));
        log.publish(self, Transaction { drafts, condition, ..Transaction::default() })
    }
}

/// What a transaction expects, and how much of the log its publisher has looked at. The leader looks at
/// the rest.
#[derive(Debug)]
pub(crate) struct Condition {
    name: Arc<str>,
    expected: Expected,
    /// Everything before was looked at.
    seen: Position,
    /// What the publisher has found there instead.
    found: Option<Other>,
}

/// Which event is the last one instead, if any is.
#[derive(Debug, Clone, Copy)]
struct Other(Option<Position>);

impl Other {
    fn at(position: Position) -> Self {
        Self(Some(position))
    }
}

impl Condition {
    /// Looks at everything before `seen`.
    pub(super) fn look(
        storage: &dyn Storage,
        name: &Arc<str>,
        expected: Expected,
        seen: Position,
    ) -> Result<Self, StorageError> {
        let mut condition = Self { name: Arc::clone(name), expected, seen, found: None };
        condition.found = condition.find(storage)?;
        Ok(condition)
    }

    /// The last event that there is instead of the one that is expected; `None` where that is the last.
    fn find(&self, storage: &dyn Storage) -> Result<Option<Other>, StorageError> {
        let Some(last) = self.expected.last else {
            return Ok(self.last(storage, Position::FIRST, self.seen)?.map(Other::at));
        };
        let later = self.last(storage, last.next(), self.seen)?;
        let is_there = last < storage.first() && last < self.seen
            || self.last(storage, last, last.next().min(self.seen))?.is_some();
        if later.is_none() && is_there {
            return Ok(None);
        }
        let other = match later {
            Some(later) => Some(later),
            None => self.last(storage, Position::FIRST, last.min(self.seen))?,
        };
        Ok(Some(Other(other)))
    }

    /// The last event with the name and the key from a position on and below another.
    fn last(
        &self,
        storage: &dyn Storage,
        from: Position,
        to: Position,
    ) -> Result<Option<Position>, StorageError> {
        let query = Query::from(from).to(to).of(Arc::clone(&self.name));
        let mut query = query.key(self.expected.key.clone());
        let mut last = None;
        loop {
            query.from = query.from.max(storage.first());
            if query.from >= to {
                return Ok(last);
            }
            match storage.visit(&query, &mut |record| {
                last = Some(record.position);
                ControlFlow::Continue(())
            }) {
                Ok(_) => return Ok(last),
                // Dropped meanwhile: what is kept is what counts.
                Err(StorageError::Truncated { first, .. }) => query.from = first,
                Err(error) => return Err(error),
            }
        }
    }

    /// Why its transaction is not to be published after the log and then these drafts, if it is not.
    /// Only the leader knows.
    pub(super) fn fails(
        &self,
        storage: &dyn Storage,
        earlier: &[&Draft],
    ) -> Option<PublishFailure> {
        let end = storage.end();
        if let Some(at) = earlier.iter().rposition(|draft| self.is_about(draft.envelope())) {
            return Some(self.conflict(Some(end.plus(at as u64))));
        }
        match self.last(storage, self.seen, end) {
            Ok(Some(later)) => Some(self.conflict(Some(later))),
            Ok(None) => self.conflict_found(),
            Err(error) => Some(error.into()),
        }
    }

    /// What the publisher has found itself.
    pub(super) fn conflict_found(&self) -> Option<PublishFailure> {
        self.found.map(|Other(found)| self.conflict(found))
    }

    fn is_about(&self, envelope: &Envelope) -> bool {
        envelope.key.as_ref() == Some(&self.expected.key) && *envelope.name == *self.name
    }

    fn conflict(&self, found: Option<Position>) -> PublishFailure {
        let Expected { key, last: expected } = self.expected.clone();
        PublishFailure::Conflict { key, expected, found }
    }
}
