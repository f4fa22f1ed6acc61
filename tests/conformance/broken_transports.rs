//! Transports that lie, each in one way, and the check that finds it.

/// A test of each lie: one that .. is found by the check that ..
macro_rules! lies {
    ($($test:ident: $lie:ident, $check:ident;)*) => {
        $(#[test]
        fn $test() {
            finds::<$lie>(stringify!($check));
        })*
    };
}

/// Implements a lie by the methods that it overrides.
macro_rules! lie {
    ($(#[$doc:meta])* $name:ident; $($item:item)*) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        struct $name;

        impl Lie for $name {
            $($item)*
        }
    };
}

mod lifecycle;
mod mishaps;
mod pretender;
mod receiving;
mod sending;
mod settling;

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

/// The check fails that is about the lie.
#[track_caller]
fn finds<L: Lie>(check: &str) {
    let run = |check: &str| conformance::transport_check(check, Fixture::<L>::new);
    is_found(std::any::type_name::<L>(), check, TRANSPORT_CHECKS, run);
}
