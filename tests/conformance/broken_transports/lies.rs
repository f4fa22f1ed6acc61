//! Lies told on top of a transport that is in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidings::{
    Headers,
    testing::conformance::{self, TRANSPORT_CHECKS},
    transport::{
        Arrival, Capabilities, LoopbackTransport, Notifier, Order, Parcel, Place, Sent, Settlement,
        Stream, StreamId, Token, Transport, TransportError,
    },
    transport_conformance,
};

use super::pretender::{Fixture, Honest, Lie};
use crate::{
    is_found,
    transports::{Loopback, everything, least},
};

transport_conformance!(honest, Fixture::<Honest>::new());

/// The check fails that is about the lie.
#[track_caller]
fn finds<L: Lie>(check: &str) {
    let run = |check: &str| conformance::transport_check(check, Fixture::<L>::new);
    is_found(std::any::type_name::<L>(), check, TRANSPORT_CHECKS, run);
}

/// A test of each lie: one that .. is found by the check that ..
macro_rules! lies {
    ($($test:ident: $lie:ident, $check:ident;)*) => {
        $(#[test]
        fn $test() {
            finds::<$lie>(stringify!($check));
        })*
    };
}

lies! {
    one_that_redelivers_acknowledged: RedeliversAcknowledged, what_is_acknowledged_does_not_come_again;
    one_that_redelivers_rejected: RedeliversRejected, what_is_rejected_does_not_come_again;
    one_that_loses_on_retry: LosesOnRetry, what_is_to_be_tried_again_comes_after_its_delay;
    one_that_retries_at_once: RetriesAtOnce, what_is_to_be_tried_again_comes_after_its_delay;
    one_that_never_times_out: NeverTimesOut, what_is_not_settled_in_time_comes_again;
    one_that_acknowledges_on_receipt: AcknowledgesOnReceipt, what_was_not_settled_comes_again_after_a_restart;
    one_that_acknowledges_all_before: AcknowledgesAllBefore, an_acknowledgement_is_of_one_parcel_alone;
    one_that_settles_for_all_groups: SettlesForAllGroups, groups_settle_for_themselves;
    one_that_counts_nothing: CountsNothing, redeliveries_are_counted;
    one_that_takes_foreign_tokens: TakesForeignTokens, settling_twice_harms_nothing;
    one_that_forgets_copies: ForgetsCopies, a_copy_within_the_window_is_one_parcel;
    one_that_forgets_copies_on_restart: ForgetsCopiesOnRestart, a_copy_within_the_window_is_one_parcel;
    one_that_takes_all_for_copies: TakesAllForCopies, parcels_with_ids_of_their_own_are_no_copies;
    one_that_delivers_twice: DeliversTwice, what_is_sent_arrives_once_in_every_group;
    one_that_mixes_groups: MixesGroups, what_is_sent_arrives_once_in_every_group;
    one_that_drops_headers: DropsHeaders, an_envelope_arrives_with_every_field;
    one_that_cuts_payloads: CutsPayloads, payloads_of_every_length_arrive;
    one_that_cuts_long_payloads: CutsLongPayloads, a_payload_that_is_too_long_is_refused;
    one_that_lets_others_overtake: LetsOthersOvertake, what_has_to_follow_a_parcel_that_failed_is_not_accepted;
    one_that_forgets_delays: ForgetsDelays, a_delay_is_kept_or_refused;
    one_that_takes_delays_it_cannot_keep: TakesDelaysItCannotKeep, a_delay_is_kept_or_refused;
    one_that_stands_still: StandsStill, a_place_says_where_a_parcel_is;
    one_that_drops_when_full: DropsWhenFull, at_the_bound_it_refuses_and_loses_nothing;
    one_that_has_no_bound: HasNoBound, at_the_bound_it_refuses_and_loses_nothing;
    one_that_waits: Waits, nothing_to_receive_is_answered_at_once;
    one_that_gives_more_than_asked: GivesMoreThanAsked, no_more_is_received_than_was_asked_for;
    one_that_begins_at_the_end: BeginsAtTheEnd, a_new_group_begins_with_the_oldest;
    one_that_gives_all_to_each_member: GivesAllToEachMember, the_members_of_a_group_share_what_arrives;
    one_that_reorders: Reorders, the_declared_order_is_kept;
    one_that_reorders_within_keys: ReordersWithinKeys, the_declared_order_is_kept;
    one_that_never_notifies: NeverNotifies, a_notifier_is_called_when_there_is_something_to_receive;
    one_that_notifies_of_new_ones_alone: NotifiesOfNewOnesAlone, a_notifier_is_called_when_there_is_something_to_receive;
    one_that_stays_open: StaysOpen, a_closed_transport_refuses_everything;
    one_that_loses_on_restart: LosesOnRestart, a_restart_loses_nothing;
    one_that_hides_that_it_was_made_anew: HidesThatItWasMadeAnew, a_stream_that_was_made_anew_is_noticed;
    one_that_changes_its_identity: ChangesItsIdentity, a_stream_keeps_its_identity_and_goes_on;
    one_that_accepts_without_connection: AcceptsWithoutConnection, a_cut_connection_loses_nothing;
}

