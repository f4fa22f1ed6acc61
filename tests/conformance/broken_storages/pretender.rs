//! A storage that is honest but for one lie.

use std::{fmt, ops::ControlFlow};

use tidings::{
    Position,
    storage::{
        Commit, FileStorage, KeyValue, Query, RecordRef, Storage, StorageError, Trim, Upkeep,
    },
    testing::{
        MemoryDisk,
        conformance::{StorageFaults, StorageFixture},
    },
};

use super::{Committed, Read, Value};

/// What is said instead of the truth, method by method; the truth unless overridden.
pub(crate) trait Lie: fmt::Debug + Default + Send + Sync + 'static {
    fn end(&self, truth: &FileStorage) -> Position {
        truth.end()
    }

    fn commit(&self, truth: &FileStorage, commit: Commit) -> Committed {
        truth.commit(commit)
    }

    fn read(&self, truth: &FileStorage, query: &Query) -> Read {
        truth.read(query)
    }

    fn visit(
        &self,
        truth: &FileStorage,
        query: &Query,
        visit: &mut dyn FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Committed {
        truth.visit(query, visit)
    }

    fn get(&self, truth: &FileStorage, key: &[u8]) -> Value {
        truth.get(key)
    }

    fn scan(
        &self,
        truth: &FileStorage,
        (prefix, after, max): (&[u8], Option<&[u8]>, usize),
    ) -> Result<Vec<KeyValue>, StorageError> {
        truth.scan(prefix, after, max)
    }

    fn trim(&self, truth: &FileStorage, trim: &Trim) -> Committed {
        truth.trim(trim)
    }

    fn close(&self, truth: &FileStorage) -> Result<(), StorageError> {
        truth.close()
    }
}

/// Tells no lie.
#[derive(Debug, Default)]
pub(crate) struct Honest;

impl Lie for Honest {}

#[derive(Debug)]
pub(crate) struct Pretender<L> {
    truth: FileStorage,
    lie: L,
}

impl<L: Lie> Storage for Pretender<L> {
    fn end(&self) -> Position {
        self.lie.end(&self.truth)
    }

    fn first(&self) -> Position {
        self.truth.first()
    }

    fn commit(&self, commit: Commit) -> Committed {
        self.lie.commit(&self.truth, commit)
    }

    fn read(&self, query: &Query) -> Read {
        self.lie.read(&self.truth, query)
    }

    fn visit(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Committed {
        self.lie.visit(&self.truth, query, visit)
    }

    fn get(&self, key: &[u8]) -> Value {
        self.lie.get(&self.truth, key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        self.lie.scan(&self.truth, (prefix, after, max))
    }

    fn log_bytes(&self) -> u64 {
        self.truth.log_bytes()
    }

    fn trim(&self, trim: &Trim) -> Committed {
        self.lie.trim(&self.truth, trim)
    }

    fn upkeep(&self) -> Result<Upkeep, StorageError> {
        self.truth.upkeep()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.lie.close(&self.truth)
    }
}

/// A store on a disk of its own, opened by a liar.
#[derive(Default)]
pub(crate) struct Fixture<L>(MemoryDisk, std::marker::PhantomData<L>);

impl<L: Lie> StorageFixture for Fixture<L> {
    type Storage = Pretender<L>;

    fn open(&self) -> Result<Pretender<L>, StorageError> {
        let truth = FileStorage::builder("/store").disk(self.0.clone()).open()?;
        Ok(Pretender { truth, lie: L::default() })
    }

    fn persistent(&self) -> bool {
        true
    }

    fn faults(&self) -> Option<&dyn StorageFaults> {
        Some(&self.0)
    }
}
