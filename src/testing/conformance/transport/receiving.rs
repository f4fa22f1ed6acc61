//! Checks of receiving: what comes to whom, when, and in which order.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    TransportFixture, accept, arrive, content, keyed, must, nothing_comes, number, numbers, open,
    parcel, parcels, same, settle, skip, sorted, wait_until,
};
use crate::transport::{Order, Settlement, Transport};

const NO_TIME: Duration = Duration::ZERO;

#[allow(clippy::disallowed_methods)] // whether a call waits shows by the real clock alone
pub(super) fn nothing_to_receive_is_answered_at_once<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let shortest = (0..3).map(|_| {
        let start = std::time::Instant::now();
        same(must(transport.receive("g", 10), "receiving"), Vec::new(), "what has arrived");
        start.elapsed()
    });
    let shortest = shortest.min().unwrap_or_default();
    assert!(shortest < Duration::from_millis(300), "receiving nothing took {shortest:?}");
}

pub(super) fn no_more_is_received_than_was_asked_for<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=10));
    let mut found = Vec::new();
    let all = wait_until(fixture, NO_TIME, || {
        same(must(transport.receive("g", 0), "receiving"), Vec::new(), "of none");
        let arrivals = must(transport.receive("g", 3), "receiving");
        assert!(arrivals.len() <= 3, "{} parcels were received of at most 3", arrivals.len());
        found.extend(sorted(&arrivals));
        found.len() >= 10
    });
    assert!(all, "of ten parcels, three at a time, these have arrived: {found:?}");
    found.sort_unstable();
    same(found, (1..=10).collect(), "what has arrived");
}

pub(super) fn a_new_group_begins_with_the_oldest<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=3));
    for arrival in arrive(fixture, &transport, ("old", 3), NO_TIME) {
        settle(fixture, &transport, &arrival.token, Settlement::Ack);
    }
    let other = open(fixture);
    let arrived = arrive(fixture, &other, ("new", 3), NO_TIME);
    same(sorted(&arrived), (1..=3).collect(), "what a new group gets");
}

pub(super) fn the_members_of_a_group_share_what_arrives<F: TransportFixture>(fixture: &F) {
    let members = [open(fixture), open(fixture)];
    for member in &members {
        same(must(member.receive("g", 1), "receiving"), Vec::new(), "before anything is sent");
    }
    fixture.pass(fixture.latency());
    let sent: Vec<_> = (0..30).map(|number| keyed(number, number % 7)).collect();
    accept(fixture, &members[0], &sent);
    let mut found = Vec::new();
    let all = wait_until(fixture, NO_TIME, || {
        for member in &members {
            for arrival in must(member.receive("g", 4), "receiving") {
                found.push(number(&arrival));
                settle(fixture, member, &arrival.token, Settlement::Ack);
            }
        }
        found.len() >= 30
    });
    assert!(all, "of thirty parcels the members have these: {found:?}");
    found.sort_unstable();
    same(found, (0..30).collect(), "what the members have together");
    for member in &members {
        nothing_comes(fixture, member, "g", NO_TIME);
    }
}

pub(super) fn the_declared_order_is_kept<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let order = transport.capabilities().order;
    if order == Order::None {
        return skip("the transport keeps no order");
    }
    let mut found = Vec::new();
    let mut next = 0;
    for batch in [1, 7, 2, 12, 1, 1, 20, 16] {
        let sent: Vec<_> = (next..next + batch).map(|number| keyed(number, number % 5)).collect();
        accept(fixture, &transport, &sent);
        next += batch;
        for arrival in must(transport.receive("g", 4), "receiving") {
            same(arrival.redeliveries, 0, "redeliveries of what was never settled or late");
            settle(fixture, &transport, &arrival.token, Settlement::Ack);
            found.push(arrival);
        }
    }
    let left = usize::try_from(next).unwrap_or(0) - found.len();
    found.extend(arrive(fixture, &transport, ("g", left), NO_TIME));
    if order == Order::Total {
        return same(numbers(&found), (0..next).collect(), "the order of all parcels");
    }
    let mut by_key: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for arrival in &found {
        let key = content(arrival).envelope().key.as_ref().map(ToString::to_string);
        by_key.entry(key).or_default().push(number(arrival));
    }
    for (key, numbers) in by_key {
        assert!(numbers.is_sorted(), "parcels of {key:?} have arrived in this order: {numbers:?}");
    }
}

pub(super) fn a_notifier_is_called_when_there_is_something_to_receive<F: TransportFixture>(
    fixture: &F,
) {
    let (transport, sender) = (open(fixture), open(fixture));
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    transport.set_notifier(Arc::new(move || {
        counted.fetch_add(1, Ordering::AcqRel);
    }));
    same(must(transport.receive("g", 1), "receiving"), Vec::new(), "before anything is sent");
    let is_called_for = |time: Duration, why: &str| {
        let before = calls.swap(0, Ordering::AcqRel);
        let called = wait_until(fixture, time, || calls.load(Ordering::Acquire) > 0);
        assert!(called, "the notifier is not called {why}; {before} times before");
    };
    fixture.pass(fixture.latency());
    calls.store(0, Ordering::Release);
    accept(fixture, &sender, &[parcel(1)]);
    if calls.load(Ordering::Acquire) == 0 {
        is_called_for(NO_TIME, "when a parcel comes");
    }
    let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
    let after = fixture.latency() * 4;
    fixture.pass(fixture.latency());
    settle(fixture, &transport, &arrived[0].token, Settlement::Retry { after });
    is_called_for(after, "when a parcel comes again");
    let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
    settle(fixture, &transport, &arrived[0].token, Settlement::Ack);
}
