//! Publishing on a condition: what counts, who loses, and what the loser is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Barrier},
    thread,
};

use proptest::prelude::*;
use tidings::{
    Bus, BusBuilder, Expected, Message, Position, PublishFailure, Unread,
    storage::MemoryStorage,
    testing::{Faults, sim},
};

use crate::store::{Placed, Shipped, Store, placed};

fn found(failure: &PublishFailure) -> Option<Option<Position>> {
    match failure {
        PublishFailure::Conflict { found, .. } => Some(*found),
        _ => None,
    }
}

#[test]
fn who_comes_second_is_told_who_came_first_and_has_the_event_back() {
    let bus = Store::new().open();
    let first = bus.publish_if(Expected::none_of(7), placed(7, 1)).unwrap();
    let lost = bus.publish_if(Expected::none_of(7), placed(7, 2)).unwrap_err();
    assert_eq!(found(lost.failure()), Some(Some(first.position)));
    let text = "could not publish `orders.placed`: the last one of key `7` is at 1, not nowhere";
    assert_eq!(lost.to_string(), text);
    assert_eq!(lost.into_event(), placed(7, 2));
    let second = bus.publish_if(Expected::last_of(7, first.position), placed(7, 2)).unwrap();
    assert_eq!(second.position.since(first.position), 1);
}

#[test]
fn other_keys_and_other_events_do_not_disturb() {
    let bus = Store::new().open();
    let seven = bus.publish(placed(7, 1)).unwrap().position;
    bus.publish(placed(8, 1)).unwrap();
    bus.publish(Shipped { order: 7 }).unwrap();
    bus.publish_if(Expected::none_of("nobody"), placed(7, 2)).unwrap();
    let lost = bus.publish_if(Expected::last_of(7, seven), placed(7, 3)).unwrap_err();
    assert_eq!(found(lost.failure()), Some(Position::new(4)), "plain publishes count");
    let shipped = Expected::last_of(7, Position::new(3).unwrap());
    bus.publish_if(shipped, Shipped { order: 7 }).unwrap();
}

#[test]
fn a_position_without_such_an_event_is_not_what_was_expected() {
    let bus = Store::new().open();
    let seven = bus.publish(placed(7, 1)).unwrap().position;
    let eight = bus.publish(placed(8, 1)).unwrap().position;
    for wrong in [eight, bus.end(), bus.end().plus(5)] {
        let lost = bus.publish_if(Expected::last_of(7, wrong), placed(7, 2)).unwrap_err();
        assert_eq!(found(lost.failure()), Some(Some(seven)), "{wrong}");
    }
    let lost = bus.publish_if(Expected::last_of(9, seven), placed(9, 2)).unwrap_err();
    assert_eq!(found(lost.failure()), Some(None));
}

/// What was dropped is as it was: nobody can have followed it.
#[test]
fn an_event_that_was_dropped_from_the_log_may_still_be_followed() {
    let bus = Store::new().open();
    let seven = bus.publish(placed(7, 1)).unwrap().position;
    for order in 0..200 {
        bus.publish(placed(1000 + order, 1)).unwrap();
    }
    let first = bus.trim(bus.end(), Unread::Keep).unwrap();
    assert!(first > seven);
    let followed = bus.publish_if(Expected::last_of(7, seven), placed(7, 2)).unwrap().position;
    let lost = bus.publish_if(Expected::last_of(7, seven), placed(7, 3)).unwrap_err();
    assert_eq!(found(lost.failure()), Some(Some(followed)));
    let beyond = bus.end().plus(5);
    let lost = bus.publish_if(Expected::last_of(8, beyond), placed(8, 1)).unwrap_err();
    assert_eq!(found(lost.failure()), Some(None));
}

#[test]
fn several_events_are_published_all_or_none() {
    let bus = Store::new().open();
    let both = [placed(7, 1), placed(7, 2)];
    let receipts = bus.publish_all_if(Expected::none_of(7), both.clone()).unwrap();
    let lost = bus.publish_all_if(Expected::last_of(7, receipts[0].position), both.clone());
    let lost = lost.unwrap_err();
    assert_eq!(found(lost.failure()), Some(Some(receipts[1].position)));
    let back: Vec<_> = lost.into_messages().into_iter().map(Message::into_event).collect();
    assert_eq!(back, both);
    assert_eq!(bus.end(), receipts[1].position.next());
    let newest = Expected::last_of(7, receipts[1].position);
    bus.publish_all_if(newest, both).unwrap();
}

