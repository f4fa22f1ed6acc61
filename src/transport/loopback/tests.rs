//! What the conformance suite does not ask of every transport.
#![allow(clippy::unwrap_used)] // tests, though clippy does not see that

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::{
    message::{Envelope, MessageId},
    testing::Simulator,
};

const SECOND: Duration = Duration::from_secs(1);

fn parcel(number: u8) -> Parcel {
    let envelope = Envelope::new("n", 1, MessageId::from_bytes([number; 16]));
    Parcel::new(Arc::new(envelope), vec![number; 100]).unwrap()
}

fn of_key(number: u8, key: &str) -> Parcel {
    let mut envelope = Envelope::new("n", 1, MessageId::from_bytes([number; 16]));
    envelope.key = Some(key.into());
    Parcel::new(Arc::new(envelope), vec![number; 100]).unwrap()
}

/// A transport on a simulated clock, with room for so many of these parcels.
fn small(parcels: usize) -> (Simulator, LoopbackTransport) {
    let sim = Simulator::new(1);
    let capacity = parcels * parcel(0).bytes();
    let builder = LoopbackTransport::builder().runtime(sim.runtime()).capacity(capacity);
    (sim, builder.build())
}

fn send(transport: &LoopbackTransport, number: u8) -> Result<Sent, TransportError> {
    transport.send(&[parcel(number)]).remove(0)
}

fn receive(transport: &LoopbackTransport) -> Vec<(u8, Token)> {
    let arrivals = transport.receive("g", 100).unwrap().into_iter();
    arrivals.map(|arrival| (arrival.parcel.unwrap().payload()[0], arrival.token)).collect()
}

fn numbers(transport: &LoopbackTransport) -> Vec<u8> {
    receive(transport).into_iter().map(|(number, _)| number).collect()
}

fn count_calls(transport: &LoopbackTransport) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    transport.set_notifier(Arc::new(move || _ = counted.fetch_add(1, Relaxed)));
    calls
}

#[test]
fn what_every_group_has_settled_makes_room_and_nothing_else_does() {
    let (sim, transport) = small(3);
    for number in 1..=3 {
        send(&transport, number).unwrap();
    }
    assert!(matches!(send(&transport, 4), Err(TransportError::Full)), "no group has had it");
    let received = receive(&transport);
    assert!(transport.receive("other", 1).unwrap().len() == 1);
    assert!(matches!(send(&transport, 4), Err(TransportError::Full)), "open in both");
    let calls = count_calls(&transport);
    sim.advance(SECOND);
    let before = calls.load(Relaxed);
    transport.settle(&received[0].1, Settlement::Ack).unwrap();
    sim.advance(SECOND);
    assert!(calls.load(Relaxed) > before, "there may be room");
    assert!(matches!(send(&transport, 4), Err(TransportError::Full)), "open in one");
    sim.advance(Duration::from_mins(1));
    let again = transport.receive("other", 1).unwrap();
    transport.settle(&again[0].token, Settlement::Reject).unwrap();
    send(&transport, 4).unwrap();
    assert!(matches!(send(&transport, 5), Err(TransportError::Full)));
    assert_eq!(numbers(&transport), [2, 3, 4]);
}

#[test]
fn a_parcel_that_is_larger_than_all_the_room_goes_alone() {
    let (_sim, transport) = small(1);
    let large = Parcel::new(Arc::clone(parcel(1).envelope()), vec![1; 10_000]).unwrap();
    assert!(transport.send(&[large]).remove(0).is_ok());
    assert!(matches!(send(&transport, 2), Err(TransportError::Full)));
    let received = receive(&transport);
    transport.settle(&received[0].1, Settlement::Ack).unwrap();
    send(&transport, 2).unwrap();
}

