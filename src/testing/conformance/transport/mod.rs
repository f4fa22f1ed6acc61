//! What every transport must do.

mod lifecycle;
mod patience;
mod receiving;
mod sending;
mod settling;
mod together;

use std::{sync::Arc, time::Duration};

use self::patience::{accept, arrive, nothing_comes, settle, wait_until};
use super::{Check, run, same, skip};
use crate::{
    message::{Envelope, MessageId},
    transport::{Arrival, Parcel, Transport, TransportError},
};

/// A broker with streams of its own, empty at first, to which connections can be opened.
///
/// What a transport promises, the suite reads from its [`Capabilities`](crate::transport::Capabilities):
/// what is declared is checked, and what is not, is not asked for. An acknowledgement timeout should be
/// twenty times the latency at least, and both as short as they can be, since the suite waits for them.
pub trait TransportFixture {
    /// The transport under test.
    type Transport: Transport;

    /// Opens a connection, beside any that are open. Opening one after another was closed is a restart
    /// of this side.
    ///
    /// # Errors
    /// Whatever the transport says; the suite reports it as a failure.
    fn open(&self) -> Result<Self::Transport, TransportError>;

    /// Lets time pass. Sleeps, unless the fixture has a clock of its own.
    fn pass(&self, time: Duration) {
        sleep(time);
    }

    /// Within this time what was sent can be received, and what was settled is known to be: 50 ms unless
    /// said. Longer is safer, and slower.
    fn latency(&self) -> Duration {
        Duration::from_millis(50)
    }

    /// How many parcels of a few bytes may be accepted, at most, before one is refused as
    /// [`TransportError::Full`], while nobody receives; where that can be tried.
    fn room(&self) -> Option<usize> {
        None
    }

    /// Restarts the other side. Whether it could.
    fn restart(&self) -> bool {
        false
    }

    /// Deletes the streams, and makes them anew under the same names, as an operator might. Whether it
    /// could.
    fn recreate(&self) -> bool {
        false
    }

    /// Cuts all connections, silently, until [`TransportFixture::mend`]. Whether it could.
    fn cut(&self) -> bool {
        false
    }

    /// Lets connections work again.
    fn mend(&self) {}
}

