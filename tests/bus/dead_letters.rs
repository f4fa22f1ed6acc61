//! Dead letters: what they tell, and what can be done with them.

use std::time::Duration;

use tidings::{
    Backoff, Bus, Condition, Context, DeadLetter, DeadLetterAlarm, DeadLetterError,
    DeadLetterReason, HandlerError, Letters, OnDeadLetter, Subscription, testing::Fault,
};

use crate::{
    events::{Placed, SECOND, Seen, placed, seen, simulated},
    store::Store,
};

fn attempts(letter: &DeadLetter) -> Vec<u32> {
    letter.failures().iter().map(|failure| failure.attempt).collect()
}

#[test]
fn a_letter_tells_of_its_last_ten_failures_and_a_retry_adds_to_them() {
    let (sim, bus) = simulated(1);
    let store = Store::new();
    let volatile = (sim, bus);
    let durable = (store.sim.clone(), store.open());
    for (sim, bus) in [volatile, durable] {
        bus.subscribe("billing")
            .retry(Backoff::constant(SECOND).max_attempts(7))
            .on(|_: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
                Err(HandlerError::retry(format!("failed {}", ctx.attempt())))
            })
            .start()
            .unwrap();
        bus.publish(placed(1, 0)).unwrap();
        sim.run_until_idle();
        let letters = bus.dead_letters("billing");
        let letter = letters.list().unwrap().remove(0);
        assert_eq!(attempts(&letter), (1..=7).collect::<Vec<_>>());
        let failures = letter.failures();
        assert_eq!((&*failures[6].error, failures[6].at), ("failed 7", letter.died_at()));
        assert_eq!(failures[0].at, letter.first_failed_at());
        assert_eq!(failures[1].at.since(failures[0].at), SECOND);

        letters.retry(letter.position()).unwrap();
        sim.run_until_idle();
        let letter = letters.get(letter.position()).unwrap();
        assert_eq!(attempts(&letter), (5..=14).collect::<Vec<_>>());
    }
}

#[test]
fn attempts_are_counted_though_a_letter_is_retried_before_its_next_death_is_committed() {
    let store = Store::new();
    let bus = store.open();
    let calls = seen();
    let list = calls.clone();
    let handle = move |_: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
        list.lock().push(ctx.attempt());
        Err(HandlerError::reject("not so"))
    };
    bus.subscribe("billing").on(handle).start().unwrap();
    let position = bus.publish(placed(1, 0)).unwrap().position;
    store.sim.run_until_idle();
    let letters = bus.dead_letters("billing");
    letters.retry(position).unwrap();
    while calls.lock().len() < 2 {
        assert!(store.sim.step());
    }
    letters.retry(position).unwrap();
    store.sim.run_until_idle();
    assert_eq!(*calls.lock(), [1, 2, 3]);
    let letter = letters.get(position).unwrap();
    assert_eq!((letter.attempts(), attempts(&letter)), (3, vec![1, 2, 3]));
}

/// Rejects everything at first, and handles it when it is tried again.
fn rejecting(bus: &Bus, handled: &Seen<u64>) -> Subscription {
    let list = handled.clone();
    let handle = move |event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
        if ctx.attempt() > 1 {
            list.lock().push(event.order);
            return Ok(());
        }
        match event.step {
            0 => Err(HandlerError::reject(format!("order {} not found", event.order))),
            _ => Err(HandlerError::retry("timed out")),
        }
    };
    bus.subscribe("billing").retry(Backoff::never()).on(handle).start().unwrap()
}

fn positions(letters: &[DeadLetter]) -> Vec<u64> {
    letters.iter().map(|letter| letter.position().get()).collect()
}

#[test]
fn a_filter_says_which_letters_are_listed_retried_and_discarded() {
    let store = Store::new();
    let bus = store.open();
    let handled = seen();
    let subscription = rejecting(&bus, &handled);
    bus.publish_all([placed(1, 0), placed(2, 1), placed(3, 0), placed(17, 1)]).unwrap();
    store.sim.run_until_idle();
    store.sim.advance(SECOND);
    let later = bus.publish(placed(17, 0)).unwrap();
    store.sim.run_until_idle();
    let letters = bus.dead_letters("billing");
    let time = letters.get(later.position).unwrap().died_at();
    let list = |filter: Letters| positions(&letters.list_where(&filter).unwrap());
    assert_eq!(list(Letters::all()), [1, 2, 3, 4, 5]);
    assert_eq!(list(Letters::all().reason(DeadLetterReason::Rejected)), [1, 3, 5]);
    assert_eq!(list(Letters::all().key("17")), [4, 5]);
    assert_eq!(list(Letters::all().error("timed").key("17")), [4]);
    assert_eq!(list(Letters::all().died_since(time)), [5]);
    assert_eq!(list(Letters::all().died_before(time).at_most(3)), [1, 2, 3]);
    assert_eq!(list(Letters::all().event("orders.shipped")), [0; 0]);

    assert_eq!(letters.retry_where(&Letters::all().error("timed out")).unwrap(), 2);
    store.sim.run_until_idle();
    assert_eq!(handled.lock().iter().sum::<u64>(), 2 + 17);
    assert_eq!(letters.discard_where(&Letters::all().at_most(1)).unwrap(), 1);
    assert_eq!(positions(&letters.list().unwrap()), [3, 5]);
    assert_eq!((subscription.ledger().discarded, subscription.status().discarded), (1, 1));
    store.kill(bus);
    let bus = store.open();
    let letters = bus.dead_letters("billing");
    assert_eq!(letters.discard_where(&Letters::all().key("17")).unwrap(), 1, "while nobody runs");
    assert_eq!(positions(&letters.list().unwrap()), [3]);
    let refused = letters.retry_where(&Letters::all());
    assert!(matches!(refused, Err(DeadLetterError::NotRunning { .. })));
}

