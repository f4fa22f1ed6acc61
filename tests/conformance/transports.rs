//! The transports of the crate pass, whatever they promise.

use std::time::Duration;

use tidings::{
    testing::{
        Simulator,
        conformance::{self, TRANSPORT_CHECKS, TransportFixture},
    },
    transport::{Capabilities, LoopbackTransport, Order, Parcel, TransportError},
    transport_conformance,
};

/// The loopback on a simulated clock.
pub(crate) struct Loopback {
    pub(crate) sim: Simulator,
    pub(crate) broker: LoopbackTransport,
    room: Option<usize>,
}

impl Loopback {
    pub(crate) fn new(capabilities: Capabilities) -> Self {
        Self::build(capabilities, 64 << 20, None)
    }

    /// One that has room for few parcels.
    pub(crate) fn small(capabilities: Capabilities) -> Self {
        Self::build(capabilities, 1 << 14, Some(1000))
    }

    fn build(capabilities: Capabilities, capacity: usize, room: Option<usize>) -> Self {
        let sim = Simulator::new(7);
        let broker = LoopbackTransport::builder().capabilities(capabilities).capacity(capacity);
        let broker = broker.runtime(sim.runtime()).build();
        Self { sim, broker, room }
    }
}

impl TransportFixture for Loopback {
    type Transport = LoopbackTransport;

    fn open(&self) -> Result<LoopbackTransport, TransportError> {
        Ok(self.broker.connect())
    }

    fn pass(&self, time: Duration) {
        self.sim.advance(time);
    }

    fn room(&self) -> Option<usize> {
        self.room
    }

    fn restart(&self) -> bool {
        drop(self.broker.reopened());
        true
    }

    fn recreate(&self) -> bool {
        self.broker.recreate();
        true
    }
}

/// Everything but an order.
pub(crate) fn everything() -> Capabilities {
    Capabilities::new(Parcel::MAX_PAYLOAD)
        .persistent()
        .dedup_window(Duration::from_mins(2))
        .delayed()
        .ack_timeout(Duration::from_secs(30))
}

/// The least, with short payloads.
pub(crate) fn least() -> Capabilities {
    Capabilities::new(100_000)
}

transport_conformance!(loopback_in_total_order, Loopback::new(everything().order(Order::Total)));
transport_conformance!(loopback_in_order_per_key, Loopback::new(everything().order(Order::PerKey)));
transport_conformance!(loopback_without_order, Loopback::new(everything()));
transport_conformance!(loopback_that_promises_nothing, Loopback::new(least()));
transport_conformance!(
    loopback_like_kafka,
    Loopback::new(least().order(Order::PerKey).persistent())
);
transport_conformance!(
    loopback_with_little_room,
    Loopback::small(least().order(Order::Total).dedup_window(Duration::from_secs(10)))
);

/// The loopback on real threads and the real clock.
struct RealTime(LoopbackTransport);

impl RealTime {
    fn new() -> Self {
        let capabilities = everything().order(Order::Total).ack_timeout(Duration::from_secs(2));
        let capabilities = capabilities.dedup_window(Duration::from_secs(20));
        Self(LoopbackTransport::builder().capabilities(capabilities).build())
    }
}

impl TransportFixture for RealTime {
    type Transport = LoopbackTransport;

    fn open(&self) -> Result<LoopbackTransport, TransportError> {
        Ok(self.0.connect())
    }

    fn latency(&self) -> Duration {
        Duration::from_millis(20)
    }
}

transport_conformance!(loopback_in_real_time, RealTime::new());

#[test]
fn the_whole_suite_runs_in_one_call_too() {
    conformance::transport(|| Loopback::new(everything().order(Order::Total)));
}

#[test]
fn a_name_of_no_check_is_refused() {
    let run = || conformance::transport_check("that", || Loopback::new(least()));
    assert!(std::panic::catch_unwind(run).is_err());
    assert!(!TRANSPORT_CHECKS.contains(&"that"));
}
