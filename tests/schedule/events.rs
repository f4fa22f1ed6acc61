//! A reminder, and who notes it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::{Bus, BusBuilder, Error, Event, Message, storage::MemoryStorage, testing::Simulator};

pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const WEEK: Duration = Duration::from_hours(7 * 24);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "reminders.due", key = "user")]
pub(crate) struct Due {
    pub(crate) user: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "users.joined", key = "user")]
pub(crate) struct Joined {
    pub(crate) user: u64,
}

pub(crate) type Seen = Arc<Mutex<Vec<u64>>>;

/// Notes every reminder.
pub(crate) fn note(bus: &Bus, seen: &Seen) -> Result<(), Error> {
    let seen = Arc::clone(seen);
    bus.subscribe("notes").on(move |due: &Due| seen.lock().push(due.user)).start()?;
    Ok(())
}

/// The same as the set-up of a process.
pub(crate) fn noting(seen: &Seen) -> impl Fn(BusBuilder) -> Result<Bus, Error> + use<> {
    let seen = Arc::clone(seen);
    move |builder| {
        let bus = builder.build()?;
        note(&bus, &seen)?;
        Ok(bus)
    }
}

/// On a durable bus and on a volatile one.
pub(crate) fn on_both(test: impl Fn(&Bus, &Simulator, &Seen)) {
    for is_durable in [true, false] {
        let (sim, seen) = (Simulator::new(3), Seen::default());
        let builder = Bus::builder().runtime(sim.runtime());
        let builder = if is_durable { builder.storage(MemoryStorage::new()) } else { builder };
        let bus = builder.build().unwrap();
        note(&bus, &seen).unwrap();
        test(&bus, &sim, &seen);
        assert!(bus.wait_idle(Duration::ZERO), "nothing is left to do");
    }
}

pub(crate) fn in_hours(user: u64, hours: u32) -> tidings::Delayed<Due> {
    Message::new(Due { user }).delay(hours * HOUR)
}
