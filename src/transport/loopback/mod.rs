//! A transport in memory: the reference implementation.

mod broker;
mod channel;
mod group;
mod handle;
mod held;
mod known;
mod log;
#[cfg(test)]
mod tests;
mod token;

use std::{sync::Arc, time::Duration};

use self::{broker::Broker, handle::Handle};
use super::{
    Arrival, Capabilities, Notifier, Order, Parcel, Sent, Settlement, Stream, Token, Transport,
    TransportError,
};
use crate::runtime::Runtime;

/// A transport in memory: the reference implementation, and a broker for tests of what uses one. A
/// clone is the same connection.
///
/// It keeps what its [`Capabilities`] say, and no more: so it can stand for a broker that keeps as
/// little. Where the order is per key, parcels lie in several streams, as in Kafka; where there is
/// none, what is received at once comes newest first. What holds for all handles goes with the last of
/// them; "restarts" are [`LoopbackTransport::reopened`].
///
/// Parcels are kept until the room is needed. Then the oldest go that every group has settled; where
/// there is no such, or no group yet, sending fails with [`TransportError::Full`], and the notifier
/// is called once something was settled. Of the ids within a dedup window, a million are remembered;
/// where that is not enough, it is full, too.
///
/// ```
/// use std::time::Duration;
/// use tidings::transport::{Capabilities, LoopbackTransport, Order};
///
/// let like_jetstream = LoopbackTransport::builder()
///     .capabilities(
///         Capabilities::new(1_000_000)
///             .order(Order::Total)
///             .persistent()
///             .dedup_window(Duration::from_secs(120))
///             .ack_timeout(Duration::from_secs(30)),
///     )
///     .build();
/// # drop(like_jetstream);
/// ```
#[derive(Debug, Clone)]
pub struct LoopbackTransport {
    handle: Arc<Handle>,
}

/// How a [`LoopbackTransport`] is to be.
#[derive(Debug)]
#[must_use]
pub struct LoopbackBuilder {
    capabilities: Capabilities,
    capacity: usize,
    runtime: Option<Runtime>,
}

impl LoopbackBuilder {
    /// What it is to promise: as [`LoopbackTransport::new`] unless said.
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// How many bytes of parcels it keeps: 64 MiB unless said. A parcel that is larger than all of it
    /// goes alone.
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// Where it gets the time from, and whose threads call notifiers. One of its own unless said.
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// An empty one.
    #[must_use]
    pub fn build(self) -> LoopbackTransport {
        let runtime = self.runtime.unwrap_or_default();
        let broker = Broker::new(runtime, self.capabilities, self.capacity);
        LoopbackTransport { handle: Handle::open(broker) }
    }
}

impl LoopbackTransport {
    /// An empty one that promises everything: total order, persistence, delays, a dedup window of two
    /// minutes, an acknowledgement timeout of thirty seconds, payloads of up to 8 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins to say how one is to be.
    pub fn builder() -> LoopbackBuilder {
        let capabilities = Capabilities::new(Parcel::MAX_PAYLOAD)
            .order(Order::Total)
            .persistent()
            .dedup_window(Duration::from_mins(2))
            .delayed()
            .ack_timeout(Duration::from_secs(30));
        LoopbackBuilder { capabilities, capacity: 64 * 1024 * 1024, runtime: None }
    }

    /// One more connection, as another process or the same one after a restart has it. What an
    /// earlier one has open, it keeps until it is closed, or its last clone dropped, or the
    /// acknowledgement timeout has passed. After a crash of the simulator it runs on, connect anew: the
    /// timers of earlier connections died with it.
    #[must_use]
    pub fn connect(&self) -> Self {
        Self { handle: Handle::open(Arc::clone(&self.handle.broker)) }
    }

    /// A connection after a restart of the broker: a new one, and where this is not
    /// [persistent](Capabilities::persistent), all else is gone.
    #[must_use]
    pub fn reopened(&self) -> Self {
        if !self.handle.broker.capabilities.persistent {
            self.recreate();
        }
        self.connect()
    }

    /// Deletes the streams with all that is in them, and makes them anew, as an operator might. They
    /// have other identities then.
    pub fn recreate(&self) {
        self.handle.broker.change(|channel, _| {
            channel.recreate();
            true
        });
    }
}

impl Default for LoopbackTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for LoopbackTransport {
    fn capabilities(&self) -> Capabilities {
        self.handle.broker.capabilities
    }

    fn send(&self, parcels: &[Parcel]) -> Vec<Result<Sent, TransportError>> {
        let member = self.handle.member;
        let sent = self.handle.broker.try_change(|channel, now| {
            channel.check_open(member)?;
            let sent = channel.send(parcels, now);
            let is_new = |sent: &_| matches!(sent, Ok(Sent::Accepted { is_copy: false, .. }));
            let any = sent.iter().any(is_new);
            Ok((sent, any))
        });
        sent.unwrap_or_else(|error| parcels.iter().map(|_| Err(error.clone())).collect())
    }

    fn receive(&self, group: &str, max: usize) -> Result<Vec<Arrival>, TransportError> {
        let member = self.handle.member;
        self.handle.broker.try_change(|channel, now| {
            channel.check_open(member)?;
            Ok((channel.receive(member, group, max, now), false))
        })
    }

    fn settle(&self, token: &Token, settlement: Settlement) -> Result<(), TransportError> {
        let member = self.handle.member;
        self.handle.broker.try_change(|channel, now| {
            channel.check_open(member)?;
            Ok(((), channel.settle(token, settlement, now)?))
        })
    }

    fn streams(&self) -> Result<Vec<Stream>, TransportError> {
        let member = self.handle.member;
        self.handle.broker.look(|channel, _| {
            channel.check_open(member)?;
            Ok(channel.streams())
        })
    }

    fn set_notifier(&self, notifier: Notifier) {
        self.handle.bell.set(notifier);
    }

    fn close(&self) -> Result<(), TransportError> {
        self.handle.close();
        Ok(())
    }
}
