//! A number of lanes that changes while everything goes on: nothing missed, nothing twice, each key in
//! order. The simulator decides when what happens.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidings::{
    Backoff, Bus, Context, Deliveries, HandlerError, Lanes, Overflow, Subscription,
    SubscriptionBuilder, Unsettled,
    testing::{MemoryDisk, Simulator},
};

use crate::{
    events::{Placed, SECOND, Seen, Shipped, Tick, placed, seen},
    store::Store,
};

const MOST: u32 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Volatile,
    Durable,
    Ephemeral,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    InPlace,
    WithContext,
    Pulled,
}

/// A call of a handler: key, step, attempt.
type Call = (u64, u64, u32);

struct World {
    sim: Simulator,
    bus: Bus,
    kind: Kind,
    /// By key: the next step to publish.
    next: BTreeMap<u64, u64>,
    ticks: u64,
    handled: Seen<(u64, u64)>,
    handled_ticks: Seen<u64>,
    calls: Seen<Call>,
}

impl World {
    fn new(seed: u64, kind: Kind, ring: usize) -> Self {
        let sim = Simulator::new(seed);
        let builder = Bus::builder().runtime(sim.runtime()).ring(ring);
        let builder = match kind {
            Kind::Volatile => builder,
            _ => builder.storage(
                tidings::storage::FileStorage::builder("store")
                    .disk(MemoryDisk::new())
                    .open()
                    .unwrap(),
            ),
        };
        let (handled, handled_ticks, calls) = (seen(), seen(), seen());
        let (next, ticks) = (BTreeMap::new(), 0);
        let bus = builder.build().unwrap();
        Self { sim, bus, kind, next, ticks, handled, handled_ticks, calls }
    }

    fn draw(&self, below: u64) -> u64 {
        self.sim.random_below(below)
    }

    fn describe(&self) -> SubscriptionBuilder {
        let builder = self
            .bus
            .subscribe("reader")
            .lanes(Lanes::adaptive(1..=MOST))
            .max_parked(1 + self.draw(30) as usize)
            .max_in_flight(1 + self.draw(4) as usize)
            .retry(Backoff::exponential(Duration::from_millis(1)).jitter().max_attempts(1000));
        if self.kind == Kind::Ephemeral { builder.ephemeral() } else { builder }
    }

    fn start(&self, form: Form, faults: u64) -> (Subscription, Option<Deliveries<Placed>>) {
        let (sim, handled, calls) = (self.sim.clone(), self.handled.clone(), self.calls.clone());
        let fails = move || sim.random_below(100) < faults;
        let builder = self.describe();
        if form == Form::Pulled {
            let events = builder.stream::<Placed>().unwrap();
            return (events.subscription().clone(), Some(events));
        }
        let ticks = self.handled_ticks.clone();
        let builder = builder.on(move |tick: &Tick| ticks.lock().push(tick.0));
        let verdict = move |event: &Placed| {
            if fails() {
                return Err(HandlerError::retry("drawn"));
            }
            handled.lock().push((event.order, event.step));
            Ok(())
        };
        let builder = match form {
            Form::WithContext => builder.on(move |event: &Placed, ctx: &mut Context| {
                calls.lock().push((event.order, event.step, ctx.attempt()));
                verdict(event)
            }),
            _ => builder.on(verdict),
        };
        (builder.start().unwrap(), None)
    }

    fn publish(&mut self, form: Form) {
        for _ in 0..=self.draw(8) {
            let order = self.draw(7);
            if order == 0 && form != Form::Pulled {
                // A ring that is full and has nobody who could make room refuses.
                self.ticks += u64::from(self.bus.publish(Tick(self.ticks)).is_ok());
                continue;
            }
            let step = self.next.entry(order).or_default();
            *step += u64::from(self.bus.publish(placed(order, *step)).is_ok());
        }
    }

