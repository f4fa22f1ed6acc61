//! One run under a seed.

use std::{sync::Arc, thread, time::Duration};

use tidings::{
    Bus, Position, Runtime, SettleError, SubscribeError, Subscription, Window,
    storage::FileStorage,
    testing::{Anomaly, End, Fact, History, MemoryDisk, Mistake, Promises, Simulator},
};

use crate::{
    asynchronous::Tokio,
    audit::{self, Audited},
    coverage::Coverage,
    draws::{Draws, Faults},
    fate::Fate,
    flow,
    letters::Undertaker,
    meter::Meter,
    notes::Notes,
    protection::draw_budget,
    publishing::Publishing,
    pulled::Running,
    subscriptions::{ATTEMPTS, MOST_LANES, SUBSCRIPTIONS, Scene},
};

/// How many steps the last process takes at most until nothing is left to do.
const MOST_STEPS: u64 = 100_000;

/// How many steps a run takes at most in which a mistake is planted.
const MOST_STEPS_WRONG: u64 = 250_000;

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
    world.run()
}

/// The same with a mistake in the bus.
pub(crate) fn run_wrong(seed: u64, mistake: Mistake) -> Run {
    let world = World { planted: Some(mistake), ..World::new(seed) };
    world.scene.sim.limit_steps(MOST_STEPS_WRONG);
    world.run()
}

fn promises(draws: &Draws) -> Promises {
    let promises = Promises::durable()
        .durability(draws.durability)
        .max_attempts(ATTEMPTS)
        .idempotent("charging");
    SUBSCRIPTIONS.iter().fold(promises, |promises, by| {
        let promises = if draws.holds_keys { promises.holds_keys(by) } else { promises };
        if draws.protections.breakers { promises.probes(by) } else { promises }
    })
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
    pub(crate) letters: Undertaker,
    disk: MemoryDisk,
    tokio: Tokio,
    planted: Option<Mistake>,
}

impl World {
    fn run(&self) -> Run {
        for _ in 0..=self.draw(4) {
            self.live();
        }
        let audited = self.last_life();
        let (sim, history) = (&self.scene.sim, self.scene.history.clone());
        self.scene.notes.add("simulated steps", sim.steps());
        let coverage = Coverage::of(&history, &self.scene.notes);
        let checked = history.check(&promises(&self.scene.draws));
        if checked.is_ok() {
            audited.assert_right();
            self.scene.notes.assert_nothing_wrong();
        }
        Run { checked, history, trace_hash: sim.trace_hash(), coverage }
    }

    fn new(seed: u64) -> Self {
        let sim = Simulator::new(seed);
        let draws = Draws::new(&sim);
        let disk = MemoryDisk::new();
        let scene = Scene {
            faults: draws.handlers,
            draws,
            sim,
            history: History::new(),
            notes: Notes::default(),
            fate: Fate::new(disk.clone()),
            tokio: None,
            meter: Arc::new(Meter::default()),
            over: Arc::default(),
            dry: Arc::default(),
        };
        Self {
            publishing: Publishing::new(scene.clone()),
            letters: Undertaker::new(scene.clone()),
            scene,
            disk,
            tokio: Tokio::default(),
            planted: None,
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
        self.scene.fate.begin();
        self.tokio.begin();
        let draws = &self.scene.draws;
        let mut builder = Bus::builder();
        if draws.protections.pool_budget {
            builder = builder.pool_retry_budget(Runtime::DEFAULT_POOL, draw_budget(&self.scene));
        }
        if let Some(mistake) = self.planted {
            builder = builder.plant(mistake);
        }
        let bus = builder
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
            self.letters.note_behind(bus, &stored.name);
            let position = bus.end().get() - stored.lag;
            let position = Position::new(position).unwrap();
            self.add(Fact::Cursor { subscription: stored.name.into(), position });
        }
    }

    fn start(&self, by: &'static str, bus: &Bus) -> Result<Running, SubscribeError> {
        let scene = Scene { tokio: self.tokio.handle(), ..self.scene.clone() };
        Running::start(by, bus, &scene, scene.draws.pulls)
    }

    fn live(&self) {
        let bus = self.open();
        let mut subscriptions: Vec<_> =
            SUBSCRIPTIONS.map(|by| self.start(by, &bus).unwrap()).into();
        let (breaks, how) = self.draw_end();
        if breaks {
            self.scene.notes.note("processes with a broken disk");
            self.disk.fail_after(self.draw(60));
        }
        for _ in 0..self.draw(40) {
            self.act(&bus, &mut subscriptions);
            if self.scene.fate.has_struck() {
                break;
            }
            for running in &mut subscriptions {
                self.look_after(&bus, running);
            }
        }
        for running in &subscriptions {
            self.count_changes(running);
        }
        self.end(how, bus, subscriptions);
    }