#[test]
fn a_copy_has_no_conflict_with_its_original() {
    let bus = Store::new().open();
    let message = || Message::new(placed(7, 1)).idempotency_key("a");
    let first = bus.publish_if(Expected::none_of(7), message()).unwrap();
    assert_eq!(bus.publish_if(Expected::none_of(7), message()).unwrap(), first);
    let other = Message::new(placed(7, 1)).idempotency_key("b");
    let lost = bus.publish_if(Expected::none_of(7), other).unwrap_err();
    assert_eq!(found(lost.failure()), Some(Some(first.position)));
    // What lost is not remembered as published.
    let other = lost.into_message();
    let second = bus.publish_if(Expected::last_of(7, first.position), other).unwrap();
    assert_eq!(second.position, first.position.next());
}

#[test]
fn what_comes_before_it_in_the_same_commit_counts() {
    let bus = Store::new().open();
    let pending = bus.enqueue(placed(7, 1)).unwrap();
    let lost = bus.publish_if(Expected::none_of(7), placed(7, 2)).unwrap_err();
    let first = pending.wait().unwrap();
    assert_eq!(found(lost.failure()), Some(Some(first.position)));
    let pending = bus.enqueue(placed(8, 1)).unwrap();
    let expected = Expected::last_of(7, first.position);
    let won = bus.publish_if(expected, placed(7, 2)).unwrap();
    assert_eq!(pending.wait().unwrap().position.next(), won.position);
}

#[test]
fn a_volatile_bus_refuses_and_hands_the_event_back() {
    let bus = Bus::volatile();
    let lost = bus.publish_if(Expected::none_of(7), placed(7, 1)).unwrap_err();
    assert!(matches!(lost.failure(), PublishFailure::Unsupported { .. }), "{lost}");
    assert_eq!(lost.into_event(), placed(7, 1));
}

