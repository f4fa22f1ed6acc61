//! Sinks: read models that somebody else keeps, with a transaction of their own.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tidings::{
    Backoff, Bus, BusBuilder, Past, Position, ProjectError, Sink, SubscribeError,
    testing::{
        Faults,
        sim::{self, Run},
    },
};

use crate::shop::{Cancelled, LookedAt, Placed, SECOND, Spent, Store, cancelled, expected, placed};

/// A database: outside of the process, so that it outlives it. A transaction changes all of it, or nothing.
#[derive(Clone, Default)]
struct Database {
    tables: Arc<Mutex<Tables>>,
}

#[derive(Clone, Default)]
struct Tables {
    spent: BTreeMap<String, Spent>,
    next: Option<Position>,
    transactions: usize,
}

impl Database {
    fn rows(&self) -> BTreeMap<String, Spent> {
        let mut rows = self.tables.lock().spent.clone();
        rows.retain(|_, row| *row != Spent::default());
        rows
    }
}

/// What goes wrong with the database, when it is asked.
type Mishap = Box<dyn Fn(&str) -> Result<(), String> + Send>;

struct Spending {
    database: Database,
    mishap: Mishap,
}

impl Spending {
    fn into(database: &Database) -> Self {
        Self { database: database.clone(), mishap: Box::new(|_| Ok(())) }
    }
}

impl Sink for Spending {
    type Events = (Placed, Cancelled);
    type Error = String;

    fn checkpoint(&mut self) -> Result<Option<Position>, String> {
        (self.mishap)("asking for the checkpoint")?;
        Ok(self.database.tables.lock().next)
    }

    fn apply(
        &mut self,
        events: &[Past<tidings::AnyOf<Self::Events>>],
        next: Position,
    ) -> Result<(), String> {
        (self.mishap)("beginning")?;
        let mut changed = self.database.tables.lock().clone();
        for event in events {
            let placed = event.get::<Placed>().map(|order| (order.customer, 1, order.cents));
            let gone = event.get::<Cancelled>().map(|order| (order.customer, -1, -order.cents));
            let (customer, orders, cents) = placed.or(gone).unwrap();
            let row = changed.spent.entry(customer.to_string()).or_default();
            row.orders += orders;
            row.cents += cents;
        }
        changed.next = Some(next);
        changed.transactions += 1;
        *self.database.tables.lock() = changed;
        (self.mishap)("answering that it is committed")
    }
}

fn orders(bus: &Bus, orders: std::ops::Range<u64>) {
    for order in orders {
        bus.publish(placed(order)).unwrap();
        bus.publish(LookedAt).unwrap();
        if order % 3 == 0 {
            bus.publish(cancelled(order)).unwrap();
        }
    }
}

#[test]
fn a_sink_gets_what_was_and_what_comes_in_bulk_and_in_order() {
    let store = Store::new();
    let bus = store.open();
    let database = Database::default();
    orders(&bus, 0..100);
    let feed = bus.project_into("spent", Spending::into(&database)).batch(50).start().unwrap();
    assert!(bus.wait_idle(SECOND));
    assert_eq!(database.rows(), expected(&bus, 1));
    assert_eq!(database.tables.lock().transactions, 3, "134 events, 50 at a time");
    let last = bus.publish(placed(7)).unwrap();
    assert!(feed.wait_applied(last.position, SECOND));
    assert_eq!(database.rows(), expected(&bus, 1));
    assert_eq!((feed.lag(), feed.status().position), (0, Some(bus.end())));
    // Another process goes on where the database is.
    drop((bus, feed));
    let bus = store.open();
    orders(&bus, 200..210);
    bus.project_into("spent", Spending::into(&database)).start().unwrap();
    assert!(bus.wait_idle(SECOND));
    assert_eq!(database.rows(), expected(&bus, 1));
}

#[test]
fn a_sink_that_fails_is_asked_where_it_is_and_goes_on() {
    let bus = Store::new().open();
    let database = Database::default();
    let left = Mutex::new(vec!["answering that it is committed", "asking for the checkpoint"]);
    let mishap = move |what: &str| match left.lock().pop_if(|next| *next == what) {
        Some(what) if what.starts_with("asking") => panic!("no database"),
        Some(what) => Err(what.to_owned()),
        None => Ok(()),
    };
    let sink = Spending { database: database.clone(), mishap: Box::new(mishap) };
    orders(&bus, 0..10);
    let feed = bus.project_into("spent", sink).start().unwrap();
    assert!(!bus.wait_idle(std::time::Duration::ZERO));
    assert!(bus.wait_idle(10 * SECOND));
    assert_eq!(database.rows(), expected(&bus, 1));
    assert_eq!(database.tables.lock().transactions, 1, "it had been committed");
    assert_eq!((feed.status().failed, feed.status().error), (0, None));
}

