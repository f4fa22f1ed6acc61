//! Several sorted sources as one, where newer ones hide older ones.

use std::sync::Arc;

use super::{
    Entry,
    run::{Run, RunCursor},
};
use crate::storage::StorageError;

/// Several sorted sources as one.
pub(super) struct Merge<'a> {
    /// Newest first.
    sources: Vec<Source<'a>>,
}

struct Source<'a> {
    entries: Entries<'a>,
    head: Option<Entry>,
}

enum Entries<'a> {
    Overlay(Box<dyn Iterator<Item = Entry> + 'a>),
    Run(RunCursor),
}

impl Source<'_> {
    fn advance(&mut self) -> Result<Option<Entry>, StorageError> {
        let next = match &mut self.entries {
            Entries::Overlay(entries) => entries.next(),
            Entries::Run(cursor) => cursor.next()?,
        };
        Ok(std::mem::replace(&mut self.head, next))
    }
}

impl<'a> Merge<'a> {
    pub(super) fn new() -> Self {
        Self { sources: Vec::new() }
    }

    /// Adds entries in memory, older than what was added before.
    pub(super) fn overlay(&mut self, entries: impl Iterator<Item = Entry> + 'a) {
        let mut entries: Box<dyn Iterator<Item = Entry> + 'a> = Box::new(entries);
        let head = entries.next();
        self.sources.push(Source { entries: Entries::Overlay(entries), head });
    }

    /// Adds a run, from the block on that may hold `key`; older than what was added before.
    pub(super) fn run(&mut self, run: &Arc<Run>, key: &[u8]) -> Result<(), StorageError> {
        let mut cursor = RunCursor::new(Arc::clone(run), key);
        let head = cursor.next()?;
        self.sources.push(Source { entries: Entries::Run(cursor), head });
        Ok(())
    }

    /// The entry with the next key, as the newest source has it.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, StorageError> {
        let heads = self.sources.iter().enumerate();
        let heads = heads.filter_map(|(at, source)| Some((&source.head.as_ref()?.0, at)));
        let Some((key, newest)) = heads.min() else { return Ok(None) };
        let key = key.clone();
        let mut found = None;
        for source in self.sources.iter_mut().skip(newest) {
            if source.head.as_ref().is_some_and(|(head, _)| *head == key) {
                let entry = source.advance()?;
                found = found.or(entry);
            }
        }
        Ok(found)
    }
}
