//! `SQLite` in WAL mode, one row an event.

use std::{path::Path, sync::Mutex};

use rusqlite::Connection;

use crate::store::{Publish, Replay};

pub(crate) struct Sqlite(Mutex<Connection>);

const INSERT: &str = "INSERT INTO log (payload) VALUES (?1)";

impl Sqlite {
    /// Each transaction is synced.
    pub(crate) fn full(dir: &Path) -> Self {
        Self::open(dir, "FULL")
    }

    /// Survives a crash of the process, not a power loss.
    pub(crate) fn normal(dir: &Path) -> Self {
        Self::open(dir, "NORMAL")
    }

    fn open(dir: &Path, synchronous: &str) -> Self {
        let connection = Connection::open(dir.join("log.sqlite")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "synchronous", synchronous).unwrap();
        let create =
            "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)";
        connection.execute(create, []).unwrap();
        Self(Mutex::new(connection))
    }
}

impl Publish for Sqlite {
    fn append(&self, payload: &[u8]) {
        let connection = self.0.lock().unwrap();
        connection.prepare_cached(INSERT).unwrap().execute([payload]).unwrap();
    }

    fn append_all(&self, payloads: &[&[u8]]) {
        let mut connection = self.0.lock().unwrap();
        let transaction = connection.transaction().unwrap();
        let mut insert = transaction.prepare_cached(INSERT).unwrap();
        for payload in payloads {
            insert.execute([payload]).unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
    }
}

impl Replay for Sqlite {
    fn events(&self) -> u64 {
        let connection = self.0.lock().unwrap();
        let last = "SELECT ifnull(max(id), 0) FROM log";
        connection.query_row(last, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
    }

    fn replay(&self) -> u64 {
        let connection = self.0.lock().unwrap();
        let mut select = connection.prepare_cached("SELECT payload FROM log ORDER BY id").unwrap();
        let mut rows = select.query([]).unwrap();
        let mut bytes = 0;
        while let Some(row) = rows.next().unwrap() {
            bytes += row.get_ref(0).unwrap().as_blob().unwrap().len() as u64;
        }
        bytes
    }
}
