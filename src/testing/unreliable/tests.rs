//! Each mishap by itself.
#![allow(clippy::unwrap_used)] // tests, though clippy does not see that

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    message::{Envelope, MessageId},
    testing::Simulator,
    transport::{HighWater, LoopbackTransport, Place, StreamChange},
};

const SECOND: Duration = Duration::from_secs(1);

fn parcel(number: u8) -> Parcel {
    let envelope = Envelope::new("n", 1, MessageId::from_bytes([number; 16]));
    Parcel::new(Arc::new(envelope), vec![number]).unwrap()
}

fn unreliable(mishaps: Mishaps) -> (Simulator, UnreliableTransport<LoopbackTransport>) {
    seeded(1, mishaps)
}

fn seeded(seed: u64, mishaps: Mishaps) -> (Simulator, UnreliableTransport<LoopbackTransport>) {
    let sim = Simulator::new(seed);
    let loopback = LoopbackTransport::builder().runtime(sim.runtime()).build();
    let transport = UnreliableTransport::new(loopback, &sim.runtime(), seed).with(mishaps);
    (sim, transport)
}

fn send(transport: &impl Transport, numbers: impl IntoIterator<Item = u8>) -> Vec<Place> {
    let parcels: Vec<_> = numbers.into_iter().map(parcel).collect();
    let place = |sent| match sent {
        Ok(Sent::Accepted { place, is_copy: false }) => place,
        other => panic!("{other:?}"),
    };
    transport.send(&parcels).into_iter().map(place).collect()
}

/// What arrives, and is acknowledged.
fn receive(transport: &impl Transport) -> Vec<u8> {
    let arrivals = transport.receive("g", 100).unwrap();
    for arrival in &arrivals {
        transport.settle(&arrival.token, Settlement::Ack).unwrap();
    }
    arrivals.into_iter().map(|arrival| arrival.parcel.unwrap().payload()[0]).collect()
}

fn sequences(places: &[Place]) -> Vec<u128> {
    places.iter().map(|place| place.sequence).collect()
}

#[test]
fn arrivals_come_twice() {
    let (_sim, transport) = unreliable(Mishaps::none().duplicate(1.0));
    send(&transport, 1..=3);
    assert_eq!(receive(&transport), [1, 2, 3]);
    assert_eq!(receive(&transport), [1, 2, 3]);
    assert!(receive(&transport).is_empty());
}

#[test]
fn arrivals_come_late_and_the_notifier_tells() {
    let (sim, transport) = unreliable(Mishaps::none().delay(1.0, SECOND * 10));
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    transport.set_notifier(Arc::new(move || *counted.lock() += 1));
    send(&transport, 1..=5);
    assert!(receive(&transport).is_empty());
    sim.advance(SECOND);
    *calls.lock() = 0;
    let mut found = receive(&transport);
    sim.advance(SECOND * 10);
    assert!(*calls.lock() > 0);
    found.extend(receive(&transport));
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4, 5]);
}

#[test]
fn arrivals_come_in_another_order() {
    let (_sim, transport) = unreliable(Mishaps::none().reorder(1.0));
    send(&transport, 1..=9);
    let mut found = receive(&transport);
    assert!(!found.is_sorted(), "{found:?}");
    found.sort_unstable();
    assert_eq!(found, (1..=9).collect::<Vec<_>>());
}

#[test]
fn what_was_accepted_is_reported_as_unknown_and_is_there_once() {
    let (_sim, transport) = unreliable(Mishaps::none().lose_ack(1.0));
    let sent = transport.send(&[parcel(1)]).remove(0);
    assert!(sent.unwrap_err().is_unknown());
    transport.set(Mishaps::none());
    let again = transport.send(&[parcel(1)]).remove(0);
    assert!(matches!(again, Ok(Sent::Accepted { is_copy: true, .. })));
    assert_eq!(receive(&transport), [1]);
}

#[test]
fn a_settlement_is_lost_and_the_parcel_comes_again() {
    let (sim, transport) = unreliable(Mishaps::none().lose_settlement(1.0));
    send(&transport, [1]);
    assert_eq!(receive(&transport), [1]);
    sim.advance(SECOND * 29);
    assert!(receive(&transport).is_empty());
    sim.advance(SECOND * 2);
    assert_eq!(receive(&transport), [1]);
}

