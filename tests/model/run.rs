//! One run under a seed.

use std::{cell::Cell, thread, time::Duration};

use tidings::{
    Bus, DeadLetterError, Position, SettleError, Window,
    storage::FileStorage,
    testing::{Anomaly, End, Fact, History, MemoryDisk, Promises, Simulator},
};

use crate::{
    audit,
    coverage::Coverage,
    draws::{Draws, Faults},
    flow,
    publishing::Publishing,
    pulled::Running,
    subscriptions::{ATTEMPTS, MOST_LANES, SUBSCRIPTIONS, Scene},
};

/// What a run did.
pub(crate) struct Run {
    pub(crate) history: History,
    pub(crate) checked: Result<(), Vec<Anomaly>>,
    pub(crate) trace_hash: u64,
    pub(crate) coverage: Coverage,
}

pub(crate) fn run(seed: u64) -> Run {
    let world = World::new(seed);
    let _story = Story { seed, history: world.scene.history.clone() };
    for _ in 0..=world.draw(4) {
        world.live();
    }
    world.last_life();
    let (sim, history) = (&world.scene.sim, world.scene.history.clone());
    let promises = Promises::durable()
        .durability(world.scene.draws.durability)
        .max_attempts(ATTEMPTS)
        .idempotent("charging");
    let mut coverage = Coverage::of(&history);
    coverage.note("simulated steps", sim.steps());
    coverage.note("changes of lanes", world.lane_changes.get());
    coverage.note("answered questions", world.publishing.answers.get());
    coverage.note("processes with a broken disk", world.broken.get());
    Run { checked: history.check(&promises), history, trace_hash: sim.trace_hash(), coverage }
}

/// Tells what happened if the run panics.
struct Story {
    seed: u64,
    history: History,
}

impl Drop for Story {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{}\nrun it again with TIDINGS_SEED={}", self.history, self.seed);
        }
    }
}

pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) publishing: Publishing,
    disk: MemoryDisk,
    lane_changes: Cell<u64>,
    broken: Cell<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let sim = Simulator::new(seed);
        let draws = Draws::new(&sim);
        let scene = Scene { faults: draws.handlers, draws, sim, history: History::new() };
        Self {
            publishing: Publishing::new(scene.clone()),
            scene,
            disk: MemoryDisk::new(),
            lane_changes: 0.into(),
            broken: 0.into(),
        }
    }

    fn draw(&self, below: u64) -> u64 {
        self.scene.sim.random_below(below)
    }

    fn add(&self, fact: Fact) {
        self.scene.history.add(fact);
    }

    pub(crate) fn storage(&self) -> FileStorage {
        FileStorage::builder("store")
            .disk(self.disk.clone())
            .segment_bytes(self.scene.draws.segment_bytes)
            .open()
            .expect("a crash never makes the log unreadable")
    }

    fn open(&self) -> Bus {
        self.add(Fact::Began);
        let draws = &self.scene.draws;
        let bus = Bus::builder()
            .runtime(self.scene.sim.runtime())
            .storage(self.storage())
            .durability(draws.durability)
            .dedup_window(Window::last(100_000))
            .ring(draws.ring)
            .queue(8)
            .build()
            .unwrap();
        self.add(Fact::LogEnds { position: bus.end() });
        self.note_cursors(&bus);
        bus
    }

    /// How far subscriptions are, as storage knows it.
    fn note_cursors(&self, bus: &Bus) {
        // A broken disk need not tell.
        let Ok(stored) = bus.stored_subscriptions() else { return };
        for stored in stored {
            let position = bus.end().get() - stored.lag;
            let position = Position::new(position).unwrap();
            self.add(Fact::Cursor { subscription: stored.name.into(), position });
        }
    }

    fn start(&self, by: &'static str, bus: &Bus) -> Running {
        Running::start(by, bus, &self.scene, self.scene.draws.pulls).unwrap()
    }

    fn live(&self) {
        let bus = self.open();
        let mut subscriptions: Vec<_> = SUBSCRIPTIONS.map(|by| self.start(by, &bus)).into();
        let (breaks, how) = self.draw_end();
        if breaks {
            self.broken.set(self.broken.get() + 1);
            self.disk.fail_after(self.draw(60));
        }
        for _ in 0..self.draw(40) {
            self.act(&bus, &mut subscriptions);
            subscriptions.iter().for_each(audit::assert_balance);
        }
        for running in &subscriptions {
            self.count_changes(running);
        }
        self.end(how, bus, subscriptions);
    }

    /// Whether storage fails from some call on, and how the process then ends.
    fn draw_end(&self) -> (bool, End) {
        let draws = &self.scene.draws;
        let crash = match self.draw(2) {
            0 if draws.power_losses => End::PowerLost,
            _ => End::Killed,
        };
        match self.draw(3) {
            0 => (false, End::Clean),
            1 if draws.broken_disks => (true, crash),
            _ => (false, crash),
        }
    }

    fn act(&self, bus: &Bus, subscriptions: &mut [Running]) {
        let any = self.draw(subscriptions.len() as u64) as usize;
        let publishing = &self.publishing;
        match self.draw(24) {
            0..3 => publishing.publish(bus),
            3..5 => publishing.enqueue(bus),
            5 => publishing.publish_all(bus),
            6 => publishing.republish(bus),
            7 => publishing.request(bus),
            8 => drop(bus.publish(flow::Noise)),
            9..12 => (0..self.draw(20)).for_each(|_| _ = self.scene.sim.step()),
            12 => self.scene.sim.advance(Duration::from_millis(self.draw(3000))),
            13 => self.jump(),
            14 => {
                let subscription = &subscriptions[any].subscription;
                subscription.pause();
                self.scene.sim.advance(Duration::from_millis(self.draw(100)));
                subscription.resume();
            }
            15 => self.mend(bus, SUBSCRIPTIONS[any]),
            16..18 => {
                let lanes = 1 + self.draw(u64::from(MOST_LANES)) as u32;
                subscriptions[any].subscription.ask_for_lanes(lanes);
                (0..self.draw(8)).for_each(|_| _ = self.scene.sim.step());
            }
            18 => self.wait_settled(bus),
            19..21 => subscriptions.iter_mut().for_each(|running| running.pull(&self.scene)),
            21..23 => subscriptions.iter_mut().for_each(|running| running.settle(&self.scene)),
            _ => self.restart(bus, &mut subscriptions[any]),
        }
    }

    fn jump(&self) {
        if self.scene.draws.jumps {
            self.scene.sim.advance(Duration::from_secs(self.draw(300)));
        }
    }

    /// Stops a subscription, sometimes without giving it time, and starts it with other lanes.
    fn restart(&self, bus: &Bus, running: &mut Running) {
        let by = running.by;
        self.count_changes(running);
        running.stop(Duration::from_millis(self.draw(3)), &self.scene);
        // After a broken disk nothing starts any more.
        if let Ok(started) = Running::start(by, bus, &self.scene, self.scene.draws.pulls) {
            *running = started;
        }
    }

    fn count_changes(&self, running: &Running) {
        let changes = running.subscription.status().lane_changes;
        self.lane_changes.set(self.lane_changes.get() + changes);
    }

    /// Retries or discards dead letters.
    fn mend(&self, bus: &Bus, by: &'static str) {
        let letters = bus.dead_letters(by);
        let Ok(list) = letters.list() else { return };
        if self.draw(3) > 0 {
            for letter in &list {
                self.add(Fact::Revived { subscription: by.into(), event: flow::event_of(letter) });
            }
            letters.retry_all().ok();
            return;
        }
        let Some(letter) = list.first() else { return };
        // Where the disk breaks, nobody knows whether it is gone.
        let certain = match letters.discard(letter.position()) {
            Ok(()) => true,
            Err(DeadLetterError::Storage(_)) => false,
            Err(_) => return,
        };
        let event = flow::event_of(letter);
        self.add(Fact::Discarded { subscription: by.into(), event, certain });
    }

    /// Waits a little for a subscription to be done with an event.
    fn wait_settled(&self, bus: &Bus) {
        let Some((event, receipt)) = self.publishing.receipt() else { return };
        let by = ["plain", "counting", "charging", "pulled"][self.draw(4) as usize];
        let subscription = by.into();
        match receipt.settled_by(bus, by, Duration::from_millis(self.draw(50))) {
            Ok(()) => self.add(Fact::Settled { subscription, event }),
            Err(SettleError::Dead { .. }) => self.add(Fact::Dead { subscription, event }),
            Err(_) => {}
        }
    }

    fn end(&self, how: End, bus: Bus, subscriptions: Vec<Running>) {
        self.publishing.finish();
        self.note_cursors(&bus);
        if how == End::Clean {
            bus.shutdown(Duration::from_secs(self.draw(5))).unwrap();
        } else {
            self.scene.sim.crash();
        }
        match how {
            End::Killed => self.disk.kill(),
            End::PowerLost => self.disk.crash(self.draw(u64::MAX)),
            _ => {}
        }
        drop((subscriptions, bus));
        self.disk.heal();
        self.add(Fact::Ended { how });
    }

    /// No more faults: everything has to come to its rest.
    fn last_life(&self) {
        let scene = Scene { faults: Faults::NONE, ..self.scene.clone() };
        let bus = self.open();
        let start = |by| Running::start(by, &bus, &scene, false).unwrap().subscription;
        let subscriptions = SUBSCRIPTIONS.map(start);
        scene.sim.run_until_idle();
        for subscription in &subscriptions {
            assert_eq!(subscription.lag(), 0, "{subscription:?} does not come to rest");
        }
        self.note_cursors(&bus);
        audit::audit(self, bus, &subscriptions);
    }
}
