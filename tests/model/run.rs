//! One run under a seed.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tidings::{
    Bus, Context, DeadLetter, DeadLetterError, Durability, Pending, Subscription,
    storage::FileStorage,
    testing::{MemoryDisk, Simulator},
};

use crate::{
    flow::{self, Counted, Faults, MOST_LANES, Noise, SUBSCRIPTIONS, Source},
    history::{Fact, History},
};

/// What a run did, and totals over runs.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) history: History,
    pub(crate) trace_hash: u64,
    pub(crate) runs: u64,
    steps: u64,
    calls: u64,
    retries: u64,
    dead: u64,
    unknown: u64,
    lane_changes: u64,
    endings: [u64; ENDINGS.len()],
}

const ENDINGS: [&str; 4] = ["shut down", "killed", "lost power", "broke its disk"];

impl Outcome {
    fn of(history: History, sim: &Simulator, lane_changes: u64) -> Self {
        let facts = history.facts();
        let count =
            |wanted: &dyn Fn(&Fact) -> bool| facts.iter().filter(|f| wanted(f)).count() as u64;
        let ended = |name| count(&|fact| matches!(fact, Fact::Ended { how } if *how == name));
        Self {
            trace_hash: sim.trace_hash(),
            runs: 1,
            steps: sim.steps(),
            calls: count(&|fact| matches!(fact, Fact::Called { .. })),
            retries: count(&|fact| matches!(fact, Fact::Called { attempt: 2.., .. })),
            dead: count(&|fact| matches!(fact, Fact::Dead { .. })),
            unknown: count(&|fact| matches!(fact, Fact::Unknown { .. })),
            lane_changes,
            endings: ENDINGS.map(ended),
            history,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.calls += other.calls;
        self.retries += other.retries;
        self.dead += other.dead;
        self.unknown += other.unknown;
        self.lane_changes += other.lane_changes;
        for (total, more) in self.endings.iter_mut().zip(other.endings) {
            *total += more;
        }
    }

    /// A check that never meets a crash checks nothing.
    pub(crate) fn assert_that_everything_happened(&self) {
        let counts = [self.calls, self.retries, self.dead, self.unknown, self.lane_changes];
        for count in counts.into_iter().chain(self.endings) {
            assert!(count > self.runs / 10, "the runs are too tame: {self}");
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, steps, calls, retries, dead, unknown, lane_changes, .. } = self;
        write!(f, "{runs} runs, {steps} steps, {calls} calls, {retries} retries, ")?;
        write!(f, "{dead} dead letters, {unknown} publishes of unknown end, ")?;
        write!(f, "{lane_changes} changes of lanes")?;
        for (name, count) in ENDINGS.iter().zip(self.endings) {
            write!(f, ", {count} {name}")?;
        }
        Ok(())
    }
}

pub(crate) fn run(seed: u64) -> Outcome {
    let world = World::new(seed);
    for life in 0..=(world.draw(4) as u32) {
        world.live(life);
    }
    world.last_life();
    Outcome::of(world.history.clone(), &world.sim, world.lane_changes.get())
}

struct World {
    sim: Simulator,
    disk: MemoryDisk,
    history: History,
    durability: Durability,
    segment_bytes: u64,
    ring: usize,
    keys: u64,
    faults: Faults,
    next_event: Cell<u64>,
    lane_changes: Cell<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let sim = Simulator::new(seed);
        let draw = |below| sim.random_below(below);
        Self {
            // What is only buffered may be lost with the power; then only kills are drawn.
            durability: if draw(4) == 0 { Durability::Buffered } else { Durability::Synced },
            segment_bytes: 1024 << draw(5),
            ring: 1 + draw(24) as usize,
            keys: 1 + draw(5),
            faults: match draw(3) {
                0 => Faults::NONE,
                1 => Faults { fail: draw(50), panic: 0, reject: 0 },
                _ => Faults { fail: draw(30), panic: draw(20), reject: draw(10) },
            },
            disk: MemoryDisk::new(),
            history: History::default(),
            next_event: 1.into(),
            lane_changes: 0.into(),
            sim,
        }
    }

    fn draw(&self, below: u64) -> u64 {
        self.sim.random_below(below)
    }

