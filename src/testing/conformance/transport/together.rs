//! Checks of everything together: several threads at once, and random runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use super::{
    TransportFixture, accept, keyed, must, nothing_comes, number, open, parcel, same, wait_until,
};
use crate::{
    runtime::Random,
    testing::conformance::run_threads,
    transport::{Arrival, Sent, Settlement, Token, Transport, TransportError},
};

const SENDERS: u64 = 3;
const RECEIVERS: u64 = 2;
const PARCELS: u64 = 20;

pub(super) fn several_threads_send_and_receive_at_once<F: TransportFixture>(fixture: &F) {
    let transport = open(fixture);
    let found = Mutex::new(Vec::new());
    let take = |arrivals: Vec<Arrival>| {
        for arrival in arrivals {
            must(transport.settle(&arrival.token, Settlement::Ack), "settling an arrival");
            if let Ok(mut found) = found.lock() {
                found.push(number(&arrival));
            }
        }
    };
    let of = |sender: u64| (0..PARCELS).map(move |nth| keyed(sender * PARCELS + nth, sender));
    run_threads(SENDERS + RECEIVERS, &|thread| {
        if thread < SENDERS {
            for parcel in of(thread) {
                _ = transport.send(&[parcel]); // sent again below, should it be necessary
            }
            return;
        }
        for _ in 0..PARCELS {
            take(must(transport.receive("g", 3), "receiving"));
        }
    });
    let drops_copies = transport.capabilities().dedup_window.is_some();
    if drops_copies {
        for sender in 0..SENDERS {
            accept(fixture, &transport, &of(sender).collect::<Vec<_>>());
        }
    }
    let count = || found.lock().map_or(0, |found| found.len());
    let expected = SENDERS * PARCELS;
    let all = wait_until(fixture, Duration::ZERO, || {
        take(must(transport.receive("g", 10), "receiving"));
        count() as u64 >= expected
    });
    assert!(all, "of {expected} parcels from several threads {} have arrived", count());
    nothing_comes(fixture, &transport, "g", Duration::ZERO);
    let mut found = found.into_inner().unwrap_or_default();
    found.sort_unstable();
    same(found, (0..expected).collect(), "what has arrived");
}

pub(super) fn a_random_run_loses_nothing_and_repeats_nothing<F: TransportFixture>(fixture: &F) {
    run(fixture, 1);
}

pub(super) fn another_random_run_loses_nothing_and_repeats_nothing<F: TransportFixture>(
    fixture: &F,
) {
    run(fixture, 2);
}

const STEPS: u64 = 250;
const GROUPS: [&str; 2] = ["a", "b"];

/// What is known of one group.
#[derive(Default)]
struct Group {
    settled: BTreeSet<u64>,
    open: BTreeMap<u64, Token>,
}

struct Run<'a, F: TransportFixture> {
    fixture: &'a F,
    transport: F::Transport,
    random: Random,
    /// Parcels of smaller numbers were accepted, others never sent.
    sent: u64,
    groups: [Group; 2],
}

fn run<F: TransportFixture>(fixture: &F, seed: u64) {
    let transport = open(fixture);
    let random = Random::new(seed);
    let mut run = Run { fixture, transport, random, sent: 0, groups: Default::default() };
    for _ in 0..STEPS {
        let group = usize::from(run.random.below(2) == 1);
        match run.random.below(8) {
            0..2 => run.send(),
            2..4 => run.receive(group),
            4..7 => run.settle(group),
            _ => {
                let tenths = run.random.below(10).try_into().unwrap_or(0);
                fixture.pass(fixture.latency() / 10 * tenths);
            }
        }
    }
    run.finish();
}

impl<F: TransportFixture> Run<'_, F> {
    fn send(&mut self) {
        for _ in 0..=self.random.below(4) {
            let parcel = keyed(self.sent, self.sent % 3);
            match self.transport.send(std::slice::from_ref(&parcel)).pop() {
                Some(Ok(Sent::Accepted { is_copy, .. })) => {
                    assert!(!is_copy, "no copy of anything");
                }
                Some(Err(TransportError::Full)) => return,
                _ => _ = accept(self.fixture, &self.transport, std::slice::from_ref(&parcel)),
            }
            self.sent += 1;
            if self.transport.capabilities().dedup_window.is_some() {
                let copies = accept(self.fixture, &self.transport, &[parcel]);
                assert!(copies[0].1, "a copy was accepted as if it were none");
            }
        }
    }

    fn receive(&mut self, group: usize) {
        let max = usize::try_from(self.random.below(5)).unwrap_or(0);
        self.take(group, max);
    }

    fn take(&mut self, group: usize, max: usize) {
        let name = GROUPS[group];
        let times_out = self.transport.capabilities().ack_timeout.is_some();
        for arrival in must(self.transport.receive(name, max), "receiving") {
            let number = number(&arrival);
            assert!(number < self.sent, "parcel {number} was never sent");
            let group = &mut self.groups[group];
            assert!(!group.settled.contains(&number), "parcel {number} was settled, and is back");
            let before = group.open.insert(number, arrival.token);
            let may_be = before.is_none() || times_out && arrival.redeliveries > 0;
            assert!(may_be, "parcel {number} is here already");
        }
    }

    /// Settles one of those that are open, if any are.
    fn settle(&mut self, group: usize) {
        let open = &mut self.groups[group].open;
        let at = self.random.below(open.len() as u64);
        let Some(number) = open.keys().nth(usize::try_from(at).unwrap_or(0)).copied() else {
            return;
        };
        let settlement = match self.random.below(5) {
            0 => Settlement::Retry { after: Duration::ZERO },
            1 => Settlement::Retry { after: self.fixture.latency() },
            2 => Settlement::Reject,
            _ => Settlement::Ack,
        };
        self.settle_as(group, number, settlement);
    }

    fn settle_as(&mut self, group: usize, number: u64, settlement: Settlement) {
        let group = &mut self.groups[group];
        let Some(token) = group.open.remove(&number) else { return };
        match self.transport.settle(&token, settlement) {
            Ok(()) if matches!(settlement, Settlement::Retry { .. }) => {}
            Ok(()) => _ = group.settled.insert(number),
            Err(TransportError::Stale) => {} // it comes again
            Err(error) => panic!("settling parcel {number} failed: {error}"),
        }
    }

    /// Settles all that is left, of which nothing may be missing.
    fn finish(&mut self) {
        let longer = self.transport.capabilities().ack_timeout.unwrap_or_default() * 2;
        let fixture = self.fixture;
        for (at, name) in GROUPS.into_iter().enumerate() {
            let done = wait_until(fixture, longer, || {
                self.take(at, 100);
                while let Some(number) = self.groups[at].open.keys().next().copied() {
                    self.settle_as(at, number, Settlement::Ack);
                }
                self.groups[at].settled.len() as u64 >= self.sent
            });
            let (settled, sent) = (self.groups[at].settled.len(), self.sent);
            assert!(done, "of {sent} parcels that were sent, group `{name}` got {settled}");
            nothing_comes(fixture, &self.transport, name, longer);
        }
        accept(fixture, &self.transport, &[parcel(u64::MAX)]);
    }
}
