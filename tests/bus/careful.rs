//! Events whose handlers end the process: they reach the dead letters, and innocent ones do not.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tidings::{
    Backoff, Bus, CircuitBreaker, Context, DeadLetterReason, HandlerError, Message, Rate,
    Subscription, Window, storage::Storage, testing::Simulator,
};

use crate::{
    events::{Placed, SECOND, Seen, Tick, placed, seen},
    hooked::Hooked,
    store::Store,
};

/// A handler that ends the process when it meets order 13.
struct Deadly {
    store: Store,
    calls: Seen<(u64, u32)>,
    died: Arc<AtomicBool>,
    lanes: u32,
}

impl Deadly {
    fn new(lanes: u32) -> Self {
        Self { store: Store::new(), calls: seen(), died: Arc::default(), lanes }
    }

    fn start(&self, bus: &Bus) -> Subscription {
        let (sim, disk) = (self.store.sim.clone(), self.store.disk.clone());
        let (calls, died) = (Arc::clone(&self.calls), Arc::clone(&self.died));
        let handler = move |event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
            calls.lock().push((event.order, ctx.attempt()));
            if event.order == 13 {
                sim.crash();
                disk.kill();
                died.store(true, Relaxed);
            }
            ctx.state().put("seen", &event.step)?;
            Ok(())
        };
        let retry = Backoff::constant(SECOND).max_attempts(2);
        bus.subscribe("reader").lanes(self.lanes).retry(retry).on(handler).start().unwrap()
    }

    /// Runs one process to its end, or to its rest. True if it died.
    fn live(&self, publish: impl FnOnce(&Bus)) -> bool {
        self.died.store(false, Relaxed);
        let bus = self.store.open();
        self.start(&bus);
        publish(&bus);
        self.store.sim.run_until_idle();
        let died = self.died.load(Relaxed);
        if !died {
            bus.shutdown(SECOND).unwrap();
        }
        drop(bus);
        died
    }
}

/// Three careful processes may die of it, after the one that was not.
#[test]
fn f3_a_deadly_event_becomes_a_dead_letter() {
    for lanes in [1, 3] {
        let deadly = Deadly::new(lanes);
        let orders = || [1, 2, 13, 4, 5, 13 + 8].map(|order| placed(order, order));
        assert!(deadly.live(|bus| _ = bus.publish_all(orders()).unwrap()));
        let mut deaths = 1;
        while deadly.live(|_| ()) {
            deaths += 1;
        }
        assert_eq!(deaths, 4);
        let attempts: Vec<_> =
            deadly.calls.lock().iter().filter(|(order, _)| *order == 13).map(|it| it.1).collect();
        assert_eq!(attempts, [1, 1, 2, 3], "the first process noted nothing");
        let bus = deadly.store.open();
        let letters = bus.dead_letters("reader").list().unwrap();
        assert_eq!(letters.len(), 1, "no innocent one is among them");
        assert_eq!((letters[0].reason(), letters[0].attempts()), (DeadLetterReason::Crashed, 3));
        assert_eq!(letters[0].error(), "3 processes in a row have ended while it was handled");
        let ledger = deadly.start(&bus).ledger();
        assert_eq!((ledger.acknowledged, ledger.dead), (5, 1), "{ledger}");
    }
}

/// Whatever else makes processes die, what was handled meanwhile is acknowledged and blames nobody.
#[test]
fn deaths_from_elsewhere_blame_no_event() {
    let store = Store::new();
    let start = |bus: &Bus| {
        let retry = Backoff::never();
        bus.subscribe("reader").retry(retry).on(|_: &Placed, _: &mut Context| ()).start().unwrap()
    };
    for life in 0..30 {
        let bus = store.open();
        start(&bus);
        bus.publish_all((0..3).map(|order| placed(order, life))).unwrap();
        (0..life % 7).for_each(|_| _ = store.sim.step());
        store.kill(bus);
    }
    let bus = store.open();
    let reader = start(&bus);
    store.sim.run_until_idle();
    assert_eq!(reader.ledger().to_string(), "90 matched = 90 acknowledged");
}