    /// Takes what there is to pull, and settles some of what was pulled.
    fn pull(&self, events: &mut Deliveries<Placed>, pulled: &mut Vec<Unsettled<Placed>>) {
        while let Some(event) = events.next_within(Duration::ZERO) {
            self.calls.lock().push((event.order, event.step, event.attempt()));
            pulled.push(event);
        }
        for _ in 0..self.draw(pulled.len() as u64 + 1) {
            let event = pulled.swap_remove(self.draw(pulled.len() as u64) as usize);
            match self.draw(4) {
                0 => event.retry(HandlerError::retry("drawn")),
                1 => drop(event),
                _ => {
                    let mut event = event;
                    let (order, step) = (event.order, event.step);
                    self.handled.lock().push((order, step));
                    event.publish(Shipped { order }).unwrap();
                    event.ack();
                }
            }
        }
    }

    fn act(&mut self, form: Form, reader: &Subscription) {
        match self.draw(6) {
            0 | 1 => self.publish(form),
            2 => (0..self.draw(20)).for_each(|_| _ = self.sim.step()),
            3 => self.sim.advance(Duration::from_millis(self.draw(40))),
            4 => reader.ask_for_lanes(1 + self.draw(u64::from(MOST)) as u32),
            _ if self.draw(3) == 0 => reader.pause(),
            _ => reader.resume(),
        }
    }

    fn check(&self, story: &str) {
        let mut by_key: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (order, step) in &*self.handled.lock() {
            by_key.entry(*order).or_default().push(*step);
        }
        for (order, count) in self.next.iter().filter(|(_, count)| **count > 0) {
            let steps: Vec<_> = (0..*count).collect();
            assert_eq!(by_key.get(order), Some(&steps), "{story}: key {order}");
        }
        let mut ticks = self.handled_ticks.lock().clone();
        ticks.sort_unstable();
        assert_eq!(ticks, (0..self.ticks).collect::<Vec<_>>(), "{story}: without a key");
        let mut last: BTreeMap<u64, (u64, u32)> = BTreeMap::new();
        for (order, step, attempt) in &*self.calls.lock() {
            let before = last.insert(*order, (*step, *attempt));
            let is_next = match before {
                None => (*step, *attempt) == (0, 1),
                Some((old, tried)) => {
                    (*step, *attempt) == (old, tried + 1) || (*step, *attempt) == (old + 1, 1)
                }
            };
            assert!(is_next, "{story}: key {order}: {before:?}, then {step}, attempt {attempt}");
        }
    }
}

fn run(seed: u64, kind: Kind, form: Form) -> u64 {
    let story = format!("seed {seed}, {kind:?}, {form:?}");
    let ring = 1 + Simulator::new(seed).random_below(100) as usize;
    let mut world = World::new(seed, kind, ring);
    let faults = world.draw(50);
    let (reader, mut events) = world.start(form, faults);
    let shipped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&shipped);
    let count = move |_: &Shipped| _ = counter.fetch_add(1, Ordering::Relaxed);
    world.bus.subscribe("shipped").on(count).start().unwrap();
    let mut pulled = Vec::new();
    for _ in 0..world.draw(120) {
        world.act(form, &reader);
        if let Some(events) = &mut events {
            world.pull(events, &mut pulled);
        }
    }
    reader.resume();
    let goal: u64 = world.next.values().sum();
    while let Some(events) = &mut events
        && (world.handled.lock().len() as u64) < goal
    {
        world.pull(events, &mut pulled);
        world.sim.advance(SECOND);
    }
    assert!(world.bus.wait_idle(24 * 3600 * SECOND), "{story}: {:?}", reader.status());
    world.check(&story);
    let owed = if form == Form::Pulled { goal } else { 0 };
    assert_eq!(shipped.load(Ordering::Relaxed), owed, "{story}: outputs");
    assert_eq!(reader.lag(), 0, "{story}");
    assert_eq!(reader.status().held, 0, "{story}");
    reader.status().lane_changes
}

#[test]
fn whatever_happens_each_key_is_handled_in_order_and_exactly_once() {
    for kind in [Kind::Volatile, Kind::Durable, Kind::Ephemeral] {
        for form in [Form::InPlace, Form::WithContext, Form::Pulled] {
            let changes: u64 = (0..150).map(|seed| run(seed, kind, form)).sum();
            assert!(changes > 300, "{kind:?}, {form:?}: only {changes} changes");
        }
    }
}