    fn open(&self) -> Bus {
        let storage = FileStorage::builder("store")
            .disk(self.disk.clone())
            .segment_bytes(self.segment_bytes)
            .open()
            .expect("a crash never makes the log unreadable");
        Bus::builder()
            .runtime(self.sim.runtime())
            .storage(storage)
            .durability(self.durability)
            .ring(self.ring)
            .queue(8)
            .build()
            .unwrap()
    }

    fn live(&self, life: u32) {
        self.history.add(Fact::Began { life });
        let bus = self.open();
        let mut subscriptions = SUBSCRIPTIONS.map(|by| self.start(by, &bus, self.faults));
        let how = match self.durability {
            Durability::Synced => ENDINGS[self.draw(4) as usize],
            _ => ENDINGS[self.draw(2) as usize],
        };
        if how == "broke its disk" {
            self.disk.fail_after(self.draw(60));
        }
        let mut pending = Vec::new();
        for _ in 0..self.draw(40) {
            self.act(&bus, &mut subscriptions, &mut pending);
            subscriptions.iter().for_each(assert_balance);
        }
        for subscription in &subscriptions {
            self.count_changes(subscription);
        }
        self.end(how, bus, pending);
    }

    fn start(&self, by: &'static str, bus: &Bus, faults: Faults) -> Subscription {
        flow::start(by, bus, &self.sim, &self.history, faults).unwrap()
    }

    fn act(&self, bus: &Bus, subscriptions: &mut [Subscription; 3], pending: &mut Vec<Enqueued>) {
        match self.draw(16) {
            0..3 => self.publish(bus),
            3..5 => self.enqueue(bus, pending),
            5 => self.publish_all(bus),
            6 => drop(bus.publish(Noise)),
            7..10 => (0..self.draw(20)).for_each(|_| _ = self.sim.step()),
            10 => self.sim.advance(Duration::from_millis(self.draw(3000))),
            11 => {
                let subscription = &subscriptions[self.draw(3) as usize];
                subscription.pause();
                self.sim.advance(Duration::from_millis(self.draw(100)));
                subscription.resume();
            }
            12 => self.mend(bus, SUBSCRIPTIONS[self.draw(3) as usize]),
            13..15 => {
                let lanes = 1 + self.draw(u64::from(MOST_LANES)) as u32;
                subscriptions[self.draw(3) as usize].ask_for_lanes(lanes);
                (0..self.draw(8)).for_each(|_| _ = self.sim.step());
            }
            _ => self.restart(bus, subscriptions),
        }
    }

    /// Stops a subscription, sometimes without giving it time, and starts it with other lanes.
    fn restart(&self, bus: &Bus, subscriptions: &mut [Subscription; 3]) {
        let which = self.draw(3) as usize;
        let by = SUBSCRIPTIONS[which];
        self.count_changes(&subscriptions[which]);
        subscriptions[which].stop(Duration::from_millis(self.draw(3)));
        self.history.add(Fact::Stopped { by });
        // After a broken disk nothing starts any more.
        if let Ok(started) = flow::start(by, bus, &self.sim, &self.history, self.faults) {
            subscriptions[which] = started;
        }
    }

    fn count_changes(&self, subscription: &Subscription) {
        self.lane_changes.set(self.lane_changes.get() + subscription.status().lane_changes);
    }

    /// Retries or discards dead letters.
    fn mend(&self, bus: &Bus, by: &'static str) {
        let letters = bus.dead_letters(by);
        let retries = self.draw(3) > 0;
        if retries {
            letters.retry_all().ok();
            return;
        }
        let Ok(list) = letters.list() else { return };
        let Some(letter) = list.first() else { return };
        // Where the disk breaks, nobody knows whether it is gone.
        if matches!(letters.discard(letter.position()), Ok(()) | Err(DeadLetterError::Storage(_))) {
            self.history.add(Fact::Discarded { by, event: event_of(by, letter) });
        }
    }

    fn source(&self) -> Source {
        let event = self.next_event.replace(self.next_event.get() + 1);
        Source { event, key: self.draw(self.keys + 1) }
    }

    fn publish(&self, bus: &Bus) {
        let Source { event, key } = self.source();
        let result = bus.publish(Source { event, key });
        self.record(event, key, result.ok().map(|receipt| receipt.position.get()));
    }