/// An event that happens to be under way whenever another one ends the process is not taken for it.
#[test]
fn the_innocent_are_told_from_the_deadly() {
    let deadly = Deadly::new(1);
    let slow = |bus: &Bus| bus.subscribe("slow").stream::<Tick>().unwrap();
    let mut died = 0;
    loop {
        deadly.died.store(false, Relaxed);
        let bus = deadly.store.open();
        if died == 0 {
            bus.publish(Tick(1)).unwrap();
            bus.publish(placed(13, 1)).unwrap();
        }
        let mut pulled = slow(&bus);
        let under_way = pulled.next_within(SECOND);
        deadly.start(&bus);
        deadly.store.sim.advance(SECOND);
        if deadly.died.load(Relaxed) {
            died += 1;
            assert!(died < 10, "no process gets past it");
            std::mem::forget(under_way);
            continue;
        }
        if let Some(event) = under_way {
            event.ack();
        }
        deadly.store.sim.run_until_idle();
        let ledgers = (pulled.subscription().ledger(), deadly.died.load(Relaxed));
        drop(pulled);
        if ledgers.1 {
            died += 1;
            continue;
        }
        assert_eq!(ledgers.0.to_string(), "1 matched = 1 acknowledged");
        assert_eq!(bus.dead_letters("reader").list().unwrap().len(), 1);
        return;
    }
}

/// Care is for what may have been under way. What comes later is handled as ever.
#[test]
fn a_clean_end_needs_no_care() {
    let deadly = Deadly::new(2);
    assert!(deadly.live(|bus| _ = bus.publish_all([placed(1, 1), placed(13, 1)]).unwrap()));
    let stored = || deadly.store.storage().scan(b"careful", None, 10).unwrap().len();
    assert_eq!(stored(), 1, "that it ran");
    while deadly.live(|_| ()) {}
    assert_eq!(stored(), 0, "it ended cleanly");
    assert!(deadly.live(|bus| _ = bus.publish(Message::new(placed(13, 2))).unwrap()));
    assert_eq!(deadly.calls.lock().last(), Some(&(13, 1)), "and knows of no crash");
}

/// A process has ended with it, which counts as an attempt. That is not forgotten where all that the next
/// process does with it is no attempt, and that one ends cleanly.
#[test]
fn attempts_that_ended_a_process_are_counted_after_a_clean_end_too() {
    let mut probed = 0;
    for seed in 0..20 {
        let store = Store { sim: Simulator::new(seed), ..Store::new() };
        let attempts = seen();
        let life = |is_deadly: bool| {
            let (bus, kept) = (store.open(), Arc::clone(&attempts));
            let (sim, disk) = (store.sim.clone(), store.disk.clone());
            bus.subscribe("reader")
                .lanes(4)
                .retry(Backoff::constant(SECOND))
                .circuit_breaker(CircuitBreaker::new().window(1).min_calls(1).open_for(SECOND))
                .on(move |event: &Placed, ctx: &mut Context| {
                    if event.order == 13 {
                        kept.lock().push(ctx.attempt());
                    }
                    if is_deadly && event.order == 13 {
                        sim.crash();
                        disk.kill();
                    }
                    Err::<(), _>(HandlerError::retry("it never works"))
                })
                .start()
                .unwrap();
            bus
        };
        let orders = [1, 2, 13, 4, 5].map(|order| placed(order, order));
        let bus = life(true);
        bus.publish_all(orders).unwrap();
        store.sim.run_until_idle();
        drop(bus);
        let bus = life(true);
        store.sim.advance(60 * SECOND);
        drop(bus);
        for _ in 0..3 {
            let bus = life(false);
            store.sim.advance(3 * SECOND);
            bus.shutdown(SECOND).unwrap();
        }
        let attempts = attempts.lock();
        assert!(attempts[1..].is_sorted(), "seed {seed}: {attempts:?}");
        probed += usize::from(attempts.windows(2).skip(1).any(|pair| pair[0] == pair[1]));
    }
    assert!(probed > 0, "none was probed");
}

