//! Saying what is to be read of the past, and reading it.

use std::{
    collections::VecDeque, fmt, iter::FusedIterator, marker::PhantomData, ops::ControlFlow,
    sync::Arc,
};

use super::{
    HistoryError,
    past::{Encoded, Past},
    select::{Select, sealed::Types},
};
use crate::{
    delivery::{Loss, unsalvaged},
    event::Key,
    journal::Journal,
    message::{CorrelationId, Position},
    runtime::Timestamp,
    storage::{Query, Record, RecordRef},
};

/// What is to be read of the past; an iterator of [`Past`] events once it is asked for them.
///
/// Begins with the oldest event that is kept, ends with the newest when reading begins.
#[must_use = "nothing is read until it is iterated"]
pub struct History<S = Encoded> {
    journal: Arc<Journal>,
    from: Option<Position>,
    query: Query,
    correlation: Option<CorrelationId>,
    events: PhantomData<fn() -> S>,
}

impl History {
    pub(super) fn new(journal: Arc<Journal>) -> Self {
        let query = Query::from(Position::FIRST);
        Self { journal, from: None, query, correlation: None, events: PhantomData }
    }
}

impl<S: Select> History<S> {
    /// Only these events: a type, or a tuple of up to eight. Everything, [`Encoded`], unless said.
    pub fn of<T: Select>(self) -> History<T> {
        let Self { journal, from, query, correlation, .. } = self;
        History { journal, from, query, correlation, events: PhantomData }
    }

    /// Begins at a position. What is no longer kept from there on is an error; without this, reading
    /// begins with what is.
    pub fn from(mut self, position: Position) -> Self {
        self.from = Some(position);
        self
    }

    /// Stops before a position.
    pub fn to(mut self, position: Position) -> Self {
        self.query.to = position;
        self
    }

    /// Only what was published at that time or later.
    pub fn since(mut self, time: Timestamp) -> Self {
        self.query = self.query.since(time);
        self
    }

    /// Only what was published before.
    pub fn until(mut self, time: Timestamp) -> Self {
        self.query = self.query.until(time);
        self
    }

    /// Only events with this key.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.query = self.query.key(key);
        self
    }

    /// Only messages of this conversation. No index knows it: everything else that matches is read.
    pub fn correlation(mut self, id: impl Into<CorrelationId>) -> Self {
        self.correlation = Some(id.into());
        self
    }

    /// Shows each event to `visit`, with its record as it lies in the log, and copies neither. Returns
    /// where to go on, which is the end. Several times as fast as iterating.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Event, storage::MemoryStorage};
    /// # #[derive(Debug, Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed", key = "customer")]
    /// # struct Placed { customer: u64, cents: u64 }
    /// # let bus = Bus::builder().storage(MemoryStorage::new()).build()?;
    /// # bus.publish(Placed { customer: 1, cents: 50 })?;
    /// let mut largest = (0, None);
    /// bus.history().of::<Placed>().each(|order, record| {
    ///     largest = largest.max((order.cents, Some(record.position)));
    /// })?;
    /// assert_eq!(largest.0, 50);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`HistoryError`]. It stops there; what came before was shown.
    pub fn each(
        self,
        mut visit: impl FnMut(&S::Event, &RecordRef<'_>),
    ) -> Result<Position, HistoryError> {
        let mut pasts = self.into_iter();
        if let Some(wrong) = pasts.wrong.take() {
            return Err(wrong);
        }
        if pasts.correlation.is_some() {
            return pasts.each_of_a_conversation(visit);
        }
        let Some(Loss { first, last }) = pasts.gaps.pop_front() else {
            return pasts.visit(&mut visit);
        };
        pasts.query.to = first;
        pasts.visit(&mut visit)?;
        Err(HistoryError::Lost { first, last })
    }

    fn begin(mut self) -> Result<Pasts<S>, HistoryError> {
        if !self.journal.is_durable() {
            return Err(HistoryError::Volatile);
        }
        let types = Types::of::<S>(self.journal.contract())?;
        self.query.filter.names = types.names();
        self.query.from = self.from.unwrap_or_else(|| self.journal.first());
        self.query.to = self.query.to.min(self.journal.end());
        let gaps = unsalvaged(&self.journal, self.query.from, self.query.to)?;
        Ok(Pasts { gaps: gaps.into(), types, ..Pasts::nothing(self.journal, self.query) }
            .of_conversation(self.correlation))
    }
}

impl<S: Select> IntoIterator for History<S> {
    type Item = Result<Past<S::Event>, HistoryError>;
    type IntoIter = Pasts<S>;

