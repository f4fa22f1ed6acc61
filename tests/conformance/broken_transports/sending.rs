//! Lies about what is sent.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidings::{
    Headers,
    transport::{
        Capabilities, LoopbackTransport, Order, Parcel, Place, Sent, Transport, TransportError,
    },
};

use super::{Lie, Outcomes, Received, finds};
use crate::transports::{Loopback, least};

lies! {
    one_that_forgets_copies: ForgetsCopies, a_copy_within_the_window_is_one_parcel;
    one_that_forgets_copies_on_restart: ForgetsCopiesOnRestart::default(), a_copy_within_the_window_is_one_parcel;
    one_that_takes_all_for_copies: TakesAllForCopies::default(), parcels_with_ids_of_their_own_are_no_copies;
    one_that_delivers_twice: DeliversTwice, what_is_sent_arrives_once_in_every_group;
    one_that_mixes_groups: MixesGroups, what_is_sent_arrives_once_in_every_group;
    one_that_drops_headers: DropsHeaders, an_envelope_arrives_with_every_field;
    one_that_cuts_payloads: CutsPayloads, payloads_of_every_length_arrive;
    one_that_cuts_long_payloads: CutsLongPayloads, a_payload_that_is_too_long_is_refused;
    one_that_lets_others_overtake: LetsOthersOvertake, what_has_to_follow_a_parcel_that_failed_is_not_accepted;
    one_that_forgets_delays: ForgetsDelays, a_delay_is_kept_or_refused;
    one_that_takes_delays_it_cannot_keep: TakesDelaysItCannotKeep, a_delay_is_kept_or_refused;
    one_that_stands_still: StandsStill, a_place_says_where_a_parcel_is;
    one_that_drops_when_full: DropsWhenFull::default(), at_the_bound_it_refuses_and_loses_nothing;
    one_that_has_no_bound: HasNoBound::default(), at_the_bound_it_refuses_and_loses_nothing;
}

/// The parcel with something changed.
fn changed(parcel: &Parcel, change: impl FnOnce(&mut tidings::Envelope, &mut Vec<u8>)) -> Parcel {
    let (delay, (envelope, mut payload)) = (parcel.delay(), parcel.clone().into_parts());
    let mut envelope = (*envelope).clone();
    change(&mut envelope, &mut payload);
    Parcel::new(envelope.into(), payload).unwrap().delayed(delay)
}

fn without_delay(truth: &LoopbackTransport, parcels: &[Parcel]) -> Outcomes {
    let now: Vec<_> = parcels.iter().map(|it| it.clone().delayed(Duration::ZERO)).collect();
    truth.send(&now)
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
