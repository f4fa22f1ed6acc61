//! F16: keys that keep their order though an event of theirs is a dead letter.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidings::{
    Backoff, Bus, Context, DeadLetter, DeadLetterReason, DeadLetters, Deliveries, HandlerError,
    Lanes, OnDeadLetter, Position, Start, Subscription, SubscriptionBuilder, testing::Simulator,
};

use crate::{
    events::{Placed, SECOND, Seen, Tick, placed, seen, simulated},
    store::Store,
};

fn reasons(bus: &Bus) -> Vec<(u64, DeadLetterReason)> {
    let letters = bus.dead_letters("billing").list().unwrap();
    letters.iter().map(|letter| (letter.position().get(), letter.reason())).collect()
}

fn holding(bus: &Bus) -> SubscriptionBuilder {
    bus.subscribe("billing").on_dead_letter(OnDeadLetter::HoldKey).retry(Backoff::never())
}

/// Handles what is not in `broken`.
fn billing(bus: &Bus, broken: &Seen<u64>, handled: &Seen<u64>) -> Subscription {
    let (broken, handled) = (broken.clone(), handled.clone());
    let handle = move |event: &Placed, _: &mut Context| -> Result<(), HandlerError> {
        if broken.lock().contains(&event.step) {
            return Err(HandlerError::reject("not so"));
        }
        handled.lock().push(event.step);
        Ok(())
    };
    holding(bus).lanes(2).on(handle).start().unwrap()
}

#[test]
fn later_events_of_the_key_wait_behind_the_letter_and_follow_it_one_by_one() {
    let (sim, bus) = simulated(1);
    let store = Store::new();
    let durable = (store.sim.clone(), store.open());
    for (sim, bus) in [(sim, bus), durable] {
        use DeadLetterReason::{Behind, Rejected};
        let (broken, handled) = (seen(), seen());
        broken.lock().extend([1, 3]);
        let subscription = billing(&bus, &broken, &handled);
        bus.publish_all((0..5).map(|step| placed(7, step))).unwrap();
        bus.publish(placed(8, 9)).unwrap();
        sim.run_until_idle();
        assert_eq!(*handled.lock(), [0, 9], "another key goes on");
        let letters = [(2, Rejected), (3, Behind), (4, Behind), (5, Behind)];
        assert_eq!(reasons(&bus), letters);
        let behind = bus.dead_letters("billing").list().unwrap().remove(1);
        assert_eq!((behind.attempts(), behind.failures().len()), (0, 0), "it was never tried");
        assert_eq!((subscription.lag(), subscription.status().held), (0, 0));

        // Retrying any of them begins with the first.
        bus.dead_letters("billing").retry(behind.position()).unwrap();
        sim.run_until_idle();
        assert_eq!(reasons(&bus), letters);
        broken.lock().retain(|step| *step != 1);
        bus.dead_letters("billing").retry(behind.position()).unwrap();
        sim.run_until_idle();
        assert_eq!(*handled.lock(), [0, 9, 1, 2], "until one fails for good");
        assert_eq!(reasons(&bus), [(4, Rejected), (5, Behind)]);

        let head = bus.dead_letters("billing").list().unwrap()[0].position();
        bus.dead_letters("billing").discard(head).unwrap();
        sim.run_until_idle();
        assert_eq!(*handled.lock(), [0, 9, 1, 2, 4]);
        bus.publish(placed(7, 6)).unwrap();
        sim.run_until_idle();
        assert_eq!(handled.lock().last(), Some(&6), "the key is free again");
        assert!(subscription.ledger().is_balanced());
    }
}