#[test]
fn what_is_skipped_and_what_is_handled_is_everything() {
    let mut skipped = 0;
    for seed in 0..300 {
        let sim = Simulator::new(seed);
        let ring = 1 + sim.random_below(64) as usize;
        let bus = Bus::builder().runtime(sim.runtime()).ring(ring).build().unwrap();
        let handled = seen();
        let list = handled.clone();
        let reader = bus
            .subscribe("reader")
            .on_lag(Overflow::Skip)
            .lanes(Lanes::adaptive(1..=MOST))
            .on(move |event: &Placed| list.lock().push((event.order, event.step)))
            .start()
            .unwrap();
        let mut published = 0;
        for _ in 0..60 {
            for _ in 0..sim.random_below(ring as u64 * 2) {
                bus.publish(placed(sim.random_below(5), published)).unwrap();
                published += 1;
            }
            reader.ask_for_lanes(1 + sim.random_below(u64::from(MOST)) as u32);
            (0..sim.random_below(12)).for_each(|_| _ = sim.step());
        }
        sim.run_until_idle();
        let handled = handled.lock();
        for key in 0..5 {
            let steps: Vec<_> = handled.iter().filter(|(k, _)| *k == key).map(|(_, s)| s).collect();
            assert!(steps.is_sorted_by(|a, b| a < b), "seed {seed}, key {key}: {steps:?}");
        }
        assert_eq!(handled.len() as u64 + reader.status().skipped, published, "seed {seed}");
        skipped += reader.status().skipped;
        assert!(reader.status().lane_changes > 0, "seed {seed}");
    }
    assert!(skipped > 10_000, "too tame: {skipped}");
}

/// Fails the first attempt of every third key.
fn touchy(
    handled: &Seen<(u64, u64, u32)>,
) -> impl Fn(&Placed, &mut Context) -> Result<(), HandlerError> + use<> {
    let handled = handled.clone();
    move |event: &Placed, ctx: &mut Context| {
        if event.order.is_multiple_of(3) && event.step == 0 && ctx.attempt() == 1 {
            return Err(HandlerError::retry("not yet"));
        }
        handled.lock().push((event.order, event.step, ctx.attempt()));
        Ok(())
    }
}

fn adaptive(bus: &Bus) -> SubscriptionBuilder {
    let hour = Backoff::constant(3600 * SECOND);
    bus.subscribe("reader").lanes(Lanes::adaptive(1..=16)).retry(hour)
}

#[test]
fn a_change_does_not_wait_for_retries_and_keeps_their_times() {
    let sim = Simulator::new(3);
    let bus = Bus::builder().runtime(sim.runtime()).build().unwrap();
    let handled = seen();
    let reader = adaptive(&bus).on(touchy(&handled)).start().unwrap();
    let both = |order| [placed(order, 0), placed(order, 1)];
    bus.publish_all((0..12).flat_map(both)).unwrap();
    sim.advance(SECOND);
    assert_eq!(reader.status().held, 8, "four keys wait, each with two events");
    for lanes in [5, 16, 2] {
        reader.ask_for_lanes(lanes);
        sim.advance(SECOND / 2);
        assert_eq!((reader.status().lanes, reader.status().held), (lanes, 8));
    }
    assert_eq!(handled.lock().len(), 16, "none of them is tried early");
    sim.advance(3598 * SECOND);
    assert_eq!(handled.lock().len(), 24, "nor late");
    let retried: Vec<_> = handled.lock().iter().filter(|call| call.2 == 2).copied().collect();
    assert_eq!(retried.len(), 4, "and the attempts count on: {retried:?}");
    sim.run_until_idle();
}

#[test]
fn a_pause_holds_through_a_change() {
    let sim = Simulator::new(4);
    let bus = Bus::builder().runtime(sim.runtime()).build().unwrap();
    let handled = seen();
    let reader = adaptive(&bus).on(touchy(&handled)).start().unwrap();
    reader.pause();
    bus.publish_all((0..10).map(|order| placed(order, 1))).unwrap();
    reader.ask_for_lanes(7);
    sim.advance(SECOND);
    assert_eq!((reader.status().lanes, handled.lock().len()), (7, 0));
    assert!(bus.wait_idle(SECOND), "a paused subscription is not waited for");
    reader.resume();
    sim.advance(SECOND);
    assert_eq!(handled.lock().len(), 10);
}