#[test]
fn letters_that_died_of_the_same_are_one_group() {
    let (sim, bus) = simulated(5);
    let _billing = rejecting(&bus, &seen());
    bus.publish_all([placed(17, 0), placed(18, 0), placed(19, 1)]).unwrap();
    sim.advance(SECOND);
    bus.publish(placed(4711, 0)).unwrap();
    sim.run_until_idle();
    let groups = bus.dead_letters("billing").groups().unwrap();
    assert_eq!(groups.len(), 2);
    let group = &groups[0];
    assert_eq!((&*group.error, group.count), ("order # not found", 3));
    assert_eq!(group.last.since(group.first), SECOND);
    assert_eq!(group.example.get(), 1);
    assert_eq!((&*groups[1].error, groups[1].reason), ("timed out", DeadLetterReason::Exhausted));
}

#[test]
fn a_run_retries_letters_at_its_rate_and_can_be_stopped() {
    let (sim, bus) = simulated(6);
    let handled = seen();
    let _billing = rejecting(&bus, &handled);
    bus.publish_all((0..100).map(|order| placed(order, 0))).unwrap();
    sim.run_until_idle();
    let letters = bus.dead_letters("billing");
    let run = letters.retry_at(&Letters::all(), 10).unwrap();
    sim.advance(2 * SECOND);
    assert!((20..=21).contains(&handled.lock().len()));
    let progress = run.progress();
    assert_eq!((progress.total, progress.is_over), (100, false));
    run.stop();
    let so_far = handled.lock().len();
    sim.advance(2 * SECOND);
    assert_eq!(handled.lock().len(), so_far);

    let run = letters.retry_at(&Letters::all(), 1000).unwrap();
    assert_eq!(run.progress().total, 100 - so_far as u64);
    assert!(!run.wait(Duration::from_millis(1)));
    assert!(run.wait(SECOND));
    sim.run_until_idle();
    assert_eq!(handled.lock().len(), 100);
    assert!(letters.list().unwrap().is_empty());
}

#[test]
fn f10_a_run_that_ends_in_a_crash_goes_on_where_it_was_and_repeats_nothing_that_is_committed() {
    for steps in 0..60 {
        let store = Store::new();
        let bus = store.open();
        let handled = seen();
        let billing = rejecting(&bus, &handled);
        bus.publish_all((0..30).map(|order| placed(order, 0))).unwrap();
        store.sim.run_until_idle();
        let run = bus.dead_letters("billing").retry_at(&Letters::all(), 500).unwrap();
        // A second one beside it makes no second attempts of what is under way.
        let other = bus.dead_letters("billing").retry_at(&Letters::all(), 400).unwrap();
        (0..steps).for_each(|_| _ = store.sim.step());
        let committed = 30 - bus.dead_letters("billing").list().unwrap().len();
        store.sim.crash();
        store.disk.kill();
        drop((run, other, billing, bus));
        let before = handled.lock().len();
        assert!(before >= committed);

        let bus = store.open();
        let _billing = rejecting(&bus, &handled);
        let run = bus.dead_letters("billing").retry_at(&Letters::all(), 500).unwrap();
        assert!(run.wait(10 * SECOND));
        store.sim.run_until_idle();
        assert!(bus.dead_letters("billing").list().unwrap().is_empty());
        assert!(handled.lock().len() <= 30 + before - committed, "{steps} steps");
        let mut all = handled.lock().clone();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 30);
    }
}

