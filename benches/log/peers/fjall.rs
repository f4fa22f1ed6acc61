//! fjall, a log-structured merge tree: a counter as the key.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::store::{Publish, Replay};

pub(crate) struct Fjall {
    database: Database,
    log: Keyspace,
    next: AtomicU64,
    mode: PersistMode,
}

impl Fjall {
    /// Each commit is synced.
    pub(crate) fn synced(dir: &Path) -> Self {
        Self::open(dir, PersistMode::SyncData)
    }

    /// Survives a crash of the process, not a power loss.
    pub(crate) fn buffered(dir: &Path) -> Self {
        Self::open(dir, PersistMode::Buffer)
    }

    fn open(dir: &Path, mode: PersistMode) -> Self {
        let database = Database::builder(dir).open().unwrap();
        let log = database.keyspace("log", KeyspaceCreateOptions::default).unwrap();
        Self { database, log, next: AtomicU64::new(0), mode }
    }

    fn key(&self) -> [u8; 8] {
        self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes()
    }
}

impl Publish for Fjall {
    fn append(&self, payload: &[u8]) {
        self.log.insert(self.key(), payload).unwrap();
        if self.mode != PersistMode::Buffer {
            self.database.persist(self.mode).unwrap();
        }
    }

    fn append_all(&self, payloads: &[&[u8]]) {
        let mut batch = self.database.batch().durability(Some(self.mode));
        for payload in payloads {
            batch.insert(&self.log, self.key(), *payload);
        }
        batch.commit().unwrap();
    }
}

impl Replay for Fjall {
    fn events(&self) -> u64 {
        let Some(last) = self.log.last_key_value() else { return 0 };
        let key = last.key().unwrap();
        u64::from_be_bytes(key.as_ref().try_into().unwrap()) + 1
    }

    fn replay(&self) -> u64 {
        self.log.iter().map(|pair| pair.value().unwrap().len() as u64).sum()
    }
}
