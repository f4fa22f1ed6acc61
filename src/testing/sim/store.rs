//! The store of a simulated process: each commit is a moment at which something may go wrong.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use super::{fault::Place, story::describe, world::World};
use crate::{
    delivery::under_way,
    message::Position,
    storage::{
        Commit, Compaction, FileStorage, KeyValue, Page, Query, RecordRef, Storage, StorageError,
        Trim, Upkeep,
    },
};

/// A store with a world around it.
#[derive(Debug)]
pub(super) struct Watched {
    store: FileStorage,
    world: Arc<World>,
}

impl Watched {
    pub(super) const fn new(store: FileStorage, world: Arc<World>) -> Self {
        Self { store, world }
    }

    fn around(
        &self,
        commit: &mut Commit,
        make: impl FnOnce(&mut Commit) -> Result<Position, StorageError>,
    ) -> Result<Position, StorageError> {
        let world = &*self.world;
        let what = Committed::of(commit);
        world.crash_point(|| format!("before {}", what.words()));
        self.check()?;
        if let Some(fault) = world.strikes(Place::Commit) {
            world.break_disk(fault);
        }
        commit.records.iter().for_each(|record| world.trace(&record.payload));
        let told = if world.story.is_told() { &*commit.records } else { &[] };
        let records: Vec<_> = told.iter().map(describe).collect();
        let noted = under_way(&commit.writes);
        let first = make(commit)?;
        self.note_under_way(&noted);
        for (at, record) in (0..).zip(records) {
            let position = first.plus(at);
            world.story.tell(world.now(), || format!("published #{position}: {record}"));
        }
        world.crash_point(|| format!("after {}", what.words()));
        self.check()?;
        Ok(first)
    }

    /// What is stored as under way counts against an event if the process ends, called or not.
    fn note_under_way(&self, noted: &[(String, Position)]) {
        let mut fate = self.world.fate.lock();
        for (subscription, position) in noted {
            fate.begins(subscription, *position);
        }
    }

    /// What is asked of an ended process is not done.
    fn check(&self) -> Result<(), StorageError> {
        if self.world.is_over() { Err(StorageError::Closed) } else { Ok(()) }
    }
}

/// What a commit consists of.
#[derive(Clone, Copy)]
struct Committed {
    events: usize,
    writes: usize,
}

impl Committed {
    fn of(commit: &Commit) -> Self {
        Self { events: commit.records.len(), writes: commit.writes.len() }
    }

    fn words(self) -> String {
        match (self.events, self.writes) {
            (0, _) => "a commit of state alone".into(),
            (events, 0) => format!("a commit of {events} events"),
            (events, _) => format!("a commit of {events} events and state"),
        }
    }
}

impl Storage for Watched {
    fn end(&self) -> Position {
        self.store.end()
    }

    fn first(&self) -> Position {
        self.store.first()
    }

    fn commit(&self, mut commit: Commit) -> Result<Position, StorageError> {
        self.commit_from(&mut commit)
    }

    fn commit_from(&self, commit: &mut Commit) -> Result<Position, StorageError> {
        self.check()?;
        self.around(commit, |commit| self.store.commit_from(commit))
    }

    fn make_room(&self, bytes: u64, urgent: bool) -> Result<(), StorageError> {
        self.store.make_room(bytes, urgent)
    }

    fn read(&self, query: &Query) -> Result<Page, StorageError> {
        self.check()?;
        self.store.read(query)
    }

    fn visit(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<Position, StorageError> {
        self.check()?;
        self.store.visit(query, visit)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.check()?;
        self.store.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        self.check()?;
        self.store.scan(prefix, after, max)
    }

    fn log_bytes(&self) -> u64 {
        self.store.log_bytes()
    }

    fn trim(&self, trim: &Trim) -> Result<Position, StorageError> {
        self.check()?;
        self.store.trim(trim)
    }

    fn compact(&self, compaction: &Compaction) -> Result<u64, StorageError> {
        self.check()?;
        self.store.compact(compaction)
    }

    fn backup(&self, path: &Path) -> Result<(), StorageError> {
        self.check()?;
        self.store.backup(path)
    }

    fn wants_upkeep(&self) -> bool {
        !self.world.is_over() && self.store.wants_upkeep()
    }

    fn upkeep(&self) -> Result<Upkeep, StorageError> {
        self.check()?;
        self.store.upkeep()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.check()?;
        self.store.close()
    }
}
