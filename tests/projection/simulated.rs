//! Whatever dies, and whenever: the rows are what the log makes of them, each event once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;
use tidings::{
    Bus, BusBuilder, View,
    testing::{
        Faults,
        sim::{self, Run},
    },
};

use crate::shop::{SECOND, Spent, cancelled, expected, placed, rows, spending};

/// A process with the projection in some version, and, where that is a later one, the one before it.
struct Shop {
    version: Arc<AtomicU32>,
    view: Arc<Mutex<Option<View<Spent>>>>,
}

impl Shop {
    fn open(sim: &Run, keeps_old: bool) -> Self {
        let shop = Self { version: Arc::new(AtomicU32::new(1)), view: Arc::default() };
        let (version, view) = (Arc::clone(&shop.version), Arc::clone(&shop.view));
        sim.process(move |bus: BusBuilder| -> Result<Bus, tidings::Error> {
            let bus = bus.build()?;
            let version = version.load(Ordering::Relaxed);
            if keeps_old && version > 1 {
                // Refused once the later version is there.
                drop(spending(&bus, version - 1).build_in_chunks_of(4).start());
            }
            let started = spending(&bus, version).build_in_chunks_of(4).start();
            *view.lock() = Some(started.map_err(tidings::Error::from)?);
            Ok(bus)
        });
        shop
    }

    fn view(&self) -> Option<View<Spent>> {
        self.view.lock().clone()
    }

    fn upgrade(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    fn check(&self, sim: &Run) {
        sim.settle();
        let version = self.version.load(Ordering::Relaxed);
        let (bus, view) = (sim.bus(), self.view().unwrap());
        let status = view.status().unwrap();
        assert!(view.wait_built(SECOND), "{status:?}");
        assert_eq!(view.status().unwrap().serving, Some(version));
        assert_eq!(rows(&view), expected(&bus, version));
    }
}

fn orders(sim: &Run, from: u64, count: u64) {
    for order in from..from + count {
        sim.publish(placed(order));
        if order % 3 == 0 {
            sim.publish(cancelled(order));
        }
    }
}

/// A projection that is built, lives, is built anew, and gets another version.
fn life(sim: &Run) {
    let shop = Shop::open(sim, sim.random_below(2) == 0);
    orders(sim, 0, 5);
    if let Some(view) = shop.view() {
        sim.note(match view.rebuild() {
            Ok(()) => "a rebuild begins".to_owned(),
            Err(error) => error.to_string(),
        });
    }
    orders(sim, 5, 3);
    shop.check(sim);
    shop.upgrade();
    sim.restart(SECOND);
    orders(sim, 8, 4);
    shop.check(sim);
}

#[test]
fn rows_are_what_the_log_makes_of_them_whatever_goes_wrong() {
    let explored = sim::explore(0..300, Faults::swarm(), life);
    assert_eq!(explored.runs, 300);
    assert!(explored.faults.len() >= 4, "{explored}");
}

#[test]
fn rows_are_what_the_log_makes_of_them_wherever_the_process_dies() {
    let explored = sim::exhaustive(|sim| {
        let shop = Shop::open(sim, false);
        orders(sim, 0, 3);
        if let Some(view) = shop.view() {
            drop(view.rebuild());
        }
        orders(sim, 3, 2);
        shop.check(sim);
    });
    assert!(explored.runs > 50, "{explored}");
}
