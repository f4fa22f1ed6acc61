//! Making rows of history, a chunk at a time.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use super::{
    model::Model,
    rows::{At, Cache, Row, RowError, Rows},
    status::Halted,
};
use crate::{
    delivery::{lose, text_of},
    message::Position,
    runtime::ends_process,
    storage::{Query, RecordRef, StorageError, Write},
};

/// The most events of a chunk, unless a test says otherwise.
pub(super) const EVENTS: usize = 65_536;
/// The most rows that a chunk changes, about.
const CHANGED: usize = 16_384;
/// The most bytes that a chunk writes, about. A commit takes twice as much.
const BYTES: usize = 8 * 1024 * 1024;
/// With more rows in memory than this, they are read anew.
const CACHED: usize = 131_072;

/// What some events have made of the rows: to be written together with the place that they end at.
pub(super) struct Chunk {
    pub(super) writes: Vec<Write>,
    pub(super) next: Position,
}

/// Makes rows of history.
pub(super) struct Folder<R> {
    model: Arc<Model<R>>,
    cache: Cache<R>,
    /// Everything before is in the cache, or in storage.
    next: Position,
    /// How many events the next chunk may have.
    most: usize,
    /// What cannot be folded; everything before it can.
    broken: Option<Halted>,
}

/// Why a chunk came to nothing.
enum Wrong {
    /// What comes next cannot be folded.
    Broken(Position, String),
    Storage(StorageError),
}

impl From<StorageError> for Wrong {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl<R: Row> Folder<R> {
    /// For a generation that has everything before `next`.
    pub(super) fn new(model: &Arc<Model<R>>, generation: u64, next: Position) -> Self {
        let (cache, most) = (model.cache(generation), model.most);
        Self { model: Arc::clone(model), cache, next, most, broken: None }
    }

    /// Where it is.
    pub(super) fn next(&self) -> Position {
        self.next
    }

    /// Why it cannot go on from where it is, if it cannot.
    pub(super) fn broken(&self) -> Option<&Halted> {
        self.broken.as_ref().filter(|broken| broken.position <= self.next)
    }

    /// Whether everything that is not in storage yet is in the cache, so that nobody need ask for it.
    pub(super) fn remembers(&self) -> bool {
        (1..=CACHED).contains(&self.cache.len())
    }

    /// Folds a chunk. `None`: nothing of it counts, and it is to be folded anew, once everything that was
    /// folded before is in storage.
    pub(super) fn chunk(&mut self) -> Result<Option<Chunk>, StorageError> {
        if self.cache.len() > CACHED {
            self.cache.clear();
        }
        let (events, reached) = match self.events() {
            Ok(folded) => folded,
            Err(Wrong::Broken(position, reason)) => return Ok(self.break_at(position, reason)),
            Err(Wrong::Storage(StorageError::Truncated { wanted, first })) => {
                self.cache.clear();
                self.next = first;
                let loss = lose(&self.model.name, wanted, first);
                return Ok(Some(Chunk { writes: loss.into_iter().collect(), next: first }));
            }
            Err(Wrong::Storage(error)) => return Err(error),
        };
        let writes = match self.cache.writes() {
            Ok(writes) => writes,
            Err(error) => return Ok(self.break_at(self.next, error.to_string())),
        };
        let size = |write: &Write| write.key.len() + write.value.as_ref().map_or(0, Vec::len);
        if writes.iter().map(size).sum::<usize>() > BYTES && events > 1 {
            self.most = events / 2;
            self.cache.clear();
            return Ok(None);
        }
        self.most = (2 * self.most).min(self.model.most);
        self.next = reached;
        Ok(Some(Chunk { writes, next: reached }))
    }

    fn break_at(&mut self, position: Position, reason: String) -> Option<Chunk> {
        self.broken = Some(Halted { position, reason });
        self.cache.clear();
        None
    }

    /// Returns how many events there were, and where they end.
    fn events(&mut self) -> Result<(usize, Position), Wrong> {
        let Self { model, cache, broken, .. } = self;
        let journal = &model.journal;
        let end = broken.as_ref().map_or_else(|| journal.end(), |broken| broken.position);
        let mut query = Query::from(self.next).to(end);
        query.filter.names = model.folds.iter().map(|(event, _)| Arc::clone(&event.name)).collect();
        let (mut events, mut wrong) = (0, None);
        let reached = journal.visit(&query, &mut |record| {
            if let Err(error) = fold_one(model, cache, &record) {
                wrong = Some(error);
                return ControlFlow::Break(());
            }
            events += 1;
            if events >= self.most || cache.changed() >= CHANGED {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        match wrong {
            Some(wrong) => Err(wrong),
            None => Ok((events, reached?)),
        }
    }
}

/// Makes of a record what its event makes of the rows. The handler is the user's code, which may panic.
#[inline]
fn fold_one<R: Row>(
    model: &Model<R>,
    cache: &mut Cache<R>,
    record: &RecordRef<'_>,
) -> Result<(), Wrong> {
    let wanted = model.folds.iter().find(|(event, _)| *event.name == *record.name);
    let Some((event, fold)) = wanted else { return Ok(()) };
    let broken = |reason: String| Wrong::Broken(record.position, reason);
    let recall = |key: &[u8]| model.journal.get(key);
    let at = At { position: record.position, published_at: record.published_at };
    let mut rows = Rows { cache, recall: &recall, event: at };
    let fold = || fold.record(event, record, &mut rows, model.lateness);
    match catch_unwind(AssertUnwindSafe(fold)) {
        Ok(folded) => folded.map_err(broken)?,
        Err(panic) if ends_process(&*panic) => resume_unwind(panic),
        Err(panic) => return Err(broken(format!("the handler panicked: {}", text_of(&*panic)))),
    }
    match cache.check() {
        Ok(()) => Ok(()),
        Err(RowError::Storage(error)) => Err(error.into()),
        Err(error) => Err(broken(error.to_string())),
    }
}