#[test]
fn a_stop_at_any_moment_of_a_change_stops_and_loses_nothing() {
    for steps in 0..60 {
        let store = Store::new();
        let bus = store.open();
        let handled = seen();
        let several = Lanes::adaptive(3..=16);
        let start = || adaptive(&bus).lanes(several).on(touchy(&handled)).start().unwrap();
        let reader = start();
        bus.publish_all((0..40).map(|order| placed(order, 1))).unwrap();
        (0..steps / 3).for_each(|_| _ = store.sim.step());
        reader.ask_for_lanes(5);
        (0..steps).for_each(|_| _ = store.sim.step());
        assert!(reader.stop(SECOND / 1000), "{steps} steps: it stops at once");
        let again = start();
        assert!(bus.wait_idle(SECOND));
        let mut orders: Vec<_> = handled.lock().iter().map(|call| call.0).collect();
        orders.sort_unstable();
        assert_eq!(orders, (0..40).collect::<Vec<_>>(), "{steps} steps");
        again.ask_for_lanes(16);
        bus.shutdown(SECOND).unwrap();
    }
}

#[test]
fn a_crash_at_any_moment_of_a_change_leaves_the_old_lanes_or_the_new_ones() {
    let mut found = BTreeMap::new();
    for round in 0..200 {
        let (seed, steps) = (round / 10, round % 10);
        let store = Store { sim: Simulator::new(seed), ..Store::new() };
        let bus = store.open();
        let first = seen();
        let reader = adaptive(&bus).on(touchy(&first)).start().unwrap();
        let both = |order| [placed(order, 0), placed(order, 1)];
        bus.publish_all((0..30).flat_map(both)).unwrap();
        store.sim.advance(SECOND);
        assert_eq!((first.lock().len(), reader.status().held), (40, 20));
        reader.ask_for_lanes(5);
        (0..steps).for_each(|_| _ = store.sim.step());
        store.kill(bus);

        let bus = store.open();
        let lanes = bus.stored_subscriptions().unwrap()[0].lanes.len();
        *found.entry(lanes).or_insert(0) += 1;
        let second = seen();
        let lanes = if steps % 2 == 0 { Lanes::adaptive(1..=16) } else { Lanes::fixed(3) };
        let reader = adaptive(&bus).lanes(lanes).on(touchy(&second)).start().unwrap();
        reader.ask_for_lanes(9);
        assert!(bus.wait_idle(7200 * SECOND));
        let mut second = second.lock().clone();
        second.sort_unstable();
        let owed = (0..30).filter(|order| order % 3 == 0);
        let owed: Vec<_> = owed.flat_map(|order| [(order, 0, 2), (order, 1, 1)]).collect();
        assert_eq!(second, owed, "{steps} steps: what was not acknowledged, and no more");
        bus.shutdown(SECOND).unwrap();
    }
    assert!(found.len() == 2 && found[&1] > 50 && found[&5] > 50, "{found:?}");
}

#[test]
fn many_changes_and_restarts_leave_what_is_open_as_it_is() {
    let store = Store::new();
    let failing = |_: &Placed| Err::<(), _>(HandlerError::retry("not yet"));
    for round in 0..6 {
        let bus = store.open();
        let lanes: Lanes = if round % 3 == 2 { 3.into() } else { Lanes::adaptive(1..=16) };
        let reader = adaptive(&bus).lanes(lanes).on(failing).start().unwrap();
        for lanes in [4, 1, 16, 7] {
            bus.publish_all((0..5).map(|order| placed(order, round))).unwrap();
            reader.ask_for_lanes(lanes);
            store.sim.advance(SECOND);
            bus.publish(Tick(round)).unwrap();
        }
        assert_eq!(reader.status().held, 20 * (round + 1));
        store.kill(bus);
    }
    let bus = store.open();
    let handled = seen();
    let list = handled.clone();
    let note = move |event: &Placed| list.lock().push((event.order, event.step));
    let reader = adaptive(&bus).on(note).start().unwrap();
    assert!(bus.wait_idle(7200 * SECOND));
    let handled = handled.lock();
    for order in 0..5 {
        let steps: Vec<_> = handled.iter().filter(|(o, _)| *o == order).map(|(_, s)| *s).collect();
        let published: Vec<_> = (0..6).flat_map(|round| [round; 4]).collect();
        assert_eq!(steps, published, "key {order}");
    }
    assert_eq!((reader.lag(), reader.status().held), (0, 0));
}

