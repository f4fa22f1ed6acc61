//! A storage that a test is let in on: it sees, delays and answers what is asked.

use std::fmt;

use tidings::{
    Position,
    storage::{Commit, KeyValue, Page, Query, Storage, StorageError},
};

type Hook<In, Out> = Box<dyn Fn(&In) -> Result<Out, StorageError> + Send + Sync>;

/// A storage with something that is done before it is asked.
pub(crate) struct Hooked<S> {
    storage: S,
    before_commit: Hook<Commit, ()>,
    before_read: Hook<Query, Option<Page>>,
    before_scan: Hook<[u8], ()>,
}

impl<S> Hooked<S> {
    pub(crate) fn new(storage: S) -> Self {
        Self {
            storage,
            before_commit: Box::new(|_| Ok(())),
            before_read: Box::new(|_| Ok(None)),
            before_scan: Box::new(|_| Ok(())),
        }
    }

    pub(crate) fn before_commit(
        mut self,
        hook: impl Fn(&Commit) -> Result<(), StorageError> + Send + Sync + 'static,
    ) -> Self {
        self.before_commit = Box::new(hook);
        self
    }

    /// May answer in the storage's stead.
    pub(crate) fn before_read(
        mut self,
        hook: impl Fn(&Query) -> Result<Option<Page>, StorageError> + Send + Sync + 'static,
    ) -> Self {
        self.before_read = Box::new(hook);
        self
    }

    /// With the prefix of the keys.
    pub(crate) fn before_scan(
        mut self,
        hook: impl Fn(&[u8]) -> Result<(), StorageError> + Send + Sync + 'static,
    ) -> Self {
        self.before_scan = Box::new(hook);
        self
    }
}

impl<S: Storage> Storage for Hooked<S> {
    fn end(&self) -> Position {
        self.storage.end()
    }

    fn first(&self) -> Position {
        self.storage.first()
    }

    fn commit(&self, commit: Commit) -> Result<Position, StorageError> {
        (self.before_commit)(&commit)?;
        self.storage.commit(commit)
    }

    fn read(&self, query: &Query) -> Result<Page, StorageError> {
        match (self.before_read)(query)? {
            Some(page) => Ok(page),
            None => self.storage.read(query),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.storage.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        (self.before_scan)(prefix)?;
        self.storage.scan(prefix, after, max)
    }

    fn close(&self) -> Result<(), StorageError> {
        self.storage.close()
    }
}

impl<S: fmt::Debug> fmt::Debug for Hooked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooked").field("storage", &self.storage).finish_non_exhaustive()
    }
}

/// What a storage answers that has nothing from there on.
pub(crate) fn nothing(query: &Query) -> Page {
    Page { records: Vec::new(), next: query.from }
}
