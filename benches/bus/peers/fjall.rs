//! fjall: a keyspace for the events, another for the cursor.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::hand_made::Store;

pub(crate) struct Fjall {
    database: Database,
    log: Keyspace,
    cursors: Keyspace,
}

impl Fjall {
    pub(crate) fn open(dir: &Path) -> Self {
        let database = Database::builder(dir).open().unwrap();
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
        let (log, cursors) = (keyspace("log"), keyspace("cursors"));
        Self { database, log, cursors }
    }
}

impl Store for Fjall {
    fn append(&self, first: u64, payloads: &[&[u8]]) {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (number, payload) in (first..).zip(payloads) {
            batch.insert(&self.log, number.to_be_bytes(), *payload);
        }
        batch.commit().unwrap();
    }

    fn read(&self, from: u64, to: u64, visit: &mut dyn FnMut(&[u8])) {
        for pair in self.log.range(from.to_be_bytes()..to.to_be_bytes()) {
            visit(&pair.value().unwrap());
        }
    }

    fn keep_cursor(&self, next: u64) {
        self.cursors.insert("reader", next.to_be_bytes()).unwrap();
    }
}
