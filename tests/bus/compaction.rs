//! Events of which the newest of a key says everything.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tidings::{
    Event, Position,
    storage::{Query, Storage},
};

use crate::{
    events::{Placed, SECOND, placed, seen},
    store::Store,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "prices.changed", key = "product", compacted = true)]
struct PriceChanged {
    product: u64,
    cents: u64,
}

/// Everything that the log has, by position.
fn log(store: &Store) -> BTreeMap<u64, (String, Vec<u8>)> {
    let storage = store.storage();
    let mut found = BTreeMap::new();
    let mut query = Query::from(Position::FIRST);
    while query.from < storage.end() {
        let page = storage.read(&query).unwrap();
        for (at, record) in page.records {
            found.insert(at.get(), (record.envelope.name.to_string(), record.payload));
        }
        query.from = page.next;
    }
    storage.close().unwrap();
    found
}

fn price(product: u64, cents: u64) -> PriceChanged {
    PriceChanged { product, cents }
}

#[test]
fn only_the_newest_of_each_key_stays_and_others_are_untouched() {
    let store = Store::in_small_segments();
    let bus = store.open();
    for round in 0..100 {
        for product in 0..5 {
            bus.publish(price(product, round)).unwrap();
        }
        bus.publish(placed(round, 0)).unwrap();
    }
    let before = bus.shutdown(SECOND).map(|_| log(&store)).unwrap();
    let bus = store.open();
    bus.publisher::<PriceChanged>().unwrap();
    let dropped = bus.compact().unwrap();
    assert!(dropped > 350, "{dropped}");
    assert!(bus.compact().unwrap() < 30, "there is little left to do");
    bus.shutdown(SECOND).unwrap();
    store.disk.crash(3);

    let after = log(&store);
    assert_eq!(after.len() as u64, before.len() as u64 - dropped);
    assert!(after.iter().all(|(at, record)| before[at] == *record), "nothing has changed");
    let is_last = |at: &u64| {
        let product = serde_json::from_slice::<PriceChanged>(&before[at].1).unwrap().product;
        let mut later = before.range(at + 1..).filter(|(_, (name, _))| name == PriceChanged::NAME);
        !later.any(|(_, (_, payload))| {
            serde_json::from_slice::<PriceChanged>(payload).unwrap().product == product
        })
    };
    for (at, (name, _)) in &before {
        if name == Placed::NAME || is_last(at) {
            assert!(after.contains_key(at), "{name} at {at} is gone");
        }
    }
}

#[test]
fn what_a_subscription_has_not_handled_stays() {
    let store = Store::in_small_segments();
    let bus = store.open();
    let all = seen();
    let list = all.clone();
    let reader = bus.subscribe("reader").on(move |e: &PriceChanged| list.lock().push(e.cents));
    reader.start().unwrap().stop(SECOND);
    for cents in 0..500 {
        bus.publish(price(1, cents)).unwrap();
    }
    assert_eq!(bus.compact().unwrap(), 0);
    let list = all.clone();
    bus.subscribe("reader").on(move |e: &PriceChanged| list.lock().push(e.cents)).start().unwrap();
    store.sim.run_until_idle();
    assert_eq!(*all.lock(), (0..500).collect::<Vec<_>>());
    bus.compact().unwrap();
    bus.shutdown(SECOND).unwrap();
    let left = log(&store).len();
    assert!(left < 60, "{left}");
}

#[test]
fn it_happens_by_itself_and_a_new_subscription_gets_what_is_left() {
    let store = Store::in_small_segments();
    let bus = store.open();
    for cents in 0..2000 {
        bus.publish(price(cents % 3, cents)).unwrap();
        if cents % 100 == 0 {
            store.sim.advance(SECOND * 2);
        }
    }
    store.sim.run_until_idle();
    let all = seen();
    let list = all.clone();
    bus.subscribe("reader").on(move |e: &PriceChanged| list.lock().push(e.cents)).start().unwrap();
    store.sim.run_until_idle();
    let all = all.lock();
    assert!(all.len() < 400, "{}", all.len());
    assert!(all.is_sorted() && all.ends_with(&[1997, 1998, 1999]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn g4_a_crash_at_any_call_leaves_the_newest_of_each_key(stop in 0_u64..120, seed in any::<u64>()) {
        let store = Store::in_small_segments();
        let bus = store.open();
        for cents in 0..300 {
            bus.publish(price(cents % 7, cents)).unwrap();
        }
        store.disk.fail(tidings::testing::Fault::at(stop + 1).stop());
        // Whether it succeeds depends on the call.
        drop(bus.compact());
        store.sim.crash();
        store.disk.heal();
        store.disk.crash(seed);
        drop(bus);
        let log = log(&store);
        let mut newest = BTreeMap::new();
        for (_, payload) in log.values() {
            let PriceChanged { product, cents } = serde_json::from_slice(payload).unwrap();
            newest.insert(product, cents);
        }
        let expected: BTreeMap<u64, u64> = (293..300).map(|cents| (cents % 7, cents)).collect();
        prop_assert_eq!(newest, expected);
    }
}
