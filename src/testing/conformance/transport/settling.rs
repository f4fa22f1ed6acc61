//! Checks of settling: what comes again, what does not, and when.

use std::time::Duration;

use super::{
    TransportFixture, accept, arrive, must, nothing_comes, number, open, parcel, parcels, same,
    settle, skip, sorted,
};
use crate::transport::{Arrival, Settlement, Token, Transport, TransportError};

const NO_TIME: Duration = Duration::ZERO;

/// For so long what is not settled may stay away, beyond the latency.
fn timeout(transport: &impl Transport) -> Duration {
    transport.capabilities().ack_timeout.unwrap_or_default()
}

/// What does not come again now, nor when it would have timed out, nor after a restart.
fn does_not_come_again<F: TransportFixture>(fixture: &F, settlement: Settlement) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=5));
    for arrival in arrive(fixture, &transport, ("g", 5), NO_TIME) {
        settle(fixture, &transport, &arrival.token, settlement);
    }
    nothing_comes(fixture, &transport, "g", timeout(&transport) * 2);
    must(transport.close(), "closing");
    let transport = open(fixture);
    nothing_comes(fixture, &transport, "g", timeout(&transport) * 2);
}

pub(super) fn what_is_acknowledged_does_not_come_again<F: TransportFixture>(fixture: &F) {
    does_not_come_again(fixture, Settlement::Ack);
}

pub(super) fn what_is_rejected_does_not_come_again<F: TransportFixture>(fixture: &F) {
    does_not_come_again(fixture, Settlement::Reject);
}

pub(super) fn what_is_to_be_tried_again_comes_after_its_delay<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=3));
    let after = fixture.latency() * 10;
    for arrival in arrive(fixture, &transport, ("g", 3), NO_TIME) {
        let settlement = match number(&arrival) {
            1 => Settlement::Retry { after },
            2 => Settlement::Retry { after: NO_TIME },
            _ => Settlement::Ack,
        };
        settle(fixture, &transport, &arrival.token, settlement);
    }
    let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
    same(sorted(&arrived), vec![2], "what comes again at once");
    settle(fixture, &transport, &arrived[0].token, Settlement::Ack);
    nothing_comes(fixture, &transport, "g", after / 4);
    let arrived = arrive(fixture, &transport, ("g", 1), after);
    same(sorted(&arrived), vec![1], "what comes again after its delay");
    settle(fixture, &transport, &arrived[0].token, Settlement::Ack);
    nothing_comes(fixture, &transport, "g", after);
}

pub(super) fn what_is_not_settled_in_time_comes_again<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let Some(timeout) = transport.capabilities().ack_timeout else {
        return skip("the transport has no acknowledgement timeout");
    };
    accept(fixture, &transport, &parcels(1..=3));
    let arrived = arrive(fixture, &transport, ("g", 3), NO_TIME);
    settle(fixture, &transport, &of(&arrived, 2).token, Settlement::Ack);
    nothing_comes(fixture, &transport, "g", timeout / 2);
    let other = open(fixture);
    let arrived = arrive(fixture, &other, ("g", 2), timeout);
    same(sorted(&arrived), vec![1, 3], "what comes again, to another member");
    for arrival in arrived {
        assert!(arrival.redeliveries > 0, "it is not said that a parcel comes again");
        settle(fixture, &other, &arrival.token, Settlement::Ack);
    }
    nothing_comes(fixture, &transport, "g", timeout * 2);
}

#[track_caller]
fn of(arrivals: &[Arrival], wanted: u64) -> &Arrival {
    match arrivals.iter().find(|arrival| number(arrival) == wanted) {
        Some(arrival) => arrival,
        None => panic!("parcel {wanted} has not arrived"),
    }
}