#[test]
fn a_key_whose_first_letter_was_never_tried_goes_on_by_itself_after_a_restart() {
    let store = Store::new();
    let bus = store.open();
    let (broken, handled) = (seen(), seen());
    broken.lock().push(1);
    let _billing = billing(&bus, &broken, &handled);
    bus.publish_all((1..5).map(|step| placed(7, step))).unwrap();
    store.sim.run_until_idle();
    store.kill(bus);
    let bus = store.open();
    let head = bus.dead_letters("billing").list().unwrap()[0].position();
    bus.dead_letters("billing").discard(head).unwrap(); // nobody runs
    store.kill(bus);
    let bus = store.open();
    let _billing = billing(&bus, &broken, &handled);
    store.sim.run_until_idle();
    assert_eq!(*handled.lock(), [2, 3, 4]);
    assert!(reasons(&bus).is_empty());
}

#[test]
fn a_key_does_not_go_on_before_its_letter_is_given_up_for_good() {
    let mut refused = 0;
    for seed in 0..200 {
        let store = Store { sim: Simulator::new(seed), ..Store::new() };
        let bus = store.open();
        let (broken, handled) = (seen(), seen());
        broken.lock().push(0);
        let _billing = billing(&bus, &broken, &handled);
        let head = bus.publish(placed(7, 0)).unwrap().position;
        store.sim.run_until_idle();
        bus.publish(placed(7, 1)).unwrap();
        let _other = bus.enqueue(placed(8, 9)).unwrap(); // so that lanes work while others commit
        if seed % 2 == 0 {
            store.disk.fail_after(seed / 2 % 4);
        }
        let result = bus.dead_letters("billing").discard(head);
        assert!(!handled.lock().contains(&1), "seed {seed}: the letter is there until it is not");
        if result.is_err() {
            refused += 1;
            continue;
        }
        if seed % 2 > 0 {
            store.sim.run_until_idle();
            assert!(handled.lock().contains(&1), "seed {seed}: it follows by itself");
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_letter_that_is_retried_while_the_one_before_it_is_given_up_comes_after_that() {
    let mut met = 0;
    for seed in 0..200 {
        let store = Store { sim: Simulator::new(seed), ..Store::new() };
        let bus = store.open();
        let reject = |_: &Placed| Err::<(), _>(HandlerError::reject("not so"));
        let _billing = bus.subscribe("billing").on(reject).start().unwrap(); // holds no keys yet
        let heads = bus.publish_all([placed(7, 0), placed(7, 1)]).unwrap();
        store.sim.run_until_idle();
        store.kill(bus);

        let bus = store.open();
        let (handled, retried) = (seen(), seen());
        let _billing = billing(&bus, &seen(), &handled);
        let (letters, second, list) = (bus.dead_letters("billing"), heads[1], retried.clone());
        let retry = move |_: &Tick| list.lock().push(letters.retry(second.position).is_ok());
        let _ops = bus.subscribe("ops").start_at(Start::Latest).on(retry).start().unwrap();
        store.sim.run_until_idle();
        bus.publish(Tick(0)).unwrap();
        let _other = bus.enqueue(placed(8, 9)).unwrap();
        let early = retried.lock().len();
        bus.dead_letters("billing").discard(heads[0].position).unwrap();
        if early == 0 && *retried.lock() == [true] {
            met += 1;
            assert!(!handled.lock().contains(&1), "seed {seed}");
            store.sim.run_until_idle();
            assert!(handled.lock().contains(&1), "seed {seed}: its retry is lost");
        }
    }
    assert!(met > 20, "{met}");
}

#[test]
fn without_it_a_key_goes_on() {
    let (sim, bus) = simulated(3);
    let handled = seen();
    let list = handled.clone();
    let handle = move |event: &Placed| match event.step {
        0 => Err(HandlerError::reject("not so")),
        step => {
            list.lock().push(step);
            Ok(())
        }
    };
    bus.subscribe("billing").on(handle).start().unwrap();
    bus.publish_all((0..3).map(|step| placed(7, step))).unwrap();
    sim.run_until_idle();
    assert_eq!(*handled.lock(), [1, 2]);
    assert_eq!(reasons(&bus).len(), 1);
}

#[test]
fn letters_of_a_key_follow_though_there_is_no_room_for_more() {
    let (sim, bus) = simulated(4);
    let broken = seen();
    let handled = seen();
    broken.lock().push(0);
    let (failing, list) = (broken.clone(), handled.clone());
    let handle = move |event: &Placed| -> Result<(), HandlerError> {
        if failing.lock().contains(&event.step) {
            return Err(HandlerError::reject("not so"));
        }
        list.lock().push(event.step);
        Ok(())
    };
    holding(&bus).dead_letters(2).on(handle).start().unwrap();
    bus.publish_all((0..6).map(|step| placed(7, step))).unwrap();
    sim.advance(5 * SECOND);
    assert_eq!(reasons(&bus).len(), 2, "the rest waits");
    broken.lock().clear();
    bus.dead_letters("billing").retry_all().unwrap();
    sim.run_until_idle();
    assert_eq!(*handled.lock(), [0, 1, 2, 3, 4, 5]);
}

/// What has become of the events, by key and step.
#[derive(Clone, Default)]
struct Fates {
    handled: Arc<Mutex<BTreeSet<(u64, u64)>>>,
    discarded: Arc<Mutex<BTreeSet<(u64, u64)>>>,
    /// What they were corrected to.
    edited: Arc<Mutex<BTreeSet<(u64, u64)>>>,
}

impl Fates {
    /// Everything before it in its key is done with.
    fn handle(&self, event: &Placed) {
        let (mut handled, discarded) = (self.handled.lock(), self.discarded.lock());
        for step in 0..event.step {
            let before = (event.order, step);
            assert!(handled.contains(&before) || discarded.contains(&before), "{event:?}, {step}");
        }
        handled.insert((event.order, event.step));
    }
}

/// A run under a seed: random failures, retries, discards, changes of lanes, crashes.
struct Run {
    sim: Simulator,
    /// `None` for a volatile bus.
    store: Option<Store>,
    pulls: bool,
    room: u64,
    fates: Fates,
    next: [u64; 3],
}

enum Reader {
    Called(Subscription),
    Pulled(Deliveries<Placed>),
}

impl Reader {
    fn subscription(&self) -> &Subscription {
        match self {
            Self::Called(subscription) => subscription,
            Self::Pulled(deliveries) => deliveries.subscription(),
        }
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let sim = Simulator::new(seed);
        let store = (!seed.is_multiple_of(4)).then(|| Store { sim: sim.clone(), ..Store::new() });
        let room = if sim.random_below(2) == 0 { 4 } else { 100 };
        let pulls = seed.is_multiple_of(3);
        Self { sim, store, pulls, room, fates: Fates::default(), next: [0; 3] }
    }

    fn draw(&self, below: u64) -> u64 {
        self.sim.random_below(below)
    }

    fn open(&self) -> Bus {
        match &self.store {
            Some(store) => store.open(),
            None => Bus::builder().runtime(self.sim.runtime()).build().unwrap(),
        }
    }

    fn start(&self, bus: &Bus, fails: bool) -> Reader {
        let least = 1 + self.draw(3) as u32;
        let builder = holding(bus).dead_letters(self.room).lanes(Lanes::adaptive(least..=5));
        let builder = builder.retry(Backoff::constant(SECOND).max_attempts(2));
        if self.pulls {
            return Reader::Pulled(builder.stream().unwrap());
        }
        let (sim, fates) = (self.sim.clone(), self.fates.clone());
        let handle = move |event: &Placed, _: &mut Context| -> Result<(), HandlerError> {
            match sim.random_below(5) {
                0 if fails => Err(HandlerError::reject("never")),
                1 if fails => Err(HandlerError::retry("not now")),
                _ => {
                    fates.handle(event);
                    Ok(())
                }
            }
        };
        Reader::Called(builder.on(handle).start().unwrap())
    }

    fn pull(&self, reader: &mut Reader, fails: bool) -> bool {
        let Reader::Pulled(deliveries) = reader else { return false };
        let Some(event) = deliveries.next_within(Duration::from_millis(1)) else { return false };
        match self.draw(4) {
            0 if fails => event.reject("never"),
            1 if fails => event.retry(HandlerError::retry("not now")),
            _ => {
                self.fates.handle(&event);
                event.ack();
            }
        }
        true
    }

    fn act(&mut self, bus: &Bus, reader: &mut Reader) {
        let letters = bus.dead_letters("billing");
        match self.draw(12) {
            0..4 => {
                let key = self.draw(3) as usize;
                bus.publish(placed(key as u64, self.next[key])).unwrap();
                self.next[key] += 1;
            }
            4..7 => (0..self.draw(12)).for_each(|_| _ = self.sim.step()),
            7 => self.sim.advance(Duration::from_millis(self.draw(2000))),
            8 => {
                letters.retry_all().unwrap();
            }
            9 => {
                if let Some(letter) = self.any(&letters.list().unwrap()) {
                    letters.retry(letter.position()).ok();
                }
            }
            10 => {
                if let Some(letter) = self.any(&letters.list().unwrap())
                    && let Some(event) = event_of(letter)
                {
                    self.fates.discarded.lock().insert(event);
                    self.give_up(&letters, letter.position());
                }
            }
            _ => {
                reader.subscription().ask_for_lanes(1 + self.draw(5) as u32);
            }
        }
        self.pull(reader, true);
    }

    /// Discards the letter, or has its event come again with a key of its own.
    fn give_up(&self, letters: &DeadLetters, position: Position) {
        if self.draw(2) == 0 {
            letters.discard(position).ok();
            return;
        }
        let new = (1000 + position.get(), 0);
        let edit = |event: &mut Placed| (event.order, event.step) = new;
        if letters.edit_and_retry(position, edit).is_ok() {
            self.fates.edited.lock().insert(new);
        }
    }

    fn any<'a>(&self, letters: &'a [DeadLetter]) -> Option<&'a DeadLetter> {
        letters.get(self.draw(letters.len().max(1) as u64) as usize)
    }

    fn live(&mut self) {
        let bus = self.open();
        let mut reader = self.start(&bus, true);
        for _ in 0..self.draw(60) {
            self.act(&bus, &mut reader);
        }
        match &self.store {
            Some(store) => store.kill(bus),
            None => self.settle(&bus, &mut reader),
        }
    }

    /// Nothing is in the way any more: all is done with, or was discarded.
    fn settle(&self, bus: &Bus, reader: &mut Reader) {
        let letters = bus.dead_letters("billing");
        for _ in 0..1000 {
            letters.retry_all().unwrap();
            self.sim.advance(3 * SECOND);
            let mut is_idle = true;
            while self.pull(reader, false) {
                is_idle = false;
            }
            let lag = reader.subscription().lag();
            if is_idle && lag == 0 && letters.list().unwrap().is_empty() {
                break;
            }
        }
        let (handled, discarded) = (self.fates.handled.lock(), self.fates.discarded.lock());
        for event in &*self.fates.edited.lock() {
            assert!(handled.contains(event) || discarded.contains(event), "{event:?} is lost");
        }
        for (key, next) in (0..).zip(self.next) {
            for step in 0..next {
                let event = (key, step);
                assert!(
                    handled.contains(&event) || discarded.contains(&event),
                    "{event:?} is lost"
                );
            }
        }
    }
}

/// On a volatile bus a letter has no payload, and the run discards nothing.
fn event_of(letter: &DeadLetter) -> Option<(u64, u64)> {
    let event: Placed = serde_json::from_slice(letter.payload()).ok()?;
    Some((event.order, event.step))
}

#[test]
fn f16_each_key_is_handled_in_journal_order_whatever_fails_and_nothing_is_lost() {
    for seed in 0..1000 {
        let mut run = Run::new(seed);
        if run.store.is_none() {
            run.live();
            continue;
        }
        for _ in 0..3 {
            run.live();
        }
        let bus = run.open();
        let mut reader = run.start(&bus, false);
        run.settle(&bus, &mut reader);
    }
}
