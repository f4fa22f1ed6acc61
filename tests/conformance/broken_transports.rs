//! Transports that lie, each in one way, and the check that finds it.

mod lifecycle;
mod mishaps;
mod pretender;
mod receiving;
mod sending;
mod settling;
mod together;

use std::sync::atomic::{AtomicU64, Ordering};

use tidings::{
    testing::conformance::{self, TRANSPORT_CHECKS},
    transport::{Arrival, Sent, TransportError},
    transport_conformance,
};

use self::pretender::{Fixture, Honest, Lie};
use crate::is_found;

type Outcomes = Vec<Result<Sent, TransportError>>;
type Received = Result<Vec<Arrival>, TransportError>;
type Settled = Result<(), TransportError>;

transport_conformance!(honest, Fixture::<Honest>::new());

/// Another number each time.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn every_check_finds_a_liar() {
    let found_by = [
        lifecycle::FOUND_BY,
        mishaps::FOUND_BY,
        receiving::FOUND_BY,
        sending::FOUND_BY,
        settling::FOUND_BY,
        together::FOUND_BY,
    ];
    crate::every_check_finds_a_liar(TRANSPORT_CHECKS, &found_by);
}

/// The check fails that is about the lie.
#[track_caller]
#[allow(clippy::needless_pass_by_value)] // the lie says of which type it is, and no more
fn finds<L: Lie>(_: L, check: &str) {
    let run = |check: &str| conformance::transport_check(check, Fixture::<L>::new);
    is_found(std::any::type_name::<L>(), check, TRANSPORT_CHECKS, run);
}
