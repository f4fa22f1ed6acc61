//! Aggregates: loading, deciding, conflicts, snapshots.

use std::{convert::Infallible, sync::Arc, thread, time::Duration};

use serde::{Deserialize, Serialize};
use tidings::{
    Aggregate, Backoff, Bus, BusBuilder, Event, ExecuteError, HistoryError, Message, Position,
    Unread,
    storage::{MemoryStorage, Storage, Write},
    testing::{Faults, sim},
};

use crate::store::Store;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "accounts.changed")]
enum Changed {
    Deposited(u64),
    Withdrawn(u64),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    cents: u64,
    changes: u64,
}

impl Aggregate for Account {
    type Event = Changed;
    const NAME: &'static str = "accounts";

    fn apply(&mut self, event: &Changed) {
        self.changes += 1;
        match event {
            Changed::Deposited(cents) => self.cents += cents,
            Changed::Withdrawn(cents) => self.cents -= cents,
        }
    }
}

/// The same with other snapshots.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct LaterAccount {
    cents: u64,
    changes: u64,
}

impl Aggregate for LaterAccount {
    type Event = Changed;
    const NAME: &'static str = "accounts";
    const VERSION: u32 = 2;

    fn apply(&mut self, event: &Changed) {
        self.changes += 10;
        if let Changed::Deposited(cents) = event {
            self.cents += cents;
        }
    }
}

impl Account {
    fn withdraw(&self, cents: u64) -> Result<Option<Changed>, u64> {
        if self.cents < cents { Err(self.cents) } else { Ok(Some(Changed::Withdrawn(cents))) }
    }
}

fn deposit(cents: u64) -> impl FnMut(&Account) -> Result<[Changed; 1], Infallible> {
    move |_| Ok([Changed::Deposited(cents)])
}

#[test]
fn a_state_is_what_its_own_events_make_of_it() {
    let bus = Store::new().open();
    let (seven, eight) = (bus.aggregate::<Account>(7), bus.aggregate::<Account>(8));
    assert_eq!(seven.load().unwrap(), tidings::Loaded::default());
    seven.execute(deposit(50)).unwrap();
    eight.execute(deposit(1000)).unwrap();
    let after = seven.execute(|account| account.withdraw(20)).unwrap();
    assert_eq!(after, seven.load().unwrap());
    assert_eq!((after.state.cents, after.events, after.position), (30, 2, Position::new(3)));
}

#[test]
fn what_is_refused_publishes_nothing_and_neither_does_nothing() {
    let bus = Store::new().open();
    let account = bus.aggregate::<Account>(7);
    account.execute(deposit(50)).unwrap();
    let end = bus.end();
    let refused = account.execute(|account| account.withdraw(60)).unwrap_err();
    assert!(matches!(refused, ExecuteError::Refused(50)), "{refused}");
    let same = account.execute(|_| Ok::<_, Infallible>([])).unwrap();
    assert_eq!((same.state.cents, bus.end()), (50, end));
}

#[test]
fn all_events_of_a_decision_are_one() {
    let bus = Store::new().open();
    let account = bus.aggregate::<Account>(7);
    let both = || [Changed::Deposited(50), Changed::Withdrawn(50)];
    account.execute(|_| Ok::<_, Infallible>(both())).unwrap();
    let pasts: Vec<_> =
        bus.history().of::<Changed>().into_iter().map(|past| past.unwrap().into_event()).collect();
    assert_eq!(pasts, both());
}

#[test]
fn who_decided_upon_an_old_state_decides_again() {
    let bus = Store::new().open();
    let account = bus.aggregate::<Account>(7);
    account.execute(deposit(50)).unwrap();
    let mut asked = Vec::new();
    let other = bus.aggregate::<Account>(7);
    let refused = account.execute(|account| {
        asked.push(account.cents);
        if asked.len() == 1 {
            other.execute(|account| account.withdraw(40)).unwrap();
        }
        account.withdraw(40)
    });
    assert!(matches!(refused, Err(ExecuteError::Refused(10))));
    assert_eq!(asked, [50, 10]);
}

#[test]
fn conflicts_end() {
    let bus = Store::new().open();
    let account = bus.aggregate::<Account>(7);
    let account = account.conflict_retry(Backoff::constant(Duration::from_secs(1)).max_attempts(3));
    let other = bus.aggregate::<Account>(7);
    let lost = account.execute(|_| {
        other.execute(deposit(1)).unwrap();
        Ok::<_, Infallible>([Changed::Deposited(1000)])
    });
    assert!(matches!(lost, Err(ExecuteError::Contended { attempts: 3 })));
    assert_eq!(account.load().unwrap().state.cents, 3);
}

