//! Waiting for what a transport does in its own time.

use std::time::Duration;

use super::{TransportFixture, must};
use crate::transport::{
    Arrival, Parcel, Place, Sent, Settlement, Token, Transport, TransportError,
};

/// How often to look within a latency.
const LOOKS: u32 = 5;

/// How many latencies to wait for what has to come.
const LATENCIES: u32 = 20;

/// Looks until something holds, for so much longer than twenty latencies. Whether it came to hold.
pub(super) fn wait_until<F: TransportFixture>(
    fixture: &F,
    longer: Duration,
    mut holds: impl FnMut() -> bool,
) -> bool {
    let pause = fixture.latency() / LOOKS;
    let most = fixture.latency() * LATENCIES + longer;
    let mut waited = Duration::ZERO;
    loop {
        if holds() {
            return true;
        }
        if waited > most {
            return false;
        }
        fixture.pass(pause);
        waited += pause;
    }
}

/// Sends parcels, again and again, until each is accepted. Their places, and whether they were copies.
#[track_caller]
pub(super) fn accept<F: TransportFixture>(
    fixture: &F,
    transport: &F::Transport,
    parcels: &[Parcel],
) -> Vec<(Place, bool)> {
    let mut accepted: Vec<Option<(Place, bool)>> = vec![None; parcels.len()];
    let all = wait_until(fixture, Duration::ZERO, || {
        let left: Vec<usize> = (0..parcels.len()).filter(|at| accepted[*at].is_none()).collect();
        let again: Vec<Parcel> = left.iter().map(|at| parcels[*at].clone()).collect();
        let sent = transport.send(&again);
        assert!(sent.len() == again.len(), "{} outcomes of {} parcels", sent.len(), again.len());
        for (at, sent) in left.into_iter().zip(sent) {
            match sent {
                Ok(Sent::Accepted { place, is_copy }) => accepted[at] = Some((place, is_copy)),
                Ok(Sent::UnderWay) => {}
                Err(error) if error.is_passing() => {}
                Err(error) => panic!("sending a parcel failed: {error}"),
            }
        }
        accepted.iter().all(Option::is_some)
    });
    assert!(all, "parcels are not accepted, however often they are sent");
    accepted.into_iter().flatten().collect()
}

/// Receives until so many parcels have arrived, for so much longer than twenty latencies.
#[track_caller]
pub(super) fn arrive<F: TransportFixture>(
    fixture: &F,
    transport: &F::Transport,
    (group, count): (&str, usize),
    longer: Duration,
) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    let all = wait_until(fixture, longer, || {
        arrivals.extend(receive(transport, group, count));
        arrivals.len() >= count
    });
    let found = arrivals.len();
    assert!(all, "group `{group}` has received {found} parcels, where {count} were to come");
    assert!(found == count, "group `{group}` has received {found} parcels, more than {count}");
    arrivals
}

#[track_caller]
fn receive(transport: &impl Transport, group: &str, max: usize) -> Vec<Arrival> {
    match transport.receive(group, max) {
        Ok(arrivals) => arrivals,
        Err(error) if error.is_passing() => Vec::new(),
        Err(error) => panic!("receiving failed: {error}"),
    }
}

/// Nothing arrives while this time passes, and a latency more.
#[track_caller]
pub(super) fn nothing_comes<F: TransportFixture>(
    fixture: &F,
    transport: &F::Transport,
    group: &str,
    time: Duration,
) {
    for _ in 0..LOOKS {
        let arrivals = receive(transport, group, 100);
        let found: Vec<_> = arrivals.iter().map(|arrival| &arrival.parcel).collect();
        assert!(found.is_empty(), "group `{group}` has received what was not to come: {found:?}");
        fixture.pass((time + fixture.latency()) / LOOKS);
    }
}

/// Settles, as often as it takes to tell the other side.
#[track_caller]
pub(super) fn settle<F: TransportFixture>(
    fixture: &F,
    transport: &F::Transport,
    token: &Token,
    settlement: Settlement,
) {
    let mut outcome = Ok(());
    let told = wait_until(fixture, Duration::ZERO, || {
        outcome = transport.settle(token, settlement);
        !matches!(&outcome, Err(error) if error.is_passing() && !error.is_unknown())
    });
    let is_lost = matches!(&outcome, Err(TransportError::Unknown { .. }));
    if told && !is_lost {
        must(outcome, "settling an arrival");
    }
}
