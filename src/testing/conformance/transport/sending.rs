//! Checks of sending: what is accepted, what is refused, and what is a copy.

use std::{collections::BTreeMap, time::Duration};

use super::{
    TransportFixture, accept, arrive, content, envelope, keyed, nothing_comes, number, open,
    parcel, parcel_of, parcels, same, settle, skip, sorted, wait_until,
};
use crate::{
    event::Key,
    message::{CorrelationId, MessageId},
    runtime::Timestamp,
    transport::{Order, Parcel, Place, Sent, Settlement, Transport, TransportError},
};

const NO_TIME: Duration = Duration::ZERO;

pub(super) fn what_is_sent_arrives_once_in_every_group<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    for round in 0..5 {
        let numbers = round * 10..round * 10 + 10;
        for (_, is_copy) in accept(fixture, &transport, &parcels(numbers.clone())) {
            assert!(!is_copy, "a parcel that was never sent before is said to be a copy");
        }
        for group in ["a", "b", "with some/odd name.*"] {
            let arrivals = arrive(fixture, &transport, (group, 10), NO_TIME);
            same(sorted(&arrivals), numbers.clone().collect(), "what has arrived");
        }
    }
    for group in ["a", "b"] {
        nothing_comes(fixture, &transport, group, NO_TIME);
    }
}

pub(super) fn an_envelope_arrives_with_every_field<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let mut full = envelope(1);
    full.name = "bestellung.aufgegeben-✓".into();
    full.version = u32::MAX;
    full.codec = "postcard".into();
    full.key = Some(Key::from("schlüssel/".repeat(80)));
    full.correlation = Some(CorrelationId::from("anfrage № 4711"));
    full.causation = Some(MessageId::from_bytes([0xff; 16]));
    full.published_at = Timestamp::from_nanos(u64::MAX);
    for (name, value) in [("größe", "日本語 🎉"), ("leer", ""), ("zeile", "a\nb\0c: d\r\n")]
    {
        if let Err(error) = full.headers.insert(name, value) {
            panic!("a header within its bounds was refused: {error}");
        }
    }
    let mut by_id = envelope(2);
    by_id.correlation = Some(MessageId::from_bytes([1; 16]).into());
    by_id.key = Some(Key::new(""));
    for envelope in [full, by_id, envelope(3)] {
        let sent = parcel_of(envelope, vec![0, 0xff, b'\n', 0]);
        accept(fixture, &transport, std::slice::from_ref(&sent));
        let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
        same(content(&arrived[0]), &sent, "the parcel");
    }
}

/// A payload that differs from those of other lengths throughout.
fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at ^ bytes ^ (at >> 8)).to_le_bytes()[0]).collect()
}

fn longest(transport: &impl Transport) -> usize {
    transport.capabilities().max_bytes.min(Parcel::MAX_PAYLOAD)
}

pub(super) fn payloads_of_every_length_arrive<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let longest = longest(&transport);
    let lengths = [0, 1, 2, 255, 256, 65_535, 65_536, longest.saturating_sub(1), longest];
    for (at, bytes) in (0..).zip(lengths.into_iter().filter(|bytes| *bytes <= longest)) {
        let sent = parcel_of(envelope(at), payload(bytes));
        accept(fixture, &transport, std::slice::from_ref(&sent));
        let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
        assert!(*content(&arrived[0]) == sent, "a payload of {bytes} bytes has changed");
        settle(fixture, &transport, &arrived[0].token, Settlement::Ack);
    }
}

/// A parcel whose payload is a byte longer than the transport takes, if there can be one.
fn too_long(transport: &impl Transport, number: u64) -> Option<Parcel> {
    let limit = transport.capabilities().max_bytes;
    if limit >= Parcel::MAX_PAYLOAD {
        skip("the transport takes every payload that can be published");
        return None;
    }
    let mut envelope = envelope(number);
    envelope.key = Some("key-1".into());
    Some(parcel_of(envelope, payload(limit + 1)))
}

pub(super) fn a_payload_that_is_too_long_is_refused<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let Some(long) = too_long(&transport, 1) else { return };
    let bytes = long.payload().len();
    match transport.send(&[long]).pop() {
        Some(Err(TransportError::TooLarge { bytes: named, limit })) => {
            same((named, limit), (bytes, bytes - 1), "what the refusal says");
        }
        outcome => panic!("{bytes} bytes came out as {outcome:?}, not `TooLarge`"),
    }
    accept(fixture, &transport, &[parcel(2)]);
    same(sorted(&arrive(fixture, &transport, ("g", 1), NO_TIME)), vec![2], "what has arrived");
    nothing_comes(fixture, &transport, "g", NO_TIME);
}

pub(super) fn what_has_to_follow_a_parcel_that_failed_is_not_accepted<F: TransportFixture>(
    fixture: &F,
) {
    let transport = open(fixture);
    let order = transport.capabilities().order;
    if order == Order::None {
        return skip("the transport keeps no order");
    }
    let Some(long) = too_long(&transport, 2) else { return };
    let same_key = [keyed(1, 1), long, keyed(3, 1), keyed(4, 1)];
    let sent = transport.send(&same_key);
    for follows in &sent[2..] {
        let is_held = matches!(follows, Err(TransportError::Behind));
        assert!(is_held, "behind a parcel that failed, the next one came out as {follows:?}");
    }
    if !matches!(sent[0], Ok(Sent::Accepted { .. })) {
        accept(fixture, &transport, &[keyed(1, 1)]);
    }
    let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
    same(sorted(&arrived), vec![1], "what has arrived");
    nothing_comes(fixture, &transport, "g", NO_TIME);
    accept(fixture, &transport, &[keyed(3, 1), keyed(4, 1)]);
    let arrived = arrive(fixture, &transport, ("g", 2), NO_TIME);
    same(sorted(&arrived), vec![3, 4], "what has arrived once it was sent again");
}