#[test]
fn dead_letters_may_be_retried_at_any_moment_of_a_change() {
    for steps in 0..40 {
        let sim = Simulator::new(steps);
        let bus = Bus::builder().runtime(sim.runtime()).build().unwrap();
        let handled = seen();
        let list = handled.clone();
        let reader = adaptive(&bus).on(move |event: &Placed, ctx: &mut Context| {
            if ctx.attempt() == 1 {
                return Err(HandlerError::reject("not so"));
            }
            list.lock().push(event.order);
            Ok(())
        });
        let reader = reader.start().unwrap();
        bus.publish_all((0..10).map(|order| placed(order, 0))).unwrap();
        sim.advance(SECOND);
        reader.ask_for_lanes(5);
        (0..steps).for_each(|_| _ = sim.step());
        assert_eq!(bus.dead_letters("reader").retry_all().unwrap(), 10);
        assert!(bus.wait_idle(SECOND));
        let mut handled = handled.lock().clone();
        handled.sort_unstable();
        assert_eq!(handled, (0..10).collect::<Vec<_>>(), "{steps} steps");
        assert_eq!(reader.status().dead_letters, 0);
    }
}

#[test]
fn a_failing_storage_ends_a_subscription_in_the_middle_of_a_change() {
    for calls in 0..12 {
        let store = Store::new();
        let bus = store.open();
        let reader = adaptive(&bus).on(|_: &Placed| ()).start().unwrap();
        bus.publish_all((0..10).map(|order| placed(order, 0))).unwrap();
        reader.ask_for_lanes(3);
        store.disk.fail_after(calls);
        store.sim.advance(SECOND);
        assert!(bus.wait_idle(SECOND), "{:?}", reader.status());
        reader.stop(SECOND);
        drop(bus);
    }
}

#[test]
fn a_bus_that_is_dropped_at_any_moment_of_a_change_frees_everything() {
    for round in 0..120 {
        let (seed, steps) = (round / 12, round % 12);
        let store = Store { sim: Simulator::new(seed), ..Store::new() };
        let bus = if seed % 2 == 0 {
            store.open()
        } else {
            Bus::builder().runtime(store.sim.runtime()).build().unwrap()
        };
        let token = Arc::new(());
        let in_handler = Arc::clone(&token);
        let reader = adaptive(&bus).on(move |event: &Placed| {
            let fails = event.order.is_multiple_of(2) && Arc::strong_count(&in_handler) > 1;
            if fails { Err(HandlerError::retry("not yet")) } else { Ok(()) }
        });
        let reader = reader.start().unwrap();
        bus.publish_all((0..10).map(|order| placed(order, 0))).unwrap();
        store.sim.advance(SECOND);
        reader.ask_for_lanes(5);
        (0..steps).for_each(|_| _ = store.sim.step());
        drop((bus, reader));
        store.sim.run_until_idle();
        assert_eq!(Arc::strong_count(&token), 1, "seed {seed}, {steps} steps");
    }
}

/// Every change has the load looked at again: by one look after the other, not by one for each change.
#[test]
fn however_many_changes_there_were_one_look_follows_another() {
    let sim = Simulator::new(3);
    let bus = Bus::builder().runtime(sim.runtime()).build().unwrap();
    let reader = adaptive(&bus).on(touchy(&seen())).start().unwrap();
    for change in 0..200 {
        reader.ask_for_lanes(1 + change % 16);
        sim.advance(Duration::from_micros(100));
    }
    assert!(reader.status().lane_changes > 50);
    let before = sim.steps();
    sim.advance(SECOND / 2);
    let steps = sim.steps() - before;
    assert!(steps < 400, "{steps} steps in half a second of rest");
}
