//! Events from one log to another, over a transport on which everything goes wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tidings::{
    testing::{Mishaps, Simulator, UnreliableTransport},
    transport::{Capabilities, LoopbackTransport, Order, Transport},
};

use crate::bridge::{Inbound, Outbound};

const EVENTS: u64 = 120;
const SEEDS: u64 = 150;
const SECOND: Duration = Duration::from_secs(1);

/// What has come of a run.
struct Outcome {
    inbound: Inbound,
    alarms: u64,
}

/// Relays all events: for ten minutes with mishaps, and then without.
fn relay(seed: u64, capabilities: Capabilities, mishaps: Mishaps) -> Outcome {
    let sim = Simulator::new(seed);
    let broker = LoopbackTransport::builder().capabilities(capabilities).runtime(sim.runtime());
    let broker = broker.build();
    let out = UnreliableTransport::new(broker.connect(), &sim.runtime(), seed).with(mishaps);
    let into = out.beside(broker);
    let (mut outbound, mut inbound) = (Outbound::default(), Inbound::default());
    let mut events = 0;
    for _ in 0..600 {
        events = (events + sim.random_below(3)).min(EVENTS);
        outbound.run(&out, events);
        inbound.run(&into);
        sim.advance(SECOND);
    }
    for connection in [&out, &into] {
        connection.set(Mishaps::none());
        connection.mend();
    }
    let is_woken = Arc::new(AtomicBool::new(true));
    for connection in [&out, &into] {
        let woken = Arc::clone(&is_woken);
        connection.set_notifier(Arc::new(move || woken.store(true, Relaxed)));
    }
    // From here on nobody looks unless a notifier was called.
    for _ in 0..10_000 {
        if is_woken.swap(false, Relaxed) {
            outbound.run(&out, EVENTS);
            inbound.run(&into);
        }
        if !sim.step() && !is_woken.load(Relaxed) {
            break;
        }
    }
    assert!(outbound.is_done(EVENTS), "seed {seed}: {outbound:?}");
    Outcome { inbound, alarms: outbound.alarms }
}

/// Every event has arrived, and was handled once.
#[track_caller]
fn all_arrive_once(seed: u64, outcome: &Outcome) {
    let mut log = outcome.inbound.log.clone();
    log.sort_unstable();
    assert_eq!(log, (0..EVENTS).collect::<Vec<_>>(), "seed {seed}");
}

fn like_jetstream() -> Capabilities {
    Capabilities::new(1 << 20)
        .order(Order::Total)
        .persistent()
        .dedup_window(SECOND * 120)
        .ack_timeout(SECOND * 30)
}

/// As Redis Streams: copies are not dropped.
fn like_redis() -> Capabilities {
    Capabilities::new(1 << 20).order(Order::Total).persistent().ack_timeout(SECOND * 30)
}

/// As NATS without a stream in a file: nothing but an order in each of several streams.
fn like_kafka() -> Capabilities {
    Capabilities::new(1 << 20).order(Order::PerKey).persistent().ack_timeout(SECOND * 45)
}

/// What networks do.
fn network() -> Mishaps {
    Mishaps::none()
        .duplicate(0.1)
        .delay(0.2, SECOND * 60)
        .reorder(0.2)
        .lose_ack(0.2)
        .lose_settlement(0.1)
        .partition(0.02, SECOND * 60)
}

#[test]
fn where_nothing_goes_wrong_everything_arrives_in_order() {
    for capabilities in [like_jetstream(), like_redis()] {
        let outcome = relay(1, capabilities, Mishaps::none());
        assert!(outcome.inbound.log.is_sorted() && outcome.inbound.copies == 0);
        all_arrive_once(1, &outcome);
    }
}

#[test]
fn whatever_the_network_does_every_event_arrives_once() {
    for capabilities in [like_jetstream(), like_redis(), like_kafka()] {
        let mut copies = 0;
        for seed in 0..SEEDS {
            let outcome = relay(seed, capabilities, network());
            all_arrive_once(seed, &outcome);
            assert_eq!(outcome.alarms, 0, "seed {seed}: nothing was lost");
            copies += outcome.inbound.copies;
        }
        assert!(copies > 100, "the runs were too easy: {copies} copies");
    }
}

#[test]
fn a_broker_that_loses_what_it_had_accepted_is_noticed_and_gets_it_again() {
    for capabilities in [like_jetstream(), like_redis(), like_kafka()] {
        let mut alarms = 0;
        for seed in 0..SEEDS {
            let outcome = relay(seed, capabilities, network().forget(0.01, 5).recreate(0.003));
            all_arrive_once(seed, &outcome);
            alarms += outcome.alarms;
        }
        assert!(alarms > 50, "the runs were too easy: {alarms} alarms");
    }
}

#[test]
fn a_run_repeats_itself() {
    let run = || relay(5, like_jetstream(), network()).inbound;
    let (one, other) = (run(), run());
    assert_eq!((one.log, one.copies), (other.log, other.copies));
}