pub(super) fn a_copy_within_the_window_is_one_parcel<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let Some(window) = transport.capabilities().dedup_window else {
        return skip("the transport does not drop copies");
    };
    let originals = accept(fixture, &transport, &parcels(1..=5));
    let is_copy_of = |copies: Vec<(Place, bool)>, when: &str| {
        let expected: Vec<_> = originals.iter().map(|(place, _)| (place.clone(), true)).collect();
        same(copies, expected, &format!("the places of copies {when}"));
    };
    is_copy_of(accept(fixture, &transport, &parcels(1..=5)), "sent at once");
    let arrived = arrive(fixture, &transport, ("g", 5), NO_TIME);
    same(sorted(&arrived), (1..=5).collect(), "what has arrived");
    for arrival in arrived {
        settle(fixture, &transport, &arrival.token, Settlement::Ack);
    }
    fixture.pass(window / 2);
    is_copy_of(accept(fixture, &transport, &parcels(1..=5)), "sent within the window");
    super::must(transport.close(), "closing");
    let transport = open(fixture);
    is_copy_of(accept(fixture, &transport, &parcels(1..=5)), "sent after a restart");
    nothing_comes(fixture, &transport, "g", NO_TIME);
}

pub(super) fn parcels_with_ids_of_their_own_are_no_copies<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let alike = |number| {
        let mut envelope = envelope(number);
        envelope.key = Some("key".into());
        parcel_of(envelope, b"alike".to_vec())
    };
    let sent: Vec<Parcel> = (1..=4).map(alike).collect();
    for parcel in &sent {
        let accepted = accept(fixture, &transport, std::slice::from_ref(parcel));
        assert!(!accepted[0].1, "a parcel with an id of its own is said to be a copy");
    }
    let arrived = arrive(fixture, &transport, ("g", 4), NO_TIME);
    let mut ids: Vec<_> = arrived.iter().map(|arrival| content(arrival).id()).collect();
    ids.sort_unstable();
    same(ids, sent.iter().map(Parcel::id).collect(), "the ids that have arrived");
}

pub(super) fn a_delay_is_kept_or_refused<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let delay = fixture.latency() * 10;
    let delayed = parcel(1).delayed(delay);
    if !transport.capabilities().delayed {
        let outcome = transport.send(&[delayed]).pop();
        let refused = matches!(outcome, Some(Err(TransportError::Unsupported { .. })));
        assert!(refused, "a delay that cannot be kept came out as {outcome:?}");
        return nothing_comes(fixture, &transport, "g", NO_TIME);
    }
    accept(fixture, &transport, &[delayed, parcel(2)]);
    let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
    same(sorted(&arrived), vec![2], "what has arrived before the delay is over");
    nothing_comes(fixture, &transport, "g", delay / 2);
    let arrived = arrive(fixture, &transport, ("g", 1), delay);
    same(sorted(&arrived), vec![1], "what has arrived once the delay is over");
    same(arrived[0].redeliveries, 0, "redeliveries of a delayed parcel");
    settle(fixture, &transport, &arrived[0].token, Settlement::Ack);
    nothing_comes(fixture, &transport, "g", delay);
}

pub(super) fn a_place_says_where_a_parcel_is<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let mut accepted = BTreeMap::new();
    let mut highest = BTreeMap::new();
    for at in 0..20 {
        let (place, _) = accept(fixture, &transport, &[keyed(at, at % 5)]).remove(0);
        let before = highest.insert(place.stream.clone(), place.sequence);
        assert!(before < Some(place.sequence), "{place:?} does not lie behind {before:?}");
        accepted.insert(at, place);
    }
    for arrival in arrive(fixture, &transport, ("g", 20), NO_TIME) {
        let expected = accepted.get(&number(&arrival));
        same(Some(&arrival.place), expected, "the place of what has arrived");
    }
    let there = wait_until(fixture, NO_TIME, || {
        let streams = super::must(transport.streams(), "asking for the streams");
        let is_there = |(id, sequence): (&_, &u128)| {
            let stream = streams.iter().find(|stream| stream.id == *id);
            stream.and_then(|stream| stream.last) == Some(*sequence)
        };
        highest.iter().all(is_there)
    });
    assert!(there, "the streams do not say what they have come to");
}

pub(super) fn at_the_bound_it_refuses_and_loses_nothing<F: TransportFixture>(fixture: &F) {
    let Some(room) = fixture.room() else { return skip("the fixture does not say the bound") };
    let transport = open(fixture);
    let mut accepted = Vec::new();
    let mut next = 0;
    loop {
        let is_accepted = match transport.send(&[parcel(next)]).pop() {
            Some(Ok(Sent::Accepted { .. })) => true,
            Some(Ok(Sent::UnderWay)) => {
                fixture.pass(fixture.latency());
                continue;
            }
            Some(Err(TransportError::Full)) => false,
            outcome => panic!("sending came out as {outcome:?}, neither accepted nor `Full`"),
        };
        if !is_accepted {
            break;
        }
        accepted.push(next);
        next += 1;
        assert!(accepted.len() <= room, "more than {room} parcels were accepted");
    }
    let arrived = arrive(fixture, &transport, ("g", accepted.len()), NO_TIME);
    same(sorted(&arrived), accepted, "what has arrived of what was accepted");
    for arrival in arrived {
        settle(fixture, &transport, &arrival.token, Settlement::Ack);
    }
    accept(fixture, &transport, &[parcel(next)]);
    let arrived = arrive(fixture, &transport, ("g", 1), NO_TIME);
    same(sorted(&arrived), vec![next], "what has arrived once there was room again");
}
