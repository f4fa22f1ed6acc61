//! The transports of the crate pass, whatever they promise.

use std::{sync::Mutex, time::Duration};

use tidings::{
    testing::{
        Simulator, UnreliableTransport,
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

/// A transport on which nothing goes wrong, but that connections can be cut and streams made anew.
struct Spared {
    sim: Simulator,
    first: UnreliableTransport<LoopbackTransport>,
    connections: Mutex<Vec<UnreliableTransport<LoopbackTransport>>>,
}

impl Spared {
    fn new(capabilities: Capabilities) -> Self {
        let Loopback { sim, broker, .. } = Loopback::new(capabilities);
        let first = UnreliableTransport::new(broker, &sim.runtime(), 7);
        Self { sim, first, connections: Mutex::default() }
    }
}

impl TransportFixture for Spared {
    type Transport = UnreliableTransport<LoopbackTransport>;

    fn open(&self) -> Result<Self::Transport, TransportError> {
        let opened = self.first.beside(self.first.inner().connect());
        self.connections.lock().unwrap().push(opened.clone());
        Ok(opened)
    }

    fn pass(&self, time: Duration) {
        self.sim.advance(time);
    }

    fn recreate(&self) -> bool {
        self.first.recreate().is_ok()
    }

    fn cut(&self) -> bool {
        self.connections.lock().unwrap().iter().for_each(UnreliableTransport::cut);
        true
    }

    fn mend(&self) {
        self.connections.lock().unwrap().iter().for_each(UnreliableTransport::mend);
    }
}

transport_conformance!(unreliable_but_spared, Spared::new(everything().order(Order::Total)));
transport_conformance!(unreliable_but_spared_per_key, Spared::new(least().order(Order::PerKey)));

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

/// Those that look at threads, timers and the notifier; the others would wait for nothing new.
mod loopback_in_real_time {
    use super::{RealTime, conformance::transport_check};

    macro_rules! checks {
        ($($check:ident)*) => {
            $(#[test]
            fn $check() {
                transport_check(stringify!($check), RealTime::new);
            })*
        };
    }

    checks! {
        a_notifier_is_called_when_there_is_something_to_receive
        a_delay_is_kept_or_refused
        nothing_to_receive_is_answered_at_once
        several_threads_send_and_receive_at_once
        the_members_of_a_group_share_what_arrives
        what_is_not_settled_in_time_comes_again
        what_is_to_be_tried_again_comes_after_its_delay
    }
}

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