    fn look_after(&self, bus: &Bus, running: &mut Running) {
        running.note_late();
        audit::assert_balance(running);
        self.letters.watch(bus, running.by);
        if running.subscription.status().shed {
            self.scene.notes.note("subscriptions that were shed");
        }
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
        match self.draw(26) {
            0..3 => publishing.publish(bus),
            3..5 => publishing.enqueue(bus),
            5 => publishing.publish_all(bus),
            6 => publishing.republish(bus),
            7 => publishing.request(bus),
            8 => drop(bus.publish(flow::Noise)),
            9..12 => self.steps(20),
            12 => self.advance(Duration::from_millis(self.draw(3000))),
            13 => self.jump(),
            14 => {
                let subscription = &subscriptions[any].subscription;
                subscription.pause();
                self.scene.sim.advance(Duration::from_millis(self.draw(100)));
                subscription.resume();
            }
            15 | 24 => self.letters.mend(bus, publishing, &subscriptions[any].subscription),
            16..18 => {
                let lanes = 1 + self.draw(u64::from(MOST_LANES)) as u32;
                subscriptions[any].subscription.ask_for_lanes(lanes);
                self.steps(8);
            }
            18 => self.wait_settled(bus),
            19..21 => subscriptions.iter_mut().for_each(Running::pull),
            21..23 => subscriptions.iter_mut().for_each(Running::settle),
            23 if self.scene.draws.protections.sheds => {
                self.scene.sim.overload(Duration::from_millis(self.draw(5000)));
            }
            _ => self.restart(bus, &mut subscriptions[any]),
        }
    }

    fn jump(&self) {
        if self.scene.draws.jumps {
            self.advance(Duration::from_secs(self.draw(300)));
        }
    }

    fn steps(&self, most: u64) {
        let step = || {
            _ = self.scene.sim.step();
            if self.draw(3) == 0 {
                self.tokio.step();
            }
        };
        self.scene.fate.tempt(|| (0..self.draw(most)).for_each(|_| step()));
    }

    fn advance(&self, time: Duration) {
        self.scene.fate.tempt(|| self.scene.sim.advance(time));
        if !self.scene.fate.has_struck() {
            self.tokio.step();
        }
    }

    /// Stops a subscription, sometimes without giving it time, and starts it with other lanes.
    fn restart(&self, bus: &Bus, running: &mut Running) {
        let by = running.by;
        self.count_changes(running);
        running.stop(Duration::from_millis(self.draw(3)));
        self.letters.retry_at_start(bus, by);
        // After a broken disk nothing starts any more.
        if let Ok(started) = self.start(by, bus) {
            *running = started;
        }
    }

    fn count_changes(&self, running: &Running) {
        let changes = running.subscription.status().lane_changes;
        self.scene.notes.add("changes of lanes", changes);
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
        if self.scene.fate.has_struck() {
            drop((subscriptions, bus));
            self.letters.end(false);
            self.tokio.end();
            self.disk.heal();
            return;
        }
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
        subscriptions.iter().for_each(Running::end);
        self.letters.end(how == End::PowerLost);
        self.tokio.end();
        drop((subscriptions, bus));
        self.disk.heal();
        self.add(Fact::Ended { how });
    }

    fn rest(&self, subscriptions: &[Subscription]) {
        let sim = &self.scene.sim;
        let begun = sim.steps();
        while self.tokio.step() | sim.step() {
            let steps = sim.steps() - begun;
            assert!(steps < MOST_STEPS, "the last process does not come to rest");
        }
        for subscription in subscriptions {
            assert_eq!(subscription.lag(), 0, "{subscription:?} does not come to rest");
        }
    }

    /// No more faults: everything has to come to its rest.
    fn last_life(&self) -> Audited {
        let bus = self.open();
        let tokio = self.tokio.handle();
        let scene = Scene { faults: Faults::NONE, tokio, ..self.scene.clone() };
        let start = |by| Running::start(by, &bus, &scene, false).unwrap().subscription;
        let subscriptions = SUBSCRIPTIONS.map(start);
        self.rest(&subscriptions);
        if self.letters.give_up_first(&bus) {
            self.rest(&subscriptions);
        }
        self.note_cursors(&bus);
        audit::audit(self, bus, &subscriptions)
    }
}