#[test]
fn of_many_threads_that_expect_the_same_one_wins() {
    const THREADS: u64 = 4;
    const EACH: u64 = 100;
    let bus = Bus::builder().storage(MemoryStorage::new()).build().unwrap();
    let bus = Arc::new(bus);
    let count_up = |thread: u64| {
        let bus = Arc::clone(&bus);
        move || {
            for number in 0..EACH {
                let key = number % 3;
                let mut expected = Expected::none_of(key);
                let mut cents = 0;
                loop {
                    match bus.publish_if(expected, placed(key, cents)) {
                        Ok(_) => break,
                        Err(lost) => assert!(found(lost.failure()).is_some(), "{lost}"),
                    }
                    let pasts = bus.history().of::<Placed>().key(key).into_iter();
                    let last = pasts.last().unwrap().unwrap();
                    cents = last.cents + 1;
                    expected = Expected::last_of(key, last.position());
                }
                if thread == 0 {
                    bus.publish(Shipped { order: key }).unwrap();
                }
            }
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|thread| thread::spawn(count_up(thread))).collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut total = 0;
    for key in 0..3 {
        let cents: Vec<_> = bus
            .history()
            .of::<Placed>()
            .key(key)
            .into_iter()
            .map(|past| past.unwrap().cents)
            .collect();
        assert_eq!(cents, (0..cents.len() as u64).collect::<Vec<_>>());
        total += cents.len() as u64;
    }
    assert_eq!(total, THREADS * EACH);
}

#[test]
fn of_threads_that_begin_at_one_moment_one_wins() {
    const THREADS: usize = 4;
    const ROUNDS: u64 = 300;
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::builder().open(dir.path()).unwrap();
    let moment = Barrier::new(THREADS);
    let take = || {
        let won = |round: &u64| {
            moment.wait();
            bus.publish_if(Expected::none_of(*round), placed(*round, 0)).is_ok()
        };
        (0..ROUNDS).filter(won).count()
    };
    let wins: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(wins as u64, ROUNDS);
    assert_eq!(bus.end().get(), ROUNDS + 1);
}

/// A publish under a condition: of which event, expecting what, as one of how many.
#[derive(Debug, Clone)]
struct Attempt {
    is_shipped: bool,
    key: u64,
    /// The last one, the one before, none, or any position.
    expects: Expects,
    events: u64,
}

#[derive(Debug, Clone, Copy)]
enum Expects {
    Nothing,
    Last,
    Before,
    At(u64),
    Unconditionally,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let expects = prop_oneof![
        2 => Just(Expects::Nothing),
        4 => Just(Expects::Last),
        2 => Just(Expects::Before),
        1 => (1..40_u64).prop_map(Expects::At),
        2 => Just(Expects::Unconditionally),
    ];
    let attempt = (any::<bool>(), 0..3_u64, expects, 1..4_u64);
    let attempt = attempt.prop_map(|(is_shipped, key, expects, events)| Attempt {
        is_shipped,
        key,
        expects,
        events,
    });
    proptest::collection::vec(attempt, 1..60)
}

fn publish(bus: &Bus, attempt: &Attempt, expected: Option<Expected>) -> Option<Option<Position>> {
    macro_rules! publish {
        ($event:expr) => {{
            let events = std::iter::repeat_n($event, attempt.events as usize);
            match expected {
                Some(expected) => bus.publish_all_if(expected, events),
                None => bus.publish_all(events),
            }
            .map_or_else(|lost| Some(found(lost.failure()).expect("a conflict")), |_| None)
        }};
    }
    if attempt.is_shipped {
        publish!(Shipped { order: attempt.key })
    } else {
        publish!(placed(attempt.key, 0))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_is_what_a_list_of_all_events_says(attempts in attempts()) {
        let bus = Store::new().open();
        let mut log: Vec<(bool, u64)> = Vec::new();
        for attempt in attempts {
            let places = log.iter().enumerate().filter(|(_, event)| **event == (attempt.is_shipped, attempt.key));
            let places: Vec<_> = places.map(|(at, _)| Position::new(at as u64 + 1).unwrap()).collect();
            let expected = match attempt.expects {
                Expects::Nothing => Some(None),
                Expects::Last => Some(places.last().copied()),
                Expects::Before => Some(places.iter().rev().nth(1).copied()),
                Expects::At(at) => Some(Position::new(at)),
                Expects::Unconditionally => None,
            };
            let holds = expected.is_none_or(|expected| expected == places.last().copied());
            let expectation = expected.map(|expected| match expected {
                Some(position) => Expected::last_of(attempt.key, position),
                None => Expected::none_of(attempt.key),
            });
            let conflict = publish(&bus, &attempt, expectation);
            prop_assert_eq!(conflict, (!holds).then(|| places.last().copied()));
            if holds {
                log.extend(std::iter::repeat_n((attempt.is_shipped, attempt.key), attempt.events as usize));
            }
            prop_assert_eq!(bus.end().get(), log.len() as u64 + 1);
        }
    }
}

#[test]
fn whatever_dies_no_two_events_follow_the_same_one() {
    let explored = sim::explore(0..150, Faults::swarm(), |sim| {
        sim.process(BusBuilder::build);
        for number in 0..12 {
            let key = number % 2;
            let bus = sim.bus();
            let pasts = bus.history().of::<Placed>().key(key).into_iter();
            let Ok(pasts) = pasts.collect::<Result<Vec<_>, _>>() else { continue };
            let expected = pasts.last().map_or_else(
                || Expected::none_of(key),
                |last| Expected::last_of(key, last.position()),
            );
            // Another client is faster, now and then.
            if sim.chance("another client", 0.3) {
                bus.publish(placed(key, pasts.len() as u64)).map(drop).ok();
            }
            match bus.publish_if(expected, placed(key, pasts.len() as u64)) {
                Ok(receipt) => sim.note(format!("{key} is at {}", receipt.position)),
                Err(lost) => sim.note(lost),
            }
        }
        sim.settle();
        let mut chains: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for past in sim.bus().history().of::<Placed>() {
            let past = past.unwrap();
            chains.entry(past.order).or_default().push(past.cents);
        }
        for (key, chain) in chains {
            assert_eq!(chain, (0..chain.len() as u64).collect::<Vec<_>>(), "of key {key}");
        }
    });
    assert_eq!(explored.runs, 150);
}