#[test]
fn a_partition_ends_by_itself_and_the_notifier_tells() {
    let (sim, transport) = unreliable(Mishaps::none().partition(1.0, SECOND * 10));
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    transport.set_notifier(Arc::new(move || *counted.lock() += 1));
    sim.run_until_idle();
    let cut = |outcome: Option<TransportError>| match outcome {
        Some(error @ TransportError::Unreachable { .. }) => !error.is_unknown(),
        _ => false,
    };
    assert!(cut(transport.send(&[parcel(1)]).remove(0).err()));
    transport.set(Mishaps::none());
    assert!(cut(transport.receive("g", 1).err()) && cut(transport.streams().err()));
    *calls.lock() = 0;
    sim.run_until_idle();
    assert_eq!(*calls.lock(), 1);
    assert!(sim.elapsed() <= SECOND * 10);
    assert!(receive(&transport).is_empty(), "it was surely not accepted");
    send(&transport, [1]);
}

#[test]
fn a_cut_lasts_until_it_is_mended() {
    let (sim, transport) = unreliable(Mishaps::none());
    let other = transport.beside(transport.inner().connect());
    transport.cut();
    sim.advance(SECOND * 1000);
    assert!(transport.receive("g", 1).is_err());
    send(&other, [1]);
    transport.mend();
    assert_eq!(receive(&transport), [1]);
}

#[test]
fn what_the_broker_forgot_comes_to_nobody_and_its_sequences_come_again() {
    let (_sim, transport) = unreliable(Mishaps::none());
    let other = transport.beside(transport.inner().connect());
    let mut seen = HighWater::new();
    seen.look(&transport.streams().unwrap()).unwrap();
    let places = send(&transport, 1..=5);
    assert_eq!(sequences(&places), [1, 2, 3, 4, 5]);
    for place in &places {
        seen.note(place, false).unwrap();
    }
    assert_eq!(transport.forget(2), 2);
    let change = seen.look(&transport.streams().unwrap());
    assert!(matches!(change, Err(StreamChange::WentBack { seen: 5, now: Some(3), .. })));
    let places = send(&transport, [6, 4]);
    assert_eq!(sequences(&places), [4, 5], "one that was forgotten is as good as new");
    assert!(seen.note(&places[0], false).is_err());
    assert_eq!(receive(&other), [1, 2, 3, 6, 4]);
    let copy = transport.send(&[parcel(4)]).remove(0);
    assert!(matches!(copy, Ok(Sent::Accepted { is_copy: true, .. })), "{copy:?}");

    assert_eq!(transport.forget(100), 5, "all that is left");
    assert_eq!(transport.streams().unwrap()[0].last, None);
    assert_eq!(sequences(&send(&transport, [1, 2])), [1, 2]);
    assert_eq!(receive(&other), [1, 2]);
}

#[test]
fn a_stream_that_is_made_anew_is_another_and_begins_at_one() {
    let (_sim, transport) = unreliable(Mishaps::none());
    let mut seen = HighWater::new();
    seen.look(&transport.streams().unwrap()).unwrap();
    send(&transport, 1..=5);
    transport.recreate().unwrap();
    assert!(matches!(seen.look(&transport.streams().unwrap()), Err(StreamChange::Gone { .. })));
    let places = send(&transport, 4..=6);
    assert_eq!(sequences(&places), [1, 2, 3]);
    assert!(matches!(seen.note(&places[0], false), Err(StreamChange::New { .. })));
    assert_eq!(receive(&transport), [4, 5, 6]);
    transport.recreate().unwrap();
    transport.recreate().unwrap();
    assert_eq!(transport.streams().unwrap()[0].last, None);
    assert_eq!(sequences(&send(&transport, 4..=4)), [1]);
}

/// Everything that a run of many calls answers, as text.
fn trace(seed: u64) -> Vec<String> {
    let mishaps = Mishaps::none()
        .duplicate(0.2)
        .delay(0.3, SECOND * 5)
        .reorder(0.5)
        .lose_ack(0.2)
        .lose_settlement(0.2)
        .partition(0.05, SECOND * 20)
        .forget(0.1, 5)
        .recreate(0.02);
    let (sim, transport) = seeded(seed, mishaps);
    let mut answers = Vec::new();
    let mut kinds = BTreeMap::new();
    for number in 0..200 {
        let sent = transport.send(&[parcel(number), parcel(number / 2)]);
        let received = transport.receive("g", 5);
        for arrival in received.iter().flatten() {
            answers.push(format!("{:?}", transport.settle(&arrival.token, Settlement::Ack)));
        }
        answers.push(format!("{sent:?}{received:?}{:?}", transport.streams()));
        *kinds.entry(received.map_or(99, |arrivals| arrivals.len())).or_insert(0) += 1;
        sim.advance(SECOND);
    }
    assert!(kinds.len() > 4, "a run of variety: {kinds:?}");
    answers
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert!(trace(7) == trace(7));
    assert!(trace(7) != trace(8));
}