#[allow(clippy::disallowed_methods)] // a real broker is waited for by the real clock
fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// Makes a test of every check that a transport has to pass, named after what it proves.
///
/// `transport_conformance!(name, fixture)` is a module of that name with one `#[test]` a check. The
/// fixture is any expression that makes a [`TransportFixture`](crate::testing::conformance::TransportFixture)
/// with streams of its own; it is evaluated for each check, and sees what the module around it sees. Attributes in
/// front of the name go to every test.
///
/// ```
/// use std::time::Duration;
/// use tidings::{
///     testing::{Simulator, conformance::TransportFixture},
///     transport::{LoopbackTransport, TransportError},
///     transport_conformance,
/// };
///
/// struct Loopback(Simulator, LoopbackTransport);
///
/// impl Loopback {
///     fn new() -> Self {
///         let sim = Simulator::new(7);
///         let transport = LoopbackTransport::builder().runtime(sim.runtime()).build();
///         Self(sim, transport)
///     }
/// }
///
/// impl TransportFixture for Loopback {
///     type Transport = LoopbackTransport;
///
///     fn open(&self) -> Result<LoopbackTransport, TransportError> {
///         Ok(self.1.connect())
///     }
///
///     fn pass(&self, time: Duration) {
///         self.0.advance(time); // a real broker does without: the suite sleeps then
///     }
/// }
///
/// transport_conformance!(loopback, Loopback::new());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! transport_conformance {
    ($(#[$attribute:meta])* $name:ident, $fixture:expr $(,)?) => {
        $crate::__transport_checks! {
            [$crate::__conformance_tests]
            transport_check [$(#[$attribute])*] $name, $fixture,
        }
    };
}

/// Every check of a transport by its name, which is a test's, handed to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __transport_checks {
    ([$($then:tt)*] $($arguments:tt)*) => {
        $($then)* ! {
            $($arguments)*
            sending: {
                what_is_sent_arrives_once_in_every_group
                an_envelope_arrives_with_every_field
                payloads_of_every_length_arrive
                a_payload_that_is_too_long_is_refused
                what_has_to_follow_a_parcel_that_failed_is_not_accepted
                a_copy_within_the_window_is_one_parcel
                parcels_with_ids_of_their_own_are_no_copies
                a_delay_is_kept_or_refused
                a_place_says_where_a_parcel_is
                at_the_bound_it_refuses_and_loses_nothing
            }
            receiving: {
                nothing_to_receive_is_answered_at_once
                no_more_is_received_than_was_asked_for
                a_new_group_begins_with_the_oldest
                the_members_of_a_group_share_what_arrives
                the_declared_order_is_kept
                a_notifier_is_called_when_there_is_something_to_receive
            }
            settling: {
                what_is_acknowledged_does_not_come_again
                what_is_rejected_does_not_come_again
                what_is_to_be_tried_again_comes_after_its_delay
                what_is_not_settled_in_time_comes_again
                what_was_not_settled_comes_again_after_a_restart
                an_acknowledgement_is_of_one_parcel_alone
                groups_settle_for_themselves
                redeliveries_are_counted
                settling_twice_harms_nothing
            }
            lifecycle: {
                a_closed_transport_refuses_everything
                closing_twice_is_fine
                a_restart_loses_nothing
                a_stream_keeps_its_identity_and_goes_on
                a_stream_that_was_made_anew_is_noticed
                a_cut_connection_loses_nothing
            }
            together: {
                several_threads_send_and_receive_at_once
                a_random_run_loses_nothing_and_repeats_nothing
                another_random_run_loses_nothing_and_repeats_nothing
            }
        }
    };
}

macro_rules! table {
    ($fixture:ident, $($area:ident: { $($check:ident)* })*) => {
        [$($((stringify!($check), $area::$check as Check<$fixture>),)*)*]
    };
}

macro_rules! names {
    ($($area:ident: { $($check:ident)* })*) => {
        &[$($(stringify!($check),)*)*]
    };
}

/// The names of all checks of a transport.
pub const TRANSPORT_CHECKS: &[&str] = __transport_checks!([names]);

/// Runs every check of a transport, each on streams of its own. The same as
/// [`transport_conformance!`](crate::transport_conformance), in one test.
///
/// # Panics
/// A check failed; the message says which, and what was expected.
pub fn transport<F: TransportFixture>(fresh: impl Fn() -> F) {
    for (name, check) in checks() {
        run("transport", name, check, &fresh());
    }
}

/// Runs one check of a transport, one of [`TRANSPORT_CHECKS`].
///
/// # Panics
/// The check failed, or there is none of that name.
pub fn transport_check<F: TransportFixture>(name: &str, fresh: impl FnOnce() -> F) {
    let mut checks = checks().into_iter();
    let Some((name, check)) = checks.find(|(known, _)| *known == name) else {
        panic!("there is no check `{name}` of a transport");
    };
    run("transport", name, check, &fresh());
}

fn checks<F: TransportFixture>() -> impl IntoIterator<Item = (&'static str, Check<F>)> {
    __transport_checks!([table] F,)
}

/// The value, or a panic that says what was being done.
#[track_caller]
fn must<T>(result: Result<T, TransportError>, doing: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{doing} failed: {error}"),
    }
}

#[track_caller]
fn open<F: TransportFixture>(fixture: &F) -> F::Transport {
    must(fixture.open(), "opening a connection")
}

fn envelope(number: u64) -> Envelope {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Envelope::new("conformance.parcel", 1, MessageId::from_bytes(id))
}

#[track_caller]
fn parcel_of(envelope: Envelope, payload: Vec<u8>) -> Parcel {
    match Parcel::new(Arc::new(envelope), payload) {
        Ok(parcel) => parcel,
        Err(error) => panic!("a parcel within its bounds was refused: {error}"),
    }
}

/// A parcel that can be told from those with other numbers, without a key.
fn parcel(number: u64) -> Parcel {
    parcel_of(envelope(number), number.to_string().into_bytes())
}

fn parcels(numbers: impl IntoIterator<Item = u64>) -> Vec<Parcel> {
    numbers.into_iter().map(parcel).collect()
}

/// The same with a key.
fn keyed(number: u64, key: u64) -> Parcel {
    let mut envelope = envelope(number);
    envelope.key = Some(format!("key-{key}").into());
    parcel_of(envelope, number.to_string().into_bytes())
}

/// The parcel of an arrival, which must be one.
#[track_caller]
fn content(arrival: &Arrival) -> &Parcel {
    match &arrival.parcel {
        Ok(parcel) => parcel,
        Err(error) => panic!("a parcel was sent and something else has arrived: {error}"),
    }
}

/// The number of an arrival's parcel.
#[track_caller]
fn number(arrival: &Arrival) -> u64 {
    let text = std::str::from_utf8(content(arrival).payload()).ok();
    match text.and_then(|text| text.parse().ok()) {
        Some(number) => number,
        None => panic!("a payload has changed on its way"),
    }
}

#[track_caller]
fn numbers(arrivals: &[Arrival]) -> Vec<u64> {
    arrivals.iter().map(number).collect()
}

/// The numbers in order, for where the order is of no interest.
#[track_caller]
fn sorted(arrivals: &[Arrival]) -> Vec<u64> {
    let mut numbers = numbers(arrivals);
    numbers.sort_unstable();
    numbers
}
