//! Lies about restarts, streams and connections.

use std::sync::atomic::{AtomicBool, Ordering};

use tidings::transport::{
    Capabilities, LoopbackTransport, Parcel, Place, Sent, Stream, StreamId, Transport,
    TransportError,
};

use super::{Lie, Outcomes, Received, finds, unique};
use crate::transports::least;

lies! {
    one_that_fails_to_close_twice: FailsToCloseTwice::default(), closing_twice_is_fine;
    one_that_stays_open: StaysOpen, a_closed_transport_refuses_everything;
    one_that_loses_on_restart: LosesOnRestart, a_restart_loses_nothing;
    one_that_hides_that_it_was_made_anew: HidesThatItWasMadeAnew, a_stream_that_was_made_anew_is_noticed;
    one_that_changes_its_identity: ChangesItsIdentity::default(), a_stream_keeps_its_identity_and_goes_on;
    one_that_accepts_without_connection: AcceptsWithoutConnection, a_cut_connection_loses_nothing;
}

/// Every stream under the name of the stream, and no more.
fn named(id: &mut StreamId) {
    *id = StreamId::new("orders");
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
        for arrival in &mut arrivals {
            named(&mut arrival.place.stream);
        }
        Ok(arrivals)
    }
    fn streams(&self, truth: &LoopbackTransport) -> Result<Vec<Stream>, TransportError> {
        let mut streams = truth.streams()?;
        for stream in &mut streams {
            named(&mut stream.id);
        }
        Ok(streams)
    }
}

/// Makes an identity up for each connection.
#[derive(Debug)]
struct ChangesItsIdentity(u64);

impl Default for ChangesItsIdentity {
    fn default() -> Self {
        Self(unique())
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
        let accepted = Sent::Accepted { place, is_copy: false };
        parcels.iter().map(|_| Ok(accepted.clone())).collect()
    }
}

#[derive(Debug, Default)]
struct FailsToCloseTwice(AtomicBool);

impl Lie for FailsToCloseTwice {
    fn close(&self, truth: &LoopbackTransport) -> Result<(), TransportError> {
        if self.0.swap(true, Ordering::AcqRel) {
            return Err(TransportError::Closed);
        }
        truth.close()
    }
}
