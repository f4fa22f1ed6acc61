//! Building rows of a whole log: what 10,000 customers have spent, by a million orders.
//!
//! The figure is events a second, until the rows and the place that they stop at are kept, as one for each 65,536
//! events. `ours` and `sqlite` have the orders in postcard, `ours-json` in tidings' default.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    time::Instant,
};

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Durability, Event, View,
    codec::{Codec, CodecError},
};
use tidings_bench::{Bench, Contender, Unit, timing::rate};

const CUSTOMERS: u64 = 10_000;
const CHUNK: usize = 65_536;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "bench.spent", codec = "Postcard")]
struct Spent {
    order: u64,
    customer: u64,
    cents: u64,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "bench.spent-json")]
struct SpentJson {
    order: u64,
    customer: u64,
    cents: u64,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Totals {
    orders: u64,
    cents: u64,
}

struct Postcard;

impl Codec<Spent> for Postcard {
    fn name(&self) -> &'static str {
        "postcard"
    }

    fn encode(&self, event: &Spent, out: &mut Vec<u8>) -> Result<(), CodecError> {
        *out = postcard::to_extend(event, std::mem::take(out)).map_err(CodecError::new)?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Spent, CodecError> {
        postcard::from_bytes(bytes).map_err(CodecError::new)
    }
}

fn customer(order: u64) -> u64 {
    order * 7919 % CUSTOMERS
}

fn spent(order: u64) -> Spent {
    Spent { order, customer: customer(order), cents: order % 5000 }
}

fn spent_json(order: u64) -> SpentJson {
    SpentJson { order, customer: customer(order), cents: order % 5000 }
}

/// Events a second; each round builds the rows anew.
pub(crate) fn build(bench: &Bench, name: &str) {
    let orders = bench.many(1_000_000, 200_000);
    let directories = [(); 3].map(|()| bench.directory().fresh().unwrap());
    let [ours, json, sqlite] = &directories;
    let contenders = vec![
        ours_of(ours.path(), orders, "ours", spent, |bus| {
            let totals = bus.project::<Totals>("totals", 1);
            totals.on(|event: &Spent, rows| count(rows.at(event.customer), event.cents)).start()
        }),
        ours_of(json.path(), orders, "ours-json", spent_json, |bus| {
            let totals = bus.project::<Totals>("totals", 1);
            totals.on(|event: &SpentJson, rows| count(rows.at(event.customer), event.cents)).start()
        }),
        sqlite_of(sqlite.path(), orders),
    ];
    bench.compare(name, Unit::EventsPerSecond, contenders);
}

fn count(row: &mut Totals, cents: u64) {
    row.orders += 1;
    row.cents += cents;
}

fn ours_of<'a, E: Event>(
    dir: &Path,
    orders: u64,
    name: &'static str,
    event: fn(u64) -> E,
    start: fn(&Bus) -> Result<View<Totals>, tidings::ProjectError>,
) -> Contender<'a> {
    let bus = Bus::builder().durability(Durability::Buffered).open(dir).unwrap();
    let publisher = bus.publisher::<E>().unwrap();
    for first in (0..orders).step_by(1000) {
        publisher.publish_batch(&mut (first..first + 1000).map(event).collect()).unwrap();
    }
    let view = start(&bus).unwrap();
    assert!(bus.wait_idle(PATIENCE));
    Contender::new(name, move || {
        let begun = Instant::now();
        view.rebuild().unwrap();
        assert!(view.wait_built(PATIENCE));
        let figure = rate(orders, begun.elapsed());
        assert!(bus.wait_idle(PATIENCE)); // the old rows are removed
        let built: u64 = view.iter().map(|row| row.unwrap().1.orders).sum();
        assert_eq!(built, orders);
        figure
    })
}

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// A table of events, and one of rows beside one of cursors, by hand.
fn sqlite_of<'a>(dir: &Path, orders: u64) -> Contender<'a> {
    let mut database = Connection::open(dir.join("totals.sqlite")).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.pragma_update(None, "synchronous", "NORMAL").unwrap();
    let create = "CREATE TABLE log (id INTEGER PRIMARY KEY, payload BLOB NOT NULL);
        CREATE TABLE rows (customer INTEGER PRIMARY KEY, orders INTEGER, cents INTEGER);
        CREATE TABLE cursors (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;";
    database.execute_batch(create).unwrap();
    let filling = database.transaction().unwrap();
    let mut insert = filling.prepare("INSERT INTO log (payload) VALUES (?1)").unwrap();
    for order in 0..orders {
        insert.execute([postcard::to_stdvec(&spent(order)).unwrap()]).unwrap();
    }
    drop(insert);
    filling.commit().unwrap();
    Contender::new("sqlite", move || {
        database.execute("DELETE FROM rows", []).unwrap();
        let begun = Instant::now();
        fold_sqlite(&mut database);
        let figure = rate(orders, begun.elapsed());
        let built = database.query_row("SELECT sum(orders) FROM rows", [], |row| row.get(0));
        assert_eq!(built.map(i64::cast_unsigned).unwrap(), orders);
        figure
    })
}

fn fold_sqlite(database: &mut Connection) {
    let mut rows: HashMap<u64, Totals> = HashMap::new();
    let mut next = 0_i64;
    loop {
        let transaction = database.transaction().unwrap();
        let select = "SELECT id, payload FROM log WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut select = transaction.prepare_cached(select).unwrap();
        let mut changed: HashSet<u64> = HashSet::new();
        let before = next;
        let mut events = select.query(params![next, i64::try_from(CHUNK).unwrap()]).unwrap();
        while let Some(event) = events.next().unwrap() {
            next = event.get(0).unwrap();
            let payload = event.get_ref(1).unwrap().as_blob().unwrap();
            let event: Spent = postcard::from_bytes(payload).unwrap();
            count(rows.entry(event.customer).or_default(), event.cents);
            changed.insert(event.customer);
        }
        drop(events);
        drop(select);
        if next == before {
            return;
        }
        let upsert = "INSERT OR REPLACE INTO rows VALUES (?1, ?2, ?3)";
        let mut upsert = transaction.prepare_cached(upsert).unwrap();
        for customer in changed {
            let Totals { orders, cents } = rows[&customer];
            let row = [customer, orders, cents].map(u64::cast_signed);
            upsert.execute(row).unwrap();
        }
        drop(upsert);
        let keep = "INSERT OR REPLACE INTO cursors VALUES ('totals', ?1)";
        transaction.execute(keep, [next]).unwrap();
        transaction.commit().unwrap();
    }
}
