//! Checks of closing, restarts, streams that are made anew, and connections that are cut.

use std::time::Duration;

use super::{
    TransportFixture, accept, arrive, must, nothing_comes, number, open, parcel, parcels, same,
    settle, skip, sorted, wait_until,
};
use crate::transport::{HighWater, Sent, Settlement, Stream, Transport, TransportError};

const NO_TIME: Duration = Duration::ZERO;

pub(super) fn a_closed_transport_refuses_everything<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=2));
    let arrived = arrive(fixture, &transport, ("g", 2), NO_TIME);
    must(transport.close(), "closing");
    let outcomes = [
        ("send", transport.send(&parcels(3..=4)).into_iter().find_map(Result::err)),
        ("receive", transport.receive("g", 1).err()),
        ("settle", transport.settle(&arrived[0].token, Settlement::Ack).err()),
        ("streams", transport.streams().err()),
    ];
    for (call, outcome) in outcomes {
        let refused = matches!(outcome, Some(TransportError::Closed));
        assert!(refused, "{call} after close: expected `Closed`, found {outcome:?}");
    }
}

pub(super) fn closing_twice_is_fine<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    must(transport.close(), "closing");
    must(transport.close(), "closing again");
    let other = open(fixture);
    accept(fixture, &other, &[parcel(1)]);
    arrive(fixture, &other, ("g", 1), NO_TIME);
}

pub(super) fn a_restart_loses_nothing<F: TransportFixture>(fixture: &F) {
    let mut transport = open(fixture);
    if !transport.capabilities().persistent {
        return skip("the transport does not survive restarts");
    }
    let timeout = transport.capabilities().ack_timeout.unwrap_or_default();
    for round in 0..4 {
        let first = round * 3;
        accept(fixture, &transport, &parcels(first..first + 3));
        must(transport.close(), "closing");
        if fixture.restart() {
            fixture.pass(fixture.latency());
        }
        transport = open(fixture);
        for group in ["a", "b"] {
            let arrived = arrive(fixture, &transport, (group, 3), timeout * 2);
            same(sorted(&arrived), (first..first + 3).collect(), "what was sent before a restart");
            for arrival in arrived {
                settle(fixture, &transport, &arrival.token, Settlement::Ack);
            }
        }
    }
    must(transport.close(), "closing");
    fixture.restart();
    nothing_comes(fixture, &open(fixture), "a", timeout * 2);
    let arrived = arrive(fixture, &open(fixture), ("c", 12), NO_TIME);
    same(sorted(&arrived), (0..12).collect(), "what a new group gets after restarts");
}

/// The streams once they can be told.
#[track_caller]
fn streams<F: TransportFixture>(fixture: &F, transport: &F::Transport) -> Vec<Stream> {
    let mut streams = Vec::new();
    let told = wait_until(fixture, NO_TIME, || match transport.streams() {
        Ok(found) => {
            streams = found;
            !streams.is_empty()
        }
        Err(error) if error.is_passing() => false,
        Err(error) => panic!("asking for the streams failed: {error}"),
    });
    assert!(told, "there are no streams");
    streams
}

pub(super) fn a_stream_keeps_its_identity_and_goes_on<F: TransportFixture>(fixture: &F) {
    let mut seen = HighWater::new();
    for round in 0..3 {
        let transport = open(fixture);
        if round > 0 && !transport.capabilities().persistent {
            return skip("the transport does not survive restarts");
        }
        let found = streams(fixture, &transport);
        if let Err(change) = seen.look(&found) {
            panic!("after a restart that lost nothing: {change}");
        }
        for number in 0..5 {
            let (place, is_copy) =
                accept(fixture, &transport, &[parcel(round * 5 + number)]).remove(0);
            if let Err(change) = seen.note(&place, is_copy) {
                panic!("though nothing was lost: {change}");
            }
        }
        must(transport.close(), "closing");
        fixture.restart();
    }
}

pub(super) fn a_stream_that_was_made_anew_is_noticed<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let mut seen = HighWater::new();
    let known = seen.look(&streams(fixture, &transport));
    assert!(known.is_ok(), "nothing was seen before, and yet: {known:?}");
    for (place, is_copy) in accept(fixture, &transport, &parcels(1..=8)) {
        assert!(
            seen.note(&place, is_copy).is_ok(),
            "{place:?} is not one of the streams, in their order"
        );
    }
    if !fixture.recreate() {
        return skip("the fixture cannot make its streams anew");
    }
    // As many as there were, so that how far it has come does not show it.
    for number in 11..=18 {
        transport.send(&[parcel(number)]);
        fixture.pass(fixture.latency() / 5);
    }
    let noticed = wait_until(fixture, NO_TIME, || {
        transport.streams().is_ok_and(|streams| seen.look(&streams).is_err())
    });
    assert!(noticed, "a connection does not say that its stream was made anew");
    let again = open(fixture);
    let noticed = wait_until(fixture, NO_TIME, || {
        again.streams().is_ok_and(|streams| seen.look(&streams).is_err())
    });
    assert!(noticed, "a new connection does not say that its stream was made anew");
    accept(fixture, &again, &parcels(21..=22));
    let mut found = Vec::new();
    let came = wait_until(fixture, NO_TIME, || {
        let arrivals = again.receive("new", 10).unwrap_or_default();
        found.extend(arrivals.iter().map(number));
        found.contains(&21) && found.contains(&22)
    });
    assert!(came, "what is sent to the new stream does not arrive");
}

pub(super) fn a_cut_connection_loses_nothing<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    accept(fixture, &transport, &parcels(1..=2));
    if !fixture.cut() {
        return skip("the fixture cannot cut its connections");
    }
    let sent = parcels(3..=6);
    for outcome in transport.send(&sent) {
        let is_accepted = matches!(outcome, Ok(Sent::Accepted { .. }));
        assert!(!is_accepted, "a parcel was accepted, though nobody can have heard of it");
    }
    fixture.pass(fixture.latency() * 5);
    fixture.mend();
    accept(fixture, &transport, &sent);
    // What was under way may have come twice, where copies are not dropped.
    let drops_copies = transport.capabilities().dedup_window.is_some();
    let mut found = Vec::new();
    let all = wait_until(fixture, NO_TIME, || {
        let arrivals = transport.receive("g", 10).unwrap_or_default();
        found.extend(sorted(&arrivals));
        (1..=6).all(|number| found.contains(&number))
    });
    assert!(all, "of what was sent around a cut, this has arrived: {found:?}");
    if drops_copies {
        found.sort_unstable();
        same(found, (1..=6).collect(), "what has arrived after a cut");
        nothing_comes(fixture, &transport, "g", NO_TIME);
    }
}