type Outcomes = Vec<Result<Sent, TransportError>>;
type Received = Result<Vec<Arrival>, TransportError>;

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

lie! {
    /// Has what was acknowledged come again after a minute.
    RedeliversAcknowledged;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, settlement: Settlement) -> Result<(), TransportError> {
        let after = Duration::from_mins(1);
        let settlement = if settlement == Settlement::Ack { Settlement::Retry { after } } else { settlement };
        truth.settle(token, settlement)
    }
}

lie! {
    /// Takes a rejection for "not now".
    RedeliversRejected;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, settlement: Settlement) -> Result<(), TransportError> {
        let after = Duration::ZERO;
        let settlement = if settlement == Settlement::Reject { Settlement::Retry { after } } else { settlement };
        truth.settle(token, settlement)
    }
}

lie! {
    /// Takes "not now" for an acknowledgement.
    LosesOnRetry;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, settlement: Settlement) -> Result<(), TransportError> {
        let is_retry = matches!(settlement, Settlement::Retry { .. });
        truth.settle(token, if is_retry { Settlement::Ack } else { settlement })
    }
}

lie! {
    /// Makes nothing of the delay of a retry.
    RetriesAtOnce;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, settlement: Settlement) -> Result<(), TransportError> {
        let is_retry = matches!(settlement, Settlement::Retry { .. });
        truth.settle(token, if is_retry { Settlement::Retry { after: Duration::ZERO } } else { settlement })
    }
}

lie! {
    /// Promises a timeout and has none.
    NeverTimesOut;
    fn truth() -> Capabilities {
        least()
    }
    fn capabilities() -> Capabilities {
        least().ack_timeout(Duration::from_secs(30))
    }
}

lie! {
    /// As a Kafka consumer that commits by itself.
    AcknowledgesOnReceipt;
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let arrivals = truth.receive(group, max)?;
        for arrival in &arrivals {
            truth.settle(&arrival.token, Settlement::Ack)?;
        }
        Ok(arrivals)
    }
    fn settle(&self, _: &LoopbackTransport, _: &Token, _: Settlement) -> Result<(), TransportError> {
        Ok(())
    }
}

/// As an offset that is committed, or `AckAll` of NATS.
#[derive(Debug, Default)]
struct AcknowledgesAllBefore(Mutex<Vec<Arrival>>);

impl Lie for AcknowledgesAllBefore {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let arrivals = truth.receive(group, max)?;
        self.0.lock().unwrap().extend(arrivals.clone());
        Ok(arrivals)
    }

    fn settle(
        &self,
        truth: &LoopbackTransport,
        token: &Token,
        settlement: Settlement,
    ) -> Result<(), TransportError> {
        let received = self.0.lock().unwrap();
        let place = received.iter().find(|it| it.token == *token).map(|it| it.place.clone());
        for before in received.iter().filter(|it| Some(&it.place) < place.as_ref()) {
            drop(truth.settle(&before.token, settlement));
        }
        truth.settle(token, settlement)
    }
}

/// What one group has acknowledged, no other group gets.
#[derive(Debug, Default)]
struct SettlesForAllGroups(Mutex<BTreeMap<Token, Place>>, Mutex<BTreeSet<Place>>);

