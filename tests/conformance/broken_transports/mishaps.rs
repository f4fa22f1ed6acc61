//! Mishaps that always happen, where what is declared excludes them.

use std::time::Duration;

use tidings::{
    testing::{
        Mishaps, UnreliableTransport,
        conformance::{self, TRANSPORT_CHECKS, TransportFixture},
    },
    transport::{LoopbackTransport, Order, TransportError},
};

use crate::{
    is_found,
    transports::{Loopback, everything},
};

struct Unlucky {
    loopback: Loopback,
    first: UnreliableTransport<LoopbackTransport>,
}

impl Unlucky {
    fn new(mishaps: Mishaps) -> Self {
        let loopback = Loopback::new(everything().order(Order::Total));
        let runtime = loopback.sim.runtime();
        let first = UnreliableTransport::new(loopback.broker.clone(), &runtime, 3).with(mishaps);
        Self { loopback, first }
    }
}

impl TransportFixture for Unlucky {
    type Transport = UnreliableTransport<LoopbackTransport>;

    fn open(&self) -> Result<Self::Transport, TransportError> {
        Ok(self.first.beside(self.loopback.open()?))
    }

    fn pass(&self, time: Duration) {
        self.loopback.pass(time);
    }
}

#[track_caller]
fn finds(mishaps: Mishaps, check: &str) {
    let run = |check: &str| conformance::transport_check(check, || Unlucky::new(mishaps));
    is_found(&format!("{mishaps:?}"), check, TRANSPORT_CHECKS, run);
}

lies! {
    arrivals_that_come_twice: Mishaps::none().duplicate(1.0), what_is_sent_arrives_once_in_every_group;
    arrivals_that_come_too_late: Mishaps::none().delay(1.0, Duration::from_hours(1)), what_is_sent_arrives_once_in_every_group;
    arrivals_in_another_order: Mishaps::none().reorder(1.0), the_declared_order_is_kept;
    acknowledgements_that_never_come: Mishaps::none().lose_ack(1.0), what_is_sent_arrives_once_in_every_group;
    settlements_that_get_lost: Mishaps::none().lose_settlement(1.0), what_is_acknowledged_does_not_come_again;
    parcels_that_are_forgotten: Mishaps::none().forget(1.0, 1), a_stream_keeps_its_identity_and_goes_on;
    streams_that_are_made_anew_all_the_time: Mishaps::none().recreate(1.0), a_stream_keeps_its_identity_and_goes_on;
}