    fn publish_all(&self, bus: &Bus) {
        let events: Vec<_> = (0..self.draw(6)).map(|_| self.source()).collect();
        let result = bus.publish_all(events.clone());
        for (at, Source { event, key }) in events.into_iter().enumerate() {
            let position = result.as_ref().ok().map(|all| all[at].position.get());
            self.record(event, key, position);
        }
    }

    fn enqueue(&self, bus: &Bus, pending: &mut Vec<Enqueued>) {
        let Source { event, key } = self.source();
        match bus.enqueue(Source { event, key }) {
            Ok(under_way) => pending.push((event, key, under_way)),
            Err(_) => self.record(event, key, None),
        }
    }

    fn record(&self, event: u64, key: u64, position: Option<u64>) {
        self.history.add(match position {
            Some(position) => Fact::Acknowledged { event, key, position },
            None => Fact::Unknown { event, key },
        });
    }

    fn end(&self, how: &'static str, bus: Bus, pending: Vec<Enqueued>) {
        // Some wait for their answers, some never ask.
        for (event, key, under_way) in pending {
            let asks = self.draw(2) == 0;
            let answer = if asks { under_way.wait().ok() } else { None };
            self.record(event, key, answer.map(|receipt| receipt.position.get()));
        }
        if how == "shut down" {
            bus.shutdown(Duration::from_secs(self.draw(5))).unwrap();
        } else {
            self.sim.crash();
        }
        match how {
            "killed" => self.disk.kill(),
            "lost power" | "broke its disk" => self.disk.crash(self.draw(u64::MAX)),
            _ => {}
        }
        drop(bus);
        self.disk.heal();
        self.history.add(Fact::Ended { how });
    }

    /// At rest, the ledgers say how many events there are, and where each of them is.
    fn balance(&self, bus: &Bus, subscriptions: &[Subscription]) {
        let sources = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sources);
        let count = move |_: &Source| _ = counted.fetch_add(1, Relaxed);
        let counting = bus.subscribe("count").ephemeral().on(count).start().unwrap();
        self.sim.run_until_idle();
        counting.stop(Duration::ZERO);
        for subscription in subscriptions {
            let (ledger, by) = (subscription.ledger(), subscription.name());
            let story = format!("{by}: {ledger}\n{:?}", self.history);
            assert!(ledger.is_balanced(), "{story}");
            assert_eq!((ledger.held, ledger.in_flight, ledger.waiting), (0, 0, 0), "{story}");
            assert_eq!(ledger.dead, subscription.status().dead_letters, "{story}");
            if by != "second-hand" {
                assert_eq!(ledger.matched, sources.load(Relaxed), "{story}");
            }
        }
    }

    /// No more faults: everything has to come to its rest.
    fn last_life(&self) {
        self.history.add(Fact::Began { life: u32::MAX });
        let bus = self.open();
        let subscriptions = SUBSCRIPTIONS.map(|by| self.start(by, &bus, Faults::NONE));
        self.sim.run_until_idle();
        for subscription in &subscriptions {
            assert_eq!(subscription.lag(), 0, "{subscription:?} does not come to rest");
        }
        for by in SUBSCRIPTIONS {
            let letters = bus.dead_letters(by).list().unwrap();
            for letter in &letters {
                self.history.add(Fact::Dead { by, event: event_of(by, letter) });
            }
        }
        self.balance(&bus, &subscriptions);
        let history = self.history.clone();
        bus.subscribe("audit")
            .ephemeral()
            .on(move |counted: &Counted, _: &mut Context| {
                let Counted { source, key, count } = *counted;
                history.add(Fact::Counted { source, key, count });
            })
            .start()
            .unwrap();
        self.sim.run_until_idle();
        bus.shutdown(Duration::from_secs(1)).unwrap();
    }
}

fn assert_balance(subscription: &Subscription) {
    let ledger = subscription.ledger();
    assert!(ledger.is_balanced(), "{}: {ledger}", subscription.name());
}

fn event_of(by: &str, letter: &DeadLetter) -> u64 {
    match by {
        "second-hand" => serde_json::from_slice::<Counted>(letter.payload()).unwrap().source,
        _ => serde_json::from_slice::<Source>(letter.payload()).unwrap().event,
    }
}

type Enqueued = (u64, u64, Pending<Source>);