/// What is about to be handled is stored first, which takes its time: what the gate says holds for the
/// call, and not for the moment before that.
#[test]
fn a_careful_lane_keeps_the_rate_when_it_calls() {
    let (store, calls) = (Store::new(), seen());
    let sim = &store.sim;
    let start = |bus: &Bus| {
        let (sim, calls) = (sim.clone(), Arc::clone(&calls));
        let handler = move |_: &Placed, _: &mut Context| calls.lock().push(sim.elapsed());
        let reader = bus.subscribe("reader").rate_limit(Rate::per_second(10));
        reader.on(handler).start().unwrap()
    };
    let takes = Arc::new(Mutex::new(None));
    let open = || {
        let (slow, takes) = (sim.clone(), Arc::clone(&takes));
        let storage = Hooked::new(store.storage()).before_commit(move |commit| {
            if commit.writes.iter().any(|write| write.key.starts_with(b"careful"))
                && let Some(time) = takes.lock().take()
            {
                slow.advance(time);
            }
            Ok(())
        });
        Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap()
    };
    let bus = open();
    start(&bus);
    bus.publish_all((0..5).map(|order| placed(order, order))).unwrap();
    store.kill(bus);

    let bus = open();
    let (reader, began) = (start(&bus), sim.elapsed());
    *takes.lock() = Some(SECOND * 9 / 100);
    sim.run_until_idle();
    assert_eq!(reader.lag(), 0);
    let calls: Vec<_> =
        calls.lock().iter().map(|at| at.saturating_sub(began).as_millis()).collect();
    assert_eq!(calls, [90, 190, 290, 390, 490]);
}

/// What was noted, and not let through to its handler, is not blamed for the end of the process.
#[test]
fn an_event_that_is_turned_away_was_not_under_way() {
    let (store, attempts) = (Store::new(), seen());
    for life in 0..5 {
        let (bus, seen) = (store.open(), Arc::clone(&attempts));
        let handler = move |_: &Placed, ctx: &mut Context| seen.lock().push(ctx.attempt());
        let reader = bus.subscribe("reader").rate_limit_per_key(Rate::per_minute(1));
        reader.on(handler).start().unwrap();
        if life == 0 {
            bus.publish_all((0..5).map(|step| placed(1, step))).unwrap();
        }
        store.sim.advance(SECOND);
        store.kill(bus);
    }
    assert_eq!(*attempts.lock(), [1; 5]);
}

/// It may wait for long, and is looked at all the time.
#[test]
fn a_copy_that_waits_for_its_original_is_not_noted_again_and_again() {
    let (store, notes) = (Store::new(), Arc::<AtomicU64>::default());
    let open = || {
        let notes = Arc::clone(&notes);
        let storage = Hooked::new(store.storage()).before_commit(move |commit| {
            let is_note = commit.writes.iter().any(|write| write.key.starts_with(b"careful"));
            notes.fetch_add(u64::from(is_note), Relaxed);
            Ok(())
        });
        Bus::builder().runtime(store.sim.runtime()).storage(storage).build().unwrap()
    };
    let pull = |bus: &Bus| {
        let reader = bus.subscribe("reader").idempotent_by(Window::last(9), |e: &Placed| e.step);
        reader.stream::<Placed>().unwrap()
    };
    let bus = open();
    drop(pull(&bus));
    let mut events = pull(&bus);
    bus.publish_all([placed(1, 7), placed(2, 7)]).unwrap();
    std::mem::forget(events.next_within(SECOND));
    store.kill(bus);
    drop(events);

    let bus = open();
    let mut events = pull(&bus);
    let original = events.next_within(SECOND).unwrap();
    store.sim.advance(3600 * SECOND);
    let count = notes.load(Relaxed);
    assert!((3..12).contains(&count), "{count}");
    original.ack();
    store.sim.run_until_idle();
    let ledger = events.subscription().ledger();
    assert_eq!((ledger.acknowledged, ledger.duplicate), (1, 1), "{ledger}");
}