impl Lie for SettlesForAllGroups {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let mut arrivals = truth.receive(group, max)?;
        arrivals.retain(|arrival| !self.1.lock().unwrap().contains(&arrival.place));
        let known = arrivals.iter().map(|it| (it.token.clone(), it.place.clone()));
        self.0.lock().unwrap().extend(known);
        Ok(arrivals)
    }

    fn settle(
        &self,
        truth: &LoopbackTransport,
        token: &Token,
        settlement: Settlement,
    ) -> Result<(), TransportError> {
        if settlement == Settlement::Ack {
            self.1.lock().unwrap().extend(self.0.lock().unwrap().remove(token));
        }
        truth.settle(token, settlement)
    }
}

lie! {
    CountsNothing;
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let mut arrivals = truth.receive(group, max)?;
        arrivals.iter_mut().for_each(|arrival| arrival.redeliveries = 0);
        Ok(arrivals)
    }
}

lie! {
    /// Says that it has settled what it does not know.
    TakesForeignTokens;
    fn settle(&self, truth: &LoopbackTransport, token: &Token, settlement: Settlement) -> Result<(), TransportError> {
        match truth.settle(token, settlement) {
            Err(TransportError::Stale) => Ok(()),
            outcome => outcome,
        }
    }
}

lie! {
    /// Promises to drop copies and does not.
    ForgetsCopies;
    fn truth() -> Capabilities {
        least()
    }
    fn capabilities() -> Capabilities {
        least().dedup_window(Duration::from_mins(2))
    }
}

/// Drops the copies of one connection, as the idempotence of a Kafka producer does.
#[derive(Debug, Default)]
struct ForgetsCopiesOnRestart(Mutex<BTreeMap<tidings::MessageId, Place>>);

impl Lie for ForgetsCopiesOnRestart {
    fn truth() -> Capabilities {
        least()
    }

    fn capabilities() -> Capabilities {
        least().dedup_window(Duration::from_mins(2))
    }

    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let mut known = self.0.lock().unwrap();
        let mut send = |parcel: &Parcel| {
            if let Some(place) = known.get(&parcel.id()) {
                return Ok(Sent::Accepted { place: place.clone(), is_copy: true });
            }
            let sent = truth.send(std::slice::from_ref(parcel)).remove(0)?;
            if let Sent::Accepted { place, .. } = &sent {
                known.insert(parcel.id(), place.clone());
            }
            Ok(sent)
        };
        parcels.iter().map(&mut send).collect()
    }
}

/// Takes parcels with the same payload for copies.
#[derive(Debug, Default)]
struct TakesAllForCopies(Mutex<BTreeMap<Vec<u8>, Place>>);

impl Lie for TakesAllForCopies {
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let mut known = self.0.lock().unwrap();
        let mut send = |parcel: &Parcel| {
            if let Some(place) = known.get(parcel.payload()) {
                return Ok(Sent::Accepted { place: place.clone(), is_copy: true });
            }
            let sent = truth.send(std::slice::from_ref(parcel)).remove(0)?;
            if let Sent::Accepted { place, .. } = &sent {
                known.insert(parcel.payload().to_vec(), place.clone());
            }
            Ok(sent)
        };
        parcels.iter().map(&mut send).collect()
    }
}

lie! {
    DeliversTwice;
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let arrivals = truth.receive(group, max / 2)?;
        Ok(arrivals.iter().chain(&arrivals).cloned().collect())
    }
}

lie! {
    /// Has one group, whatever its name.
    MixesGroups;
    fn receive(&self, truth: &LoopbackTransport, _: &str, max: usize) -> Received {
        truth.receive("g", max)
    }
}

/// The parcel with something changed.
fn changed(parcel: &Parcel, change: impl FnOnce(&mut tidings::Envelope, &mut Vec<u8>)) -> Parcel {
    let (delay, (envelope, mut payload)) = (parcel.delay(), parcel.clone().into_parts());
    let mut envelope = (*envelope).clone();
    change(&mut envelope, &mut payload);
    Parcel::new(envelope.into(), payload).unwrap().delayed(delay)
}

lie! {
    DropsHeaders;
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let strip = |it: &Parcel| changed(it, |envelope, _| envelope.headers = Headers::default());
        truth.send(&parcels.iter().map(strip).collect::<Vec<_>>())
    }
}

