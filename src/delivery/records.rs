//! Records that parts above the bus keep with a subscription, by a key of their own choice, each in an area
//! of its own beside the state of handlers.

use super::{Context, StateError, Subscriber, keys};
use crate::{
    event::Key,
    journal::Journal,
    storage::{StorageError, Write},
};

/// Whose records they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    /// Instances of sagas, and what waits for them.
    Saga,
    /// What has happened to them.
    SagaHistory,
}

/// A record: its key, its name and its value.
pub(crate) type Record = (Key, String, Vec<u8>);

impl Area {
    const fn name(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::SagaHistory => "saga-history",
        }
    }

    /// What the keys of a subscription's records begin with, or of those of one key.
    fn prefix(self, subscription: &str, key: Option<&Key>) -> Vec<u8> {
        match key {
            Some(key) => keys::named(self.name(), subscription, Some(key), ""),
            None => keys::under(self.name(), subscription),
        }
    }

    fn record(self, subscription: &str, (key, value): (Vec<u8>, Vec<u8>)) -> Option<Record> {
        let named = key.strip_prefix(&*keys::under(self.name(), subscription))?;
        let (key, name) = keys::split_named(named)?;
        Some((key, name.to_owned(), value))
    }
}

/// The records of a subscription that storage has, running or not; those of one key, or all.
pub(crate) fn stored_records(
    journal: &Journal,
    subscription: &str,
    area: Area,
    key: Option<&Key>,
) -> Result<Vec<Record>, StorageError> {
    let stored = journal.scan(&area.prefix(subscription, key))?;
    Ok(stored.into_iter().filter_map(|entry| area.record(subscription, entry)).collect())
}

impl Subscriber {
    /// Its records as of the last commit; those of one key, or all.
    pub(crate) fn records(
        &self,
        area: Area,
        key: Option<&Key>,
    ) -> Result<Vec<Record>, StorageError> {
        if self.is_stored {
            return stored_records(&self.journal, &self.name, area, key);
        }
        let prefix = area.prefix(&self.name, key);
        let memory = self.memory.lock();
        let from = memory.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let found = from.map(|(key, value)| (key.clone(), value.clone()));
        Ok(found.filter_map(|entry| area.record(&self.name, entry)).collect())
    }

    /// One of them.
    pub(crate) fn record(
        &self,
        area: Area,
        key: &Key,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        self.recall(&keys::named(area.name(), &self.name, Some(key), name))
    }
}

impl Context {
    /// A record as this attempt left it, or else the lane, or else storage.
    pub(crate) fn record(
        &self,
        area: Area,
        key: &Key,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StateError> {
        let key = keys::named(area.name(), &self.subscriber.name, Some(key), name);
        Ok(self.recall(&key)?)
    }

    /// Writes a record, or removes it, with the acknowledgement.
    pub(crate) fn write_record(
        &mut self,
        area: Area,
        key: &Key,
        name: &str,
        value: Option<Vec<u8>>,
    ) -> Result<(), StateError> {
        let key = keys::named(area.name(), &self.subscriber.name, Some(key), name);
        self.stage(Write { key, value })
    }
}
