//! redb, a copy-on-write tree. Only synced: its other mode keeps commits in the process's memory.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::store::{Publish, Replay};

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

pub(crate) struct Redb {
    database: Database,
    next: AtomicU64,
}

impl Redb {
    pub(crate) fn open(dir: &Path) -> Self {
        let database = Database::create(dir.join("log.redb")).unwrap();
        Self { database, next: AtomicU64::new(0) }
    }
}

impl Publish for Redb {
    fn append(&self, payload: &[u8]) {
        self.append_all(&[payload]);
    }

    fn append_all(&self, payloads: &[&[u8]]) {
        let transaction = self.database.begin_write().unwrap();
        let mut log = transaction.open_table(LOG).unwrap();
        for payload in payloads {
            log.insert(self.next.fetch_add(1, Ordering::Relaxed), *payload).unwrap();
        }
        drop(log);
        transaction.commit().unwrap();
    }
}

impl Replay for Redb {
    fn events(&self) -> u64 {
        let log = self.database.begin_read().unwrap().open_table(LOG).unwrap();
        log.last().unwrap().map_or(0, |(key, _)| key.value() + 1)
    }

    fn replay(&self) -> u64 {
        let log = self.database.begin_read().unwrap().open_table(LOG).unwrap();
        log.iter().unwrap().map(|pair| pair.unwrap().1.value().len() as u64).sum()
    }
}