#[test]
fn after_the_last_attempt_feeding_halts_and_says_why() {
    let bus = Store::new().open();
    let mishap = |what: &str| if what == "beginning" { Err("no room".to_owned()) } else { Ok(()) };
    let sink = Spending { database: Database::default(), mishap: Box::new(mishap) };
    let retry = Backoff::constant(SECOND).max_attempts(3);
    let feed = bus.project_into("spent", sink).retry(retry).start().unwrap();
    let order = bus.publish(placed(1)).unwrap();
    assert!(!feed.wait_applied(order.position, 10 * SECOND));
    let halted = feed.status().halted.unwrap();
    assert_eq!((halted.reason.as_str(), halted.position), ("no room", Position::FIRST));
    assert!(bus.wait_idle(SECOND));
}

#[test]
fn a_sink_that_is_ahead_of_the_log_is_refused() {
    let bus = Store::new().open();
    let database = Database::default();
    database.tables.lock().next = Position::new(1000);
    let feed = bus.project_into("spent", Spending::into(&database)).start().unwrap();
    assert!(bus.wait_idle(SECOND));
    let halted = feed.status().halted.unwrap();
    assert!(halted.reason.starts_with("the sink is at position 1000, and the log ends at 1"));
}

#[test]
fn what_cannot_work_does_not_start() {
    let database = Database::default();
    let start = |bus: &Bus, name: &str| bus.project_into(name, Spending::into(&database)).start();
    let volatile = start(&Bus::volatile(), "spent");
    assert!(matches!(volatile, Err(ProjectError::Volatile { .. })));
    let bus = Store::new().open();
    let twice = start(&bus, "spent").and_then(|_| start(&bus, "spent"));
    let duplicate = ProjectError::from(SubscribeError::DuplicateName { name: "spent feed".into() });
    assert_eq!(twice.unwrap_err().to_string(), duplicate.to_string());
    let invalid = start(&bus, "no name").unwrap_err();
    assert!(matches!(invalid, ProjectError::Subscribe(SubscribeError::InvalidName { .. })));
}

#[test]
fn a_stopped_sink_gets_nothing_more_and_its_name_is_free() {
    let bus = Store::new().open();
    let database = Database::default();
    let feed = bus.project_into("spent", Spending::into(&database)).start().unwrap();
    orders(&bus, 0..10);
    assert!(bus.wait_idle(SECOND));
    let before = database.rows();
    feed.stop();
    orders(&bus, 10..20);
    assert!(bus.wait_idle(SECOND));
    assert_eq!(database.rows(), before);
    bus.project_into("spent", Spending::into(&database)).start().unwrap();
    assert!(bus.wait_idle(SECOND));
    assert_eq!(database.rows(), expected(&bus, 1));
}

/// The database fails before and after it commits, the process dies anywhere: each event counts once.
#[test]
fn whatever_dies_each_event_is_in_the_database_once() {
    let explored = sim::explore(0..300, Faults::swarm(), |sim: &Run| {
        let (database, world) = (Database::default(), sim.clone());
        let outside = database.clone();
        sim.process(move |bus: BusBuilder| -> Result<Bus, tidings::Error> {
            let (bus, chance) = (bus.build()?, world.clone());
            let mishap = move |what: &str| {
                let fails = chance.chance(format!("the database fails while {what}"), 0.1);
                if fails { Err(what.to_owned()) } else { Ok(()) }
            };
            let sink = Spending { database: outside.clone(), mishap: Box::new(mishap) };
            bus.project_into("spent", sink).batch(3).start()?;
            Ok(bus)
        });
        for order in 0..10 {
            sim.publish(placed(order));
            if order % 3 == 0 {
                sim.publish(cancelled(order));
            }
        }
        sim.settle();
        assert_eq!(database.rows(), expected(&sim.bus(), 1));
    });
    assert_eq!(explored.runs, 300);
}
