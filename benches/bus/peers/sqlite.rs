//! `SQLite` in WAL mode: a table of events and one of cursors. Two connections, so that reading does
//! not wait for the sync of a write, and cursors are not synced one by one.

use std::{path::Path, sync::Mutex};

use rusqlite::{Connection, params};

use super::hand_made::Store;

pub(crate) struct Sqlite {
    /// Each of its transactions is synced. Locked by whoever writes: the file has one writer.
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Sqlite {
    pub(crate) fn open(dir: &Path) -> Self {
        let connect = |synchronous: &str| {
            let connection = Connection::open(dir.join("queue.sqlite")).unwrap();
            connection.pragma_update(None, "journal_mode", "WAL").unwrap();
            connection.pragma_update(None, "synchronous", synchronous).unwrap();
            connection
        };
        let writer = connect("FULL");
        let create = "CREATE TABLE log (id INTEGER PRIMARY KEY, payload BLOB NOT NULL);
            CREATE TABLE cursors (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;";
        writer.execute_batch(create).unwrap();
        Self { writer: Mutex::new(writer), reader: Mutex::new(connect("NORMAL")) }
    }
}

fn signed(number: u64) -> i64 {
    number.try_into().unwrap()
}

impl Store for Sqlite {
    fn append(&self, first: u64, payloads: &[&[u8]]) {
        let mut connection = self.writer.lock().unwrap();
        let transaction = connection.transaction().unwrap();
        let insert = "INSERT INTO log (id, payload) VALUES (?1, ?2)";
        let mut insert = transaction.prepare_cached(insert).unwrap();
        for (number, payload) in (first..).zip(payloads) {
            insert.execute(params![signed(number), payload]).unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
    }

    fn read(&self, from: u64, to: u64, visit: &mut dyn FnMut(&[u8])) {
        let connection = self.reader.lock().unwrap();
        let select = "SELECT payload FROM log WHERE id >= ?1 AND id < ?2 ORDER BY id";
        let mut select = connection.prepare_cached(select).unwrap();
        let mut rows = select.query([signed(from), signed(to)]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            visit(row.get_ref(0).unwrap().as_blob().unwrap());
        }
    }

    fn keep_cursor(&self, next: u64) {
        let _only_writer = self.writer.lock().unwrap();
        let connection = self.reader.lock().unwrap();
        let keep = "INSERT OR REPLACE INTO cursors VALUES ('reader', ?1)";
        connection.prepare_cached(keep).unwrap().execute([signed(next)]).unwrap();
    }
}