#[test]
fn whoever_asks_is_told_when_letters_pile_up_and_may_panic() {
    let store = Store::new();
    let alarms = seen();
    let start = |bus: &Bus| {
        let (list, own) = (alarms.clone(), bus.clone());
        let tell = move |alarm: DeadLetterAlarm| {
            assert_eq!((&*alarm.subscription, alarm.bound), ("billing", 5));
            // Nothing is locked: it may look at the letters.
            own.dead_letters("billing").list().ok();
            list.lock().push((alarm.count, alarm.is_full));
            panic!("the pager is broken");
        };
        let handle = |event: &Placed, ctx: &mut Context| match ctx.attempt() {
            1 => Err(HandlerError::reject(format!("not {}", event.order))),
            _ => Ok(()),
        };
        let billing = bus.subscribe("billing").dead_letters(5).on_dead_letter_alarm(tell);
        billing.on(handle).start().unwrap()
    };
    let bus = store.open();
    let billing = start(&bus);
    bus.publish_all((0..5).map(|order| placed(order, 0))).unwrap();
    store.sim.run_until_idle();
    assert_eq!(*alarms.lock(), [(4, false), (5, true)]);
    let letters = bus.dead_letters("billing");
    letters.retry_where(&Letters::all().at_most(2)).unwrap();
    store.sim.run_until_idle();
    bus.publish(placed(5, 0)).unwrap();
    store.sim.run_until_idle();
    assert_eq!(alarms.lock()[2..], [(4, false)], "reached once more");
    letters.discard_where(&Letters::all().at_most(1)).unwrap();
    bus.publish_all([placed(6, 0), placed(7, 0)]).unwrap();
    store.sim.run_until_idle();
    assert_eq!(alarms.lock()[3..], [(4, false), (5, true)]);
    assert_eq!(billing.status().condition, Condition::DeadLettersFull);
    store.kill(bus);
    let bus = store.open();
    let _billing = start(&bus);
    assert_eq!(alarms.lock()[5..], [(5, true)], "it still is so at the start");
}

#[test]
fn a_run_takes_only_the_first_letter_of_a_held_key() {
    let (sim, bus) = simulated(7);
    let broken = seen();
    broken.lock().push(0);
    let failing = broken.clone();
    let handle = move |event: &Placed| -> Result<(), HandlerError> {
        if failing.lock().contains(&event.step) {
            return Err(HandlerError::reject("not so"));
        }
        Ok(())
    };
    let billing = bus.subscribe("billing").on_dead_letter(OnDeadLetter::HoldKey).on(handle);
    let billing = billing.start().unwrap();
    bus.publish_all((0..10).map(|step| placed(7, step))).unwrap();
    sim.run_until_idle();
    broken.lock().clear();
    let run = bus.dead_letters("billing").retry_at(&Letters::all().at_most(5), 1).unwrap();
    assert!(run.wait(SECOND));
    sim.run_until_idle();
    assert_eq!((run.progress().total, billing.status().handled), (1, 10));
}

/// Wherever the commit of a letter fails, either it is there afterwards or its event comes again.
/// Without room for it the subscription rests: see
/// `durable::f9_a_subscription_with_no_room_for_dead_letters_rests`.
#[test]
fn f9_a_letter_whose_commit_fails_is_not_lost_and_its_event_not_acknowledged() {
    let (mut kept, mut again) = (0, 0);
    let faults = |calls| [Fault::at(calls), Fault::at(calls).stop(), Fault::at(calls).once()];
    for fault in (1..8).flat_map(faults) {
        let store = Store::new();
        let calls = seen();
        let start = |bus: &Bus| {
            let called = calls.clone();
            let handle = move |event: &Placed| -> Result<(), HandlerError> {
                called.lock().push(event.order);
                Err(HandlerError::reject("never"))
            };
            bus.subscribe("billing").on(handle).start().unwrap()
        };
        let bus = store.open();
        let billing = start(&bus);
        store.sim.run_until_idle();
        bus.publish(placed(7, 0)).unwrap();
        store.disk.fail(fault);
        store.sim.run_until_idle();
        assert_eq!(*calls.lock(), [7]);
        let ledger = billing.ledger();
        assert_eq!(ledger.acknowledged, 0);
        if let Condition::Failed(_) = billing.status().condition {
            assert_eq!(ledger.dead, 0, "what is not committed is not counted");
        }
        store.kill(bus);
        store.disk.heal();

        let bus = store.open();
        let letters = bus.dead_letters("billing");
        let is_there = letters.list().unwrap().len();
        *if is_there == 1 { &mut kept } else { &mut again } += 1;
        let billing = start(&bus);
        store.sim.run_until_idle();
        assert_eq!(calls.lock().len(), 2 - is_there, "{fault:?}");
        assert_eq!(letters.list().unwrap().len(), 1);
        assert_eq!((billing.ledger().acknowledged, billing.ledger().dead), (0, 1));
    }
    assert!(kept > 0 && again > 0, "{kept} and {again}");
}
