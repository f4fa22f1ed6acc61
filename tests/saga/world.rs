//! A durable bus on virtual time with a saga on it, and whoever notes what the saga sends.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidings::{
    Bus, Event, Publishable, Start,
    saga::{Condition, Saga, Sagas, Verdict},
    storage::MemoryStorage,
    testing::Simulator,
};

use crate::fulfilment::{
    Fulfilment, RefundPayment, ReleaseStock, ReserveStock, ShipOrder, TakePayment,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

pub(crate) type Sent = Arc<Mutex<Vec<String>>>;

pub(crate) struct World<S: Saga = Fulfilment> {
    pub(crate) sim: Simulator,
    pub(crate) storage: MemoryStorage,
    pub(crate) bus: Bus,
    pub(crate) sagas: Sagas<S>,
    pub(crate) sent: Sent,
}

fn bus(sim: &Simulator, storage: &MemoryStorage) -> Bus {
    Bus::builder().runtime(sim.runtime()).storage(storage.clone()).build().unwrap()
}

pub(crate) fn note<E: Event>(bus: &Bus, sent: &Sent) {
    let sent = Arc::clone(sent);
    let name = format!("notes.{}", E::NAME);
    let note = move |event: &E| sent.lock().push(format!("{} {}", E::NAME, event.key().unwrap()));
    bus.subscribe(&name).on(note).start().unwrap();
}

/// Notes what the fulfilment sends.
fn note_all(bus: &Bus, sent: &Sent) {
    note::<TakePayment>(bus, sent);
    note::<RefundPayment>(bus, sent);
    note::<ReserveStock>(bus, sent);
    note::<ReleaseStock>(bus, sent);
    note::<ShipOrder>(bus, sent);
}

impl<S: Saga> World<S> {
    pub(crate) fn new() -> Self {
        let (sim, storage) = (Simulator::new(1), MemoryStorage::new());
        let bus = bus(&sim, &storage);
        let sent = Sent::default();
        note_all(&bus, &sent);
        let sagas = bus.saga::<S>().start().unwrap();
        Self { sim, storage, bus, sagas, sent }
    }

    /// The process ends, and another begins, perhaps with another saga.
    pub(crate) fn restart<T: Saga>(self) -> World<T> {
        let Self { sim, storage, bus, sent, .. } = self;
        let bus = reopen(&sim, &storage, bus);
        note_all(&bus, &sent);
        let sagas = bus.saga::<T>().start().unwrap();
        World { sim, storage, bus, sagas, sent }
    }

    /// The same, and all that the saga has had comes again.
    pub(crate) fn rewound(self) -> Self {
        let Self { sim, storage, bus, sent, .. } = self;
        let bus = reopen(&sim, &storage, bus);
        note_all(&bus, &sent);
        bus.rewind(S::NAME, Start::Earliest).unwrap();
        let sagas = bus.saga::<S>().start().unwrap();
        Self { sim, storage, bus, sagas, sent }
    }

    pub(crate) fn publish<P: Publishable>(&self, message: P) {
        let published = self.bus.publish(message);
        assert!(published.is_ok(), "{:?}", published.err().map(|error| error.to_string()));
        self.settle();
    }

    /// Whatever can happen now, happens.
    pub(crate) fn settle(&self) {
        self.pass(Duration::ZERO);
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.sim.advance(time);
    }

    pub(crate) fn state(&self, key: u64) -> S {
        self.sagas.get(key.to_string()).unwrap().expect("there is an instance").state
    }

    pub(crate) fn condition(&self, key: u64) -> Condition {
        self.sagas.get(key.to_string()).unwrap().expect("there is an instance").condition
    }

    /// What was sent since the last look.
    pub(crate) fn sent(&self) -> Vec<String> {
        std::mem::take(&mut *self.sent.lock())
    }

    /// What has become of whatever came, the oldest first.
    pub(crate) fn verdicts(&self, key: u64) -> Vec<Verdict> {
        let history = self.sagas.history(key.to_string()).unwrap();
        history.into_iter().map(|entry| entry.verdict).collect()
    }

    pub(crate) fn dead_letters(&self) -> Vec<String> {
        let letters = self.bus.dead_letters(S::NAME).list().unwrap();
        letters.iter().map(|letter| format!("{}: {}", letter.event(), letter.error())).collect()
    }
}

/// The process ends without a word, and another opens what it has left.
pub(crate) fn reopen(sim: &Simulator, storage: &MemoryStorage, old: Bus) -> Bus {
    sim.crash();
    drop(old);
    bus(sim, &storage.reopened())
}