#[test]
fn at_the_bound_nothing_overtakes() {
    let (_sim, transport) = small(1);
    let sent = transport.send(&[parcel(1), parcel(2), parcel(1)]);
    assert!(matches!(sent[0], Ok(Sent::Accepted { is_copy: false, .. })));
    assert!(matches!(sent[1], Err(TransportError::Full)));
    assert!(matches!(sent[2], Err(TransportError::Behind)), "though it would be a copy");

    let capabilities = Capabilities::new(100).order(Order::PerKey);
    let transport = LoopbackTransport::builder().capabilities(capabilities).build();
    let long = Parcel::new(Arc::clone(of_key(1, "a").envelope()), vec![1; 101]).unwrap();
    let sent = transport.send(&[long, of_key(2, "b"), of_key(3, "a"), parcel(4)]);
    assert!(matches!(sent[0], Err(TransportError::TooLarge { bytes: 101, limit: 100 })));
    assert!(matches!(sent[2], Err(TransportError::Behind)));
    assert!(sent[1].is_ok() && sent[3].is_ok(), "{sent:?}");
}

#[test]
fn what_is_settled_late_is_stale_once_it_was_delivered_anew() {
    let (sim, transport) = small(3);
    send(&transport, 1).unwrap();
    let first = receive(&transport).remove(0).1;
    sim.advance(Duration::from_secs(31));
    let second = receive(&transport).remove(0).1;
    let stale = |token: &Token| {
        matches!(transport.settle(token, Settlement::Ack), Err(TransportError::Stale))
    };
    assert!(stale(&first));
    transport.settle(&second, Settlement::Ack).unwrap();
    assert!(stale(&second));
    assert!(stale(&Token::new(*b"what is this")));
    transport.recreate();
    send(&transport, 2).unwrap();
    assert!(stale(&second), "of an earlier making of the stream");
    assert!(!stale(&receive(&transport.connect()).remove(0).1), "any connection may settle");
}

#[test]
fn the_notifier_is_called_when_something_is_due_and_not_all_the_time() {
    let (sim, transport) = small(9);
    let calls = count_calls(&transport);
    sim.run_until_idle();
    let after = |time: Duration| {
        let before = calls.load(Relaxed);
        sim.advance(time);
        calls.load(Relaxed) - before
    };
    send(&transport, 1).unwrap();
    assert_eq!(after(SECOND), 1, "sent");
    let first = receive(&transport).remove(0).1;
    assert_eq!(after(Duration::from_secs(29)), 0);
    assert_eq!(after(SECOND * 2), 1, "not settled in time");
    assert!(transport.settle(&first, Settlement::Retry { after: SECOND * 5 }).is_ok());
    assert_eq!(after(SECOND * 4), 0);
    assert_eq!(after(SECOND * 2), 1, "to be tried again");
    _ = transport.send(&[parcel(2).delayed(SECOND * 60)]);
    assert_eq!(after(SECOND * 59), 1, "sent");
    assert_eq!(after(SECOND * 2), 1, "no longer delayed");
    assert_eq!(after(SECOND * 600), 0);
    sim.run_until_idle();
}

#[test]
fn a_connection_that_is_dropped_gives_back_what_it_had() {
    let (_sim, transport) = small(3);
    send(&transport, 1).unwrap();
    let other = transport.connect();
    assert_eq!(numbers(&other.clone()), [1]);
    assert!(numbers(&transport).is_empty(), "the other one has it");
    drop(other);
    assert_eq!(transport.receive("g", 1).unwrap()[0].redeliveries, 1);
}

#[test]
fn a_transport_may_be_chosen_when_the_program_runs() {
    let (_sim, transport) = small(1);
    let chosen: Arc<dyn Transport> = Arc::new(transport.clone());
    chosen.close().unwrap();
    assert!(matches!(send(&transport, 1), Err(TransportError::Closed)), "a clone is the same");
}

#[test]
fn ids_are_forgotten_after_the_window() {
    let (sim, transport) = small(9);
    let is_copy = || matches!(send(&transport, 1), Ok(Sent::Accepted { is_copy: true, .. }));
    assert!(!is_copy());
    sim.advance(Duration::from_secs(119));
    assert!(is_copy(), "a copy does not begin the window anew");
    sim.advance(Duration::from_secs(2));
    assert!(!is_copy());
}