#[test]
fn no_two_withdrawals_take_the_same_money() {
    let bus = Bus::builder().storage(MemoryStorage::new()).build().unwrap();
    let bus = Arc::new(bus);
    bus.aggregate::<Account>(7).execute(deposit(200)).unwrap();
    let withdraw = || {
        let bus = Arc::clone(&bus);
        move || {
            let account = bus.aggregate::<Account>(7).snapshot_every(7);
            let account = account.conflict_retry(Backoff::constant(Duration::from_micros(100)));
            let withdraw = |_: &u32| account.execute(|account| account.withdraw(1)).is_ok();
            (0..100).filter(withdraw).count()
        }
    };
    let threads: Vec<_> = (0..3).map(|_| thread::spawn(withdraw())).collect();
    let taken: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(taken, 200);
    assert_eq!(bus.aggregate::<Account>(7).snapshot_every(7).load().unwrap().state.cents, 0);
}

fn snapshot_key() -> Vec<u8> {
    b"aggregate\0accounts\x007".to_vec()
}

#[test]
fn a_snapshot_saves_reading_and_changes_nothing() {
    let store = Store::new();
    let bus = store.open();
    let account = bus.aggregate::<Account>(7).snapshot_every(10);
    for _ in 0..25 {
        account.execute(deposit(1)).unwrap();
    }
    let plain = bus.aggregate::<Account>(7);
    assert_eq!(account.load().unwrap(), plain.load().unwrap());
    // The events in it are not needed any more; one that is not among them is.
    bus.trim(Position::new(20).unwrap(), Unread::Keep).unwrap();
    assert_eq!(account.load().unwrap().events, 25);
    for _ in 0..500 {
        bus.publish(Message::new(Changed::Deposited(1)).key("7")).unwrap();
    }
    bus.trim(bus.end(), Unread::Keep).unwrap();
    assert!(matches!(account.load(), Err(HistoryError::Truncated { .. })));
    assert!(matches!(account.execute(deposit(1)), Err(ExecuteError::Load(_))));
}

#[test]
fn a_snapshot_that_does_not_fit_is_passed_over() {
    let disk = Store::new();
    let bus = disk.open();
    let account = bus.aggregate::<Account>(7).snapshot_every(2);
    for _ in 0..5 {
        account.execute(deposit(3)).unwrap();
    }
    let later = bus.aggregate::<LaterAccount>(7).snapshot_every(2).load().unwrap();
    assert_eq!((later.state.cents, later.state.changes), (15, 50));
    drop((bus, account));
    for stored in [
        &b"{}"[..],
        b"\xff",
        br#"{"version":1,"position":99,"events":9,"state":{"cents":1,"changes":1}}"#,
    ] {
        let storage = disk.storage();
        let writes = vec![Write::put(snapshot_key(), stored)];
        storage.commit(tidings::storage::Commit { writes, ..Default::default() }).unwrap();
        storage.close().unwrap();
        let bus = disk.open();
        let account = bus.aggregate::<Account>(7).snapshot_every(2);
        assert_eq!(account.load().unwrap().state, Account { cents: 15, changes: 5 });
    }
}

#[test]
fn a_volatile_bus_has_no_aggregates() {
    let loaded = Bus::volatile().aggregate::<Account>(7).load();
    assert!(matches!(loaded, Err(HistoryError::Volatile)));
}

/// Every withdrawal leaves its trace, and no money is taken twice, wherever the process dies.
#[test]
fn whatever_dies_the_books_balance() {
    let explored = sim::explore(0..150, Faults::swarm(), |sim| {
        sim.process(BusBuilder::build);
        for number in 0..20_u64 {
            let bus = sim.bus();
            let account = bus.aggregate::<Account>(7).snapshot_every(3);
            let done = if number % 2 == 0 {
                account.execute(deposit(3)).map_err(|error| error.to_string())
            } else {
                account.execute(|account| account.withdraw(2)).map_err(|error| error.to_string())
            };
            sim.note(match done {
                Ok(loaded) => format!("there are {}", loaded.state.cents),
                Err(error) => error,
            });
        }
        sim.settle();
        let bus = sim.bus();
        let plain = bus.aggregate::<Account>(7).load().unwrap();
        let quick = bus.aggregate::<Account>(7).snapshot_every(3).load().unwrap();
        assert_eq!(plain, quick);
    });
    assert_eq!(explored.runs, 150);
}