lie! {
    /// As a frame whose length has 16 bits.
    CutsPayloads;
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let cut = |it: &Parcel| changed(it, |_, payload| payload.truncate(0xffff));
        truth.send(&parcels.iter().map(cut).collect::<Vec<_>>())
    }
}

lie! {
    /// Sends of a payload that is too long what fits.
    CutsLongPayloads;
    fn capabilities() -> Capabilities {
        let mut capabilities = Self::truth();
        capabilities.max_bytes = 1000;
        capabilities
    }
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let cut = |it: &Parcel| changed(it, |_, payload| payload.truncate(1000));
        truth.send(&parcels.iter().map(cut).collect::<Vec<_>>())
    }
}

lie! {
    /// Sends each parcel whatever became of those before it.
    LetsOthersOvertake;
    fn truth() -> Capabilities {
        least().order(Order::PerKey)
    }
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        parcels.iter().map(|parcel| truth.send(std::slice::from_ref(parcel)).remove(0)).collect()
    }
}

fn without_delay(truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
    let now: Vec<_> = parcels.iter().map(|it| it.clone().delayed(Duration::ZERO)).collect();
    truth.send(&now)
}

lie! {
    ForgetsDelays;
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        without_delay(truth, parcels)
    }
}

lie! {
    /// Keeps no delays, and does not refuse them.
    TakesDelaysItCannotKeep;
    fn truth() -> Capabilities {
        least()
    }
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        without_delay(truth, parcels)
    }
}

lie! {
    /// Has every parcel be the first.
    StandsStill;
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let mut sent = truth.send(parcels);
        for sent in sent.iter_mut().flatten() {
            if let Sent::Accepted { place, .. } = sent {
                place.sequence = 1;
            }
        }
        sent
    }
}

/// Says that it has taken what there is no room for.
#[derive(Debug, Default)]
struct DropsWhenFull(AtomicU64);

impl Lie for DropsWhenFull {
    fn fixture() -> Loopback {
        Loopback::small(least())
    }

    fn capabilities() -> Capabilities {
        least()
    }

    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let pretend = |sent| match sent {
            Err(TransportError::Full) if self.0.fetch_add(1, Ordering::Relaxed) == 0 => {
                let stream = truth.streams()?.remove(0);
                let sequence = stream.last.unwrap_or(0);
                Ok(Sent::Accepted { place: Place { stream: stream.id, sequence }, is_copy: false })
            }
            sent => sent,
        };
        truth.send(parcels).into_iter().map(pretend).collect()
    }
}

/// Keeps what there is no room for in memory, as much as it may be.
#[derive(Debug, Default)]
struct HasNoBound(Mutex<Vec<Parcel>>);

impl Lie for HasNoBound {
    fn fixture() -> Loopback {
        Loopback::small(least())
    }

    fn capabilities() -> Capabilities {
        least()
    }

    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let mut kept = self.0.lock().unwrap();
        kept.extend_from_slice(parcels);
        let id = truth.streams().unwrap().remove(0).id;
        let place = Place { stream: id, sequence: kept.len() as u128 };
        parcels
            .iter()
            .map(|_| Ok(Sent::Accepted { place: place.clone(), is_copy: false }))
            .collect()
    }
}

lie! {
    /// Polls its broker for as long as brokers let one.
    Waits;
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let arrivals = truth.receive(group, max)?;
        if arrivals.is_empty() {
            std::thread::sleep(Duration::from_millis(350));
        }
        Ok(arrivals)
    }
}

lie! {
    GivesMoreThanAsked;
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        truth.receive(group, max + 1)
    }
}

/// Has a new group begin with what comes next.
#[derive(Debug, Default)]
struct BeginsAtTheEnd(Mutex<BTreeSet<String>>);

impl Lie for BeginsAtTheEnd {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        if self.0.lock().unwrap().insert(group.to_owned()) {
            for arrival in truth.receive(group, usize::MAX)? {
                truth.settle(&arrival.token, Settlement::Ack)?;
            }
        }
        truth.receive(group, max)
    }
}

/// Has every member be a group of its own.
#[derive(Debug)]
struct GivesAllToEachMember(u64);