pub(super) fn what_was_not_settled_comes_again_after_a_restart<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=4));
    let mut arrived = arrive(fixture, &transport, ("g", 4), NO_TIME);
    // One with nothing before it that is open.
    arrived.sort_by(|one, other| one.place.cmp(&other.place));
    let settled = number(&arrived[0]);
    settle(fixture, &transport, &arrived[0].token, Settlement::Ack);
    must(transport.close(), "closing");
    let transport = open(fixture);
    let open: Vec<u64> = (1..=4).filter(|number| *number != settled).collect();
    let arrived = arrive(fixture, &transport, ("g", 3), timeout(&transport) * 2);
    same(sorted(&arrived), open, "what comes again, though it was received before");
}

pub(super) fn an_acknowledgement_is_of_one_parcel_alone<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=5));
    let mut arrived = arrive(fixture, &transport, ("g", 5), NO_TIME);
    arrived.sort_by_key(|arrival| arrival.place.sequence);
    let last = &arrived[4];
    settle(fixture, &transport, &last.token, Settlement::Ack);
    let others: Vec<u64> = (1..=5).filter(|other| *other != number(last)).collect();
    if let Some(timeout) = transport.capabilities().ack_timeout {
        let arrived = arrive(fixture, &transport, ("g", 4), timeout * 2);
        same(sorted(&arrived), others.clone(), "what comes again, since it was not settled");
    }
    must(transport.close(), "closing");
    let transport = open(fixture);
    let mut found = Vec::new();
    super::wait_until(fixture, timeout(&transport) * 2, || {
        found.extend(sorted(&must(transport.receive("g", 10), "receiving")));
        others.iter().all(|other| found.contains(other))
    });
    found.retain(|found| *found != number(last)); // it may come: something before it was open
    found.sort_unstable();
    same(found, others, "what comes again after a restart");
}

pub(super) fn groups_settle_for_themselves<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=3));
    for settlement in [Settlement::Ack, Settlement::Reject, Settlement::Retry { after: NO_TIME }] {
        let group = format!("{settlement:?}");
        let arrived = arrive(fixture, &transport, (&group, 3), NO_TIME);
        same(sorted(&arrived), vec![1, 2, 3], "what a group gets, whatever another did with it");
        for arrival in arrived {
            settle(fixture, &transport, &arrival.token, settlement);
        }
    }
    let again = format!("{:?}", Settlement::Retry { after: NO_TIME });
    arrive(fixture, &transport, (&again, 3), NO_TIME);
    for done in [Settlement::Ack, Settlement::Reject] {
        nothing_comes(fixture, &transport, &format!("{done:?}"), NO_TIME);
    }
}

pub(super) fn redeliveries_are_counted<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &[parcel(1)]);
    for before in 0..4 {
        let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
        same(arrived[0].redeliveries, before, "how often a parcel was delivered before");
        settle(fixture, &transport, &arrived[0].token, Settlement::Retry { after: NO_TIME });
    }
    let arrived = arrive(fixture, &transport, ("other", 1), NO_TIME);
    same(arrived[0].redeliveries, 0, "how often it was delivered to another group");
}

pub(super) fn settling_twice_harms_nothing<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=3));
    let arrived = arrive(fixture, &transport, ("g", 3), NO_TIME);
    let settled = &of(&arrived, 1).token;
    settle(fixture, &transport, settled, Settlement::Ack);
    let again = [Settlement::Ack, Settlement::Reject, Settlement::Retry { after: NO_TIME }];
    for settlement in again {
        let outcome = transport.settle(settled, settlement);
        let is_fine = matches!(outcome, Ok(()) | Err(TransportError::Stale));
        assert!(is_fine, "settling it again came out as {outcome:?}");
    }
    let foreign = transport.settle(&Token::new(*b"no token of yours"), Settlement::Ack);
    let refused = matches!(foreign, Err(TransportError::Stale));
    assert!(refused, "a token that it never gave came out as {foreign:?}");
    nothing_comes(fixture, &transport, "g", NO_TIME);
    settle(fixture, &transport, &of(&arrived, 2).token, Settlement::Retry { after: NO_TIME });
    let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
    same(sorted(&arrived), vec![2], "what comes again of the others");
}