    /// Reads on page by page, as it is iterated. What cannot be read is an error among the events, and
    /// all but failing storage can be gone on after.
    fn into_iter(self) -> Pasts<S> {
        let journal = Arc::clone(&self.journal);
        self.begin().unwrap_or_else(|wrong| Pasts {
            wrong: Some(wrong),
            is_over: true,
            ..Pasts::nothing(journal, Query::from(Position::FIRST))
        })
    }
}

impl<S> fmt::Debug for History<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("from", &self.from)
            .field("query", &self.query)
            .field("correlation", &self.correlation)
            .finish_non_exhaustive()
    }
}

/// The events of a [`History`], one after another.
pub struct Pasts<S> {
    journal: Arc<Journal>,
    query: Query,
    correlation: Option<CorrelationId>,
    types: Types,
    page: VecDeque<(Position, Record)>,
    /// What was lost, and not told yet.
    gaps: VecDeque<Loss>,
    /// To be told next.
    wrong: Option<HistoryError>,
    is_over: bool,
    events: PhantomData<fn() -> S>,
}

impl<S: Select> Pasts<S> {
    fn nothing(journal: Arc<Journal>, query: Query) -> Self {
        Self {
            journal,
            query,
            correlation: None,
            types: Types::default(),
            page: VecDeque::new(),
            gaps: VecDeque::new(),
            wrong: None,
            is_over: false,
            events: PhantomData,
        }
    }

    fn of_conversation(mut self, correlation: Option<CorrelationId>) -> Self {
        self.correlation = correlation;
        self
    }

    /// The next record that matches.
    fn next_record(&mut self) -> Result<Option<(Position, Record)>, HistoryError> {
        loop {
            if let Some(wrong) = self.wrong.take() {
                return Err(wrong);
            }
            if self.page.is_empty() && !self.is_over {
                self.turn_page();
                continue;
            }
            let at = self.page.front().map_or(Position::LAST, |(at, _)| *at);
            if let Some(Loss { first, last }) = self.gaps.pop_front_if(|gap| gap.first <= at) {
                return Err(HistoryError::Lost { first, last });
            }
            let Some((at, record)) = self.page.pop_front() else { return Ok(None) };
            if self.is_of_conversation(&record) {
                return Ok(Some((at, record)));
            }
        }
    }

    fn turn_page(&mut self) {
        if self.query.from >= self.query.to {
            self.is_over = true;
            return;
        }
        match self.journal.query(&self.query).map_err(HistoryError::from) {
            Ok(page) => {
                self.is_over = page.next <= self.query.from;
                self.query.from = page.next;
                self.page = page.records.into();
            }
            Err(wrong) => {
                match &wrong {
                    HistoryError::Truncated { first, .. } => self.query.from = *first,
                    _ => self.is_over = true,
                }
                self.wrong = Some(wrong);
            }
        }
    }

    fn is_of_conversation(&self, record: &Record) -> bool {
        let wanted = self.correlation.as_ref();
        wanted.is_none_or(|wanted| record.envelope.correlation_id() == *wanted)
    }

    fn decode(&self, record: &RecordRef<'_>) -> Result<S::Event, HistoryError> {
        decode::<S>(&self.types, record)
    }

    fn each_of_a_conversation(
        mut self,
        mut visit: impl FnMut(&S::Event, &RecordRef<'_>),
    ) -> Result<Position, HistoryError> {
        while let Some((at, record)) = self.next_record()? {
            let record = RecordRef::new(at, &record);
            visit(&self.decode(&record)?, &record);
        }
        Ok(self.query.to)
    }

    fn visit(
        &self,
        visit: &mut impl FnMut(&S::Event, &RecordRef<'_>),
    ) -> Result<Position, HistoryError> {
        let mut wrong = None;
        let next = self.journal.visit(&self.query, &mut |record| match decode::<S>(
            &self.types,
            &record,
        ) {
            Ok(event) => {
                visit(&event, &record);
                ControlFlow::Continue(())
            }
            Err(error) => {
                wrong = Some(error);
                ControlFlow::Break(())
            }
        })?;
        wrong.map_or(Ok(next), Err)
    }
}

#[inline]
fn decode<S: Select>(types: &Types, record: &RecordRef<'_>) -> Result<S::Event, HistoryError> {
    S::decode(types, record).map_err(|reason| HistoryError::Undecodable {
        position: record.position,
        event: record.name.to_owned(),
        reason: reason.to_string(),
    })
}

impl<S: Select> Iterator for Pasts<S> {
    type Item = Result<Past<S::Event>, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (at, record) = match self.next_record() {
            Ok(next) => next?,
            Err(wrong) => return Some(Err(wrong)),
        };
        let event = self.decode(&RecordRef::new(at, &record));
        Some(event.map(|event| Past::new(at, record.envelope, event)))
    }
}

impl<S: Select> FusedIterator for Pasts<S> {}

impl<S> fmt::Debug for Pasts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pasts").field("next", &self.query.from).finish_non_exhaustive()
    }
}