impl Default for GivesAllToEachMember {
    fn default() -> Self {
        static MEMBERS: AtomicU64 = AtomicU64::new(0);
        Self(MEMBERS.fetch_add(1, Ordering::Relaxed))
    }
}

impl Lie for GivesAllToEachMember {
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        truth.receive(&format!("{group}-{}", self.0), max)
    }
}

lie! {
    Reorders;
    fn truth() -> Capabilities {
        everything()
    }
    fn capabilities() -> Capabilities {
        everything().order(Order::Total)
    }
}

lie! {
    ReordersWithinKeys;
    fn truth() -> Capabilities {
        everything()
    }
    fn capabilities() -> Capabilities {
        everything().order(Order::PerKey)
    }
}

lie! {
    NeverNotifies;
    fn set_notifier(&self, _: &LoopbackTransport, _: Notifier) {}
}

/// Calls the notifier for as long as nothing was to be tried again.
#[derive(Debug, Default)]
struct NotifiesOfNewOnesAlone(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Lie for NotifiesOfNewOnesAlone {
    fn settle(
        &self,
        truth: &LoopbackTransport,
        token: &Token,
        settlement: Settlement,
    ) -> Result<(), TransportError> {
        self.0.fetch_or(matches!(settlement, Settlement::Retry { .. }), Ordering::AcqRel);
        truth.settle(token, settlement)
    }

    fn set_notifier(&self, truth: &LoopbackTransport, notifier: Notifier) {
        let is_silent = std::sync::Arc::clone(&self.0);
        truth.set_notifier(std::sync::Arc::new(move || {
            if !is_silent.load(Ordering::Acquire) {
                notifier();
            }
        }));
    }
}

lie! {
    StaysOpen;
    fn close(&self, _: &LoopbackTransport) -> Result<(), TransportError> {
        Ok(())
    }
}

lie! {
    /// Promises to survive a restart of the broker.
    LosesOnRestart;
    fn truth() -> Capabilities {
        least()
    }
    fn capabilities() -> Capabilities {
        least().persistent()
    }
}

/// Every stream under the name of the stream, and no more.
fn named(id: &mut StreamId) {
    *id = StreamId::new("orders");
}

lie! {
    /// Tells streams by their names.
    HidesThatItWasMadeAnew;
    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let mut sent = truth.send(parcels);
        for sent in sent.iter_mut().flatten() {
            if let Sent::Accepted { place, .. } = sent {
                named(&mut place.stream);
            }
        }
        sent
    }
    fn receive(&self, truth: &LoopbackTransport, group: &str, max: usize) -> Received {
        let mut arrivals = truth.receive(group, max)?;
        arrivals.iter_mut().for_each(|arrival| named(&mut arrival.place.stream));
        Ok(arrivals)
    }
    fn streams(&self, truth: &LoopbackTransport) -> Result<Vec<Stream>, TransportError> {
        let mut streams = truth.streams()?;
        streams.iter_mut().for_each(|stream| named(&mut stream.id));
        Ok(streams)
    }
}

/// Makes an identity up for each connection.
#[derive(Debug)]
struct ChangesItsIdentity(u64);

impl Default for ChangesItsIdentity {
    fn default() -> Self {
        Self(GivesAllToEachMember::default().0)
    }
}

impl Lie for ChangesItsIdentity {
    fn streams(&self, truth: &LoopbackTransport) -> Result<Vec<Stream>, TransportError> {
        let mut streams = truth.streams()?;
        for stream in &mut streams {
            stream.id = StreamId::new(format!("{} {}", stream.id, self.0));
        }
        Ok(streams)
    }

    fn send(&self, truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
        let mut sent = truth.send(parcels);
        for sent in sent.iter_mut().flatten() {
            if let Sent::Accepted { place, .. } = sent {
                place.stream = StreamId::new(format!("{} {}", place.stream, self.0));
            }
        }
        sent
    }
}

lie! {
    /// Says of what it has handed to the network that it was accepted.
    AcceptsWithoutConnection;
    fn send_while_cut(&self, parcels: &[Parcel]) -> Outcomes {
        let place = Place { stream: StreamId::new("orders"), sequence: 1 };
        parcels.iter().map(|_| Ok(Sent::Accepted { place: place.clone(), is_copy: false })).collect()
    }
}
